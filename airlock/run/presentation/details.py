"""The details of a run for the Temporal UI: Markdown that wraps, in which no text of a plan can imitate its structure.

What a person needs first stands first: what the run waits for, the two ways to decide, the last refusal. Then the steps.
"""

import json
import re
import shlex
from collections.abc import Iterator

from airlock.admission.decision_rules import Demand
from airlock.base.markdown import block, cell, code, spaced
from airlock.base.person import OWN_NAME
from airlock.base.text import count
from airlock.base.visible import visible
from airlock.plans.seal import DIGEST_PREFIX_LENGTH
from airlock.plans.state import State
from airlock.run.live.call_results import outcome_of
from airlock.run.presentation.approval_needs import evidence_needed, sealed_demands
from airlock.run.presentation.decision_commands import (
    IN_CONSOLE,
    SIGNING,
    approve_command,
    approve_message,
    evidence_of,
    signed_command,
)
from airlock.run.presentation.preview import TO_APPROVE, beginning_of_preview, preview_within
from airlock.run.presentation.views import sealed_before, step_view
from airlock.run.presentation.waiting import outcomes_of, waits_for
from airlock.run.sealing.sealed import Sealed
from airlock.run.state import Run
from airlock.run.unlocking import needs_settling

_ROWS = 40
"""Steps that the Temporal UI shows."""
_OUTCOME = "OUTCOME"
"""The place of the outcome in the message that settles a step."""
_NAME = f"Write your own name in the place of `{OWN_NAME}`"
_TEXT = 20_000
"""Characters of the preview that the Temporal UI shows."""
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_SIGNED = re.compile(r"  \S ")


def details(run: Run) -> str:
    """Return the run as Markdown for the Temporal UI."""
    lines = [f"**{run.state.value}** since {run.since:%Y-%m-%d %H:%M:%S} UTC: {code(visible(run.why))}", ""]
    if run.outcome is not None or run.state.closed:
        lines += [f"Outcome: **{outcome_of(run).value}**", ""]
    else:
        lines += [f"**Waits for:** {code(visible(waits_for(run)))}", ""]
    lines += _ways_on(run)
    whole = shown = None
    if run.state is State.AWAITING_APPROVAL and run.sealed is not None and run.digest is not None:
        whole = preview_within(run.sealed, run.digest, _TEXT, _ROWS, sealed_before(run))
        shown = whole or beginning_of_preview(run.sealed, _TEXT, _ROWS)
        if whole is not None:  # a command only where everything that it approves is shown
            lines += _ways(run, run.sealed, run.digest)
    lines += _last_refusal(run)
    lines += [f"**Goal:** {code(visible(run.plan.goal)) or '(none given)'}", ""]
    if shown is not None:
        lines += ["**Preview**", "", *_listed(shown), ""]
    text = "\n".join((*lines, *_table(run)))
    # a reason that a person wrote may name the digest: what is not shown must not be approved from here
    return _without(str(run.digest), text) if shown is not None and whole is None else text


def _without(digest: str, text: str) -> str:
    """Return a text without a digest, or a beginning of it that would do to approve."""
    return re.sub(f"{digest[:DIGEST_PREFIX_LENGTH]}[0-9a-f]*", "…", text, flags=re.IGNORECASE)


def _ways(run: Run, sealed: Sealed, digest: str) -> Iterator[str]:
    """Yield the ways to approve what is shown, and the way to deny it."""
    evidence = evidence_needed(sealed_demands(sealed))
    if evidence is Demand.NONE:
        message = approve_message(sealed, digest)
        yield "**To approve what is shown below, here:** the menu beside *Request Cancellation*, then *Send a Signal*,"
        yield "with the name `approve` and this JSON as its input:"
        yield from ("", *block(_pretty(message), "json"), "")
        yield "**Or with a command:**"
        yield from ("", *block(_narrow(str(approve_command(sealed, digest))), "sh"), "")
        if OWN_NAME in message:
            yield from (f"{_NAME}.", "")
    else:
        yield from _signed("To approve what is shown below", approve_command(sealed, digest), evidence)
    if (evidence := evidence_of(run, "deny")) is Demand.NONE:
        yield "**To deny it:** *Send a Signal* with the name `deny` and a reason:"
        yield from ("", *block(json.dumps({"by": OWN_NAME, "reason": "..."}, indent=2), "json"), "")
    else:
        yield from _signed("To deny it", _signed_command(run, "deny", (), evidence), evidence)


def _signed(what: str, command: str | None, evidence: Demand, places: str = _NAME) -> Iterator[str]:
    """Yield the way to a decision that must be signed, which this page cannot do; `places` is said of its command."""
    if command is None:
        yield from (f"**{what}:** {code(IN_CONSOLE)}", "")
        return
    yield f"**{what}:** it must be signed, which this page cannot do. With a command:"
    yield from ("", *block(_narrow(command), "sh"), "", code(SIGNING[evidence]))
    yield from (f"{places}." if OWN_NAME in command else "", "")


def _signed_command(run: Run, decision: str, about: tuple[str, ...], evidence: Demand) -> str | None:
    return signed_command(decision, run.name, (*about, "--by", OWN_NAME, "--reason", "..."), evidence)


def _ways_on(run: Run) -> Iterator[str]:
    """Yield the way to settle a step, or to unlock, where that is what a locked run waits for. Its command stands above."""
    if run.state is not State.LOCKED or run.outcome is not None or run.in_flight:
        return
    places = _NAME
    message: dict[str, str] = {"by": OWN_NAME, "reason": "..."}
    step: str | None = None
    if needs_settling(run):
        step = run.parked[0]
        words = " or ".join(f"`{word}`" for word in outcomes_of(run, step))
        name, what = "resolve", f"To settle {code(visible(step))}"
        message = {"by": OWN_NAME, "step": step, "outcome": _OUTCOME, "reason": "..."}
        places = f"{places}, and {words} in that of `{_OUTCOME}`"
    elif run.lock is not None and run.lock.gate:
        return  # the lock is at a gate, and is lifted there
    else:
        name, what = "unlock", "To unlock it"
    if (evidence := evidence_of(run, name, step)) is not Demand.NONE:
        about = () if step is None else (step, _OUTCOME)
        yield from _signed(what, _signed_command(run, name, about, evidence), evidence, places)
        return
    yield f"**{what} here:** the menu beside *Request Cancellation*, then *Send a Signal*,"
    yield f"with the name `{name}` and this JSON as its input:"
    yield from ("", *block(json.dumps(message, indent=2), "json"), "", f"{places}.", "")


def _pretty(message: str) -> str:
    return json.dumps(json.loads(message), indent=2)


def _narrow(command: str) -> str:
    """Return a command in short lines, because a block of code is cut where the page ends."""
    lines: list[list[str]] = [[]]
    for word in shlex.split(command):
        if word.startswith("--"):
            lines.append([])
        lines[-1].append(shlex.quote(_pretty(word) if word.startswith("{") else word))
    return " \\\n  ".join(" ".join(line) for line in lines)


def _last_refusal(run: Run) -> Iterator[str]:
    if run.lately_refused:
        last = run.lately_refused[-1]
        by = f" by {code(visible(last.by))}" if last.by != "airlock" else ""
        at = f"{last.at:%Y-%m-%d %H:%M:%S} UTC"
        yield from (f"**Last refused:** {code(visible(last.what))}{by} at {at}: {code(visible(last.reason))}", "")


def _listed(preview: str) -> Iterator[str]:
    """Yield each line of a preview as an item, each step as a heading: these are ours, and all that a plan says is code."""
    lines = preview.split("\n")
    if lines[-2] == TO_APPROVE:
        lines = lines[:-2]  # the command stands above, in lines that fit
        lines = lines[: len(lines) - (lines[-1] in SIGNING.values())]
    for line in lines:
        text = line.lstrip(" ")
        depth = len(line) - len(text)
        if not text:
            continue
        if depth <= 2:
            text = re.sub(" +", " ", _QUOTED.sub(lambda quoted: spaced(quoted[0]), text))
        if _SIGNED.match(line):
            yield from ("", f"**step** {code(text)}", "")
        else:
            yield f"- {code(spaced(text))}"


def _table(run: Run) -> Iterator[str]:
    yield from ("| step | tool | status | ceiling |", "| --- | --- | --- | --- |")
    for step in run.plan.steps[:_ROWS]:
        view = step_view(run, step)
        mode = view.ceiling.value if view.ceiling else ""
        status = f"{view.status} {cell(visible(view.error[:80]))}".rstrip()
        if view.read_at is not None:
            status = f"{status}, read before the preview"
        yield f"| {view.id} | {cell(visible(view.tool))} | {status} | {mode} |"
    if len(run.plan.steps) > _ROWS:
        yield f"\n… and {count(len(run.plan.steps) - _ROWS, 'more step')}"
