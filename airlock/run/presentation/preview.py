"""The preview as text: a plan/apply diff that ends in the exact command to approve it."""

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from itertools import chain

from airlock.base.names import undo_workflow_id
from airlock.base.person import OWN_NAME, folded, spellings
from airlock.base.text import count, listed
from airlock.base.visible import printable, visible
from airlock.plans.contract import Mode
from airlock.plans.outcome import StepPreview
from airlock.plans.refs import UNKNOWN
from airlock.plans.state import State
from airlock.run.presentation.argument_lines import argument_lines, short
from airlock.run.presentation.derived import derived_mark
from airlock.run.presentation.undo_preview import quoted, undo_lines, undo_step_lines
from airlock.run.sealed import MAX_SHOWN_READ, Sealed, SealedRead, SealedStep

_SIGNS = {"read_only": "·", "reversible": "~", "compensable": "~", "irreversible": "!"}
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@:+-]{0,99}")


def render_preview(sealed: Sealed, digest: str) -> str:
    """Return the whole preview as plain text, made from the sealed content and its digest alone."""
    return "\n".join(_lines(sealed, digest))


def render_closed(sealed: Sealed, digest: str, state: State) -> str:
    """Return the preview of a plan that does not wait for approval any more: it says so in the place of the command."""
    closed = f"This preview is not open for approval any more: the plan is in {state.value}."
    return "\n".join((*_shown(sealed, digest), closed))


def render_for_agent(sealed: Sealed) -> str:
    """Return the preview for the agent that proposed the plan: no digest and no command that approves it."""
    return "\n".join(map(printable, _about(sealed) if sealed.undo is None else undo_lines(sealed, sealed.undo)))


def preview_within(sealed: Sealed, digest: str, size: int, steps: int) -> str | None:
    """Return the whole preview if it has at most `size` characters and `steps` steps; None if a view cannot hold it."""
    if len(sealed.steps) > steps:
        return None
    found = _up_to(_lines(sealed, digest), size)
    return None if found is None else "\n".join(found)


def beginning_of_preview(sealed: Sealed, size: int, steps: int) -> str:
    """Return as much of a preview as a view can hold, in whole steps, and what is missing.

    It ends in the command that shows all. It names neither the digest nor a command that approves: what was not shown must
    not be approved from here.
    """
    name = sealed.plan_id if sealed.undo is None else undo_workflow_id(sealed.plan_id)
    if sealed.undo is not None:
        return f"This preview is too long to be shown here. Read it, and approve it, with:\n  airlock show {name}"
    writing = [step.id for step in sealed.steps if _writes_live(step)]
    lines = list(map(printable, (*_header(sealed), "")))
    room, shown = size - sum(map(len, lines)) - len(lines), 0
    for step in sealed.steps[:steps]:
        found = _up_to(map(printable, (*_step(step), "")), room)
        if found is None:
            break
        lines += found
        room -= sum(map(len, found)) + len(found)
        shown += _writes_live(step)
    lines += [
        f"{count(len(writing), 'writing step')}, {shown} shown. Read the rest, and approve it, with:",
        f"  airlock show {name}",
        f"  airlock show {name} --step {writing[shown] if shown < len(writing) else 'ID'}   (one step)",
    ]
    return "\n".join(lines)


def step_text(sealed: Sealed, step_id: str) -> str | None:
    """Return one step of a preview with all its arguments, whatever it does; None if there is no such step."""
    if sealed.undo is not None:
        return next(("\n".join(undo_step_lines(step)) for step in sealed.undo.steps if step.id == step_id), None)
    step = next((step for step in sealed.steps if step.id == step_id), None)
    return None if step is None else "\n".join(map(printable, _step(step, whole=True)))


def _up_to(lines: Iterable[str], size: int) -> list[str] | None:
    """Return the lines if they have at most `size` characters together; no more of them are made than that takes."""
    found: list[str] = []
    for line in lines:
        size -= len(line) + 1
        if size < -1:
            return None
        found.append(line)
    return found


def _lines(sealed: Sealed, digest: str) -> Iterator[str]:
    return chain(_shown(sealed, digest), map(printable, _commands(sealed, digest)))


def _shown(sealed: Sealed, digest: str) -> Iterator[str]:
    about = _about(sealed) if sealed.undo is None else undo_lines(sealed, sealed.undo)
    return map(printable, chain(about, ("", f"Digest: {digest}", "")))


def _about(sealed: Sealed) -> Iterator[str]:
    return chain(_header(sealed), ("",), _steps(sealed), _conflicts(sealed), _rollback(sealed))


def approve_message(sealed: Sealed, digest: str) -> str:
    """Return the JSON of the signal that approves this seal."""
    agents = (name for step in sealed.steps for name in (step.agent, step.moved_from))
    undone = (step.agent for step in (sealed.undo.steps if sealed.undo else ()))
    barred = spellings(name for name in (sealed.requested_by, *agents, *undone) if name is not None)
    approver = next((name for name in sealed.approvers if folded(name) not in barred), OWN_NAME)
    return json.dumps({"by": approver, "digest": digest[:16]})


def approve_command(sealed: Sealed, digest: str) -> str:
    """Return the Temporal CLI command that approves this seal, ready to paste into a shell."""
    message = approve_message(sealed, digest)
    return f"temporal workflow signal --workflow-id {sealed.workflow_id} --name approve --input {shlex.quote(message)}"


def _header(sealed: Sealed) -> Iterator[str]:
    yield f"Plan {sealed.plan_id}: {quoted(sealed.goal) if sealed.goal else '(no goal given)'}"
    yield f"requested by {_name(sealed.requested_by)}, submitted {sealed.submitted_at}" + "".join(
        f", {name} {visible(value)}"
        for name, value in (
            ("phase 21 plan", sealed.phase21_plan_id),
            ("phase 22 validation", sealed.phase22_validation_id),
            ("deadline", sealed.deadline),
        )
        if value
    )
    if sealed.replaces:
        yield f"replaces the preview {sealed.replaces[:16]}: what was approved then must be approved again"
    live = sealed.live_steps
    below = [step for step in sealed.steps if step.ceiling is not Mode.LIVE]
    already = [step for step in sealed.steps if step.already_live and step.read is None]
    reads = [step for step in sealed.steps if step.read is not None]
    yield (
        f"{len(live)} of {count(len(sealed.steps), 'step')} would go LIVE"
        + (f", {len(below)} {'stays' if len(below) == 1 else 'stay'} below" if below else "")
        + (f", {_live_already(len(already))}" if already else "")
        + (f", {len(reads)} {'was' if len(reads) == 1 else 'were'} read before this preview" if reads else "")
    )


def _live_already(number: int) -> str:
    return "1 is live already and is not repeated" if number == 1 else f"{number} are live already and are not repeated"


def _steps(sealed: Sealed) -> Iterator[str]:
    for step in sealed.steps:
        yield from _step(step)
        yield ""


def _writes_live(step: SealedStep) -> bool:
    """Return True if an approval would let this step change something."""
    return step.ceiling is Mode.LIVE and not step.already_live and step.reversibility != "read_only"


def _step(step: SealedStep, *, whole: bool = False) -> Iterator[str]:
    kind = f"[{step.risk}, {step.reversibility}]"
    yield f"  {_SIGNS[step.reversibility]} {step.id}  {_name(step.tool)}  by {_name(step.agent)}  {kind} -> {_goes_to(step)}"
    yield from _beside_the_call(step)
    if step.preview is not None and not step.already_live:
        yield from _previewed(step, step.preview, whole)
    elif whole:
        for name, value in sorted(step.args.items()):
            yield from argument_lines(name, value, "        ", whole=True)
    if step.read is not None:
        yield from _read(step, step.read, whole)
    for reason in step.reasons:
        yield f"      ceiling: {visible(reason)}"
    if step.ceiling is Mode.LIVE and not step.already_live:
        yield f"      undo: {visible(step.undo)}"
        if step.approval_waived:
            yield "      approval: waived by the policy"


def _previewed(step: SealedStep, preview: StepPreview, whole: bool) -> Iterator[str]:
    yield f"      effect: {visible(preview.effect)}"
    for name, value in sorted(preview.args.items()):
        mark = derived_mark(step, name)
        yield from argument_lines(name, value, "        ", whole=whole or _writes_live(step), mark=mark)
    if preview.observed is not None:
        yield from _observed(preview, whole)
    yield from _among_own_steps(preview)
    if not preview.looked:
        yield "      not looked at: the outcome is (known after live)"


def _goes_to(step: SealedStep) -> str:
    if step.read is not None:
        return "already read"
    return "already LIVE" if step.already_live else step.ceiling.value


def _read(step: SealedStep, read: SealedRead, whole: bool) -> Iterator[str]:
    if not whole:
        for name, value in sorted(step.args.items()):
            yield from argument_lines(name, value, "        ", whole=False)
    yield f"      read before this preview, at {read.at:%Y-%m-%d %H:%M:%S} UTC; approval: waived by the policy"
    if read.size <= MAX_SHOWN_READ:
        yield from argument_lines("returned", read.output, "      ", whole=whole)
    else:
        yield f"      returned: {read.size:,} bytes of JSON with the digest {read.digest}"


def _observed(preview: StepPreview, whole: bool) -> Iterator[str]:
    value = preview.observed
    if whole:
        yield "      relies on:"
        yield from argument_lines("observed", value, "        ", whole=True)
    else:
        yield f"      relies on: {short(value)}"
    for name, earlier in sorted(preview.follows.items()):
        yield f"        as step {_name(earlier)} leaves {visible(name)}"


def _among_own_steps(preview: StepPreview) -> Iterator[str]:
    if preview.seen_before:
        steps = f"{'step' if len(preview.seen_before) == 1 else 'steps'} {listed(preview.seen_before)}"
        yield f"      looked at before the plan's own changes: {steps} will have written by then"
    if preview.observed == UNKNOWN and len(preview.follows) > 1:
        yield "      CAUTION: it cannot compare with all of these, so it will need another approval after those steps"
    for name, steps_beside in sorted(preview.beside.items()):
        steps = f"{'step' if len(steps_beside) == 1 else 'steps'} {listed(steps_beside)}"
        yield f"      CAUTION: {steps} would change {visible(name)} too, in no order with this step:"
        yield "        the call that comes second finds it changed and needs another approval; use `after`"


def _beside_the_call(step: SealedStep) -> Iterator[str]:
    if step.dedupe_key is not None:
        key = _name(step.dedupe_key)
        yield f"      dedupe key: {key} (counts as the same call only with the same key, whatever the arguments are)"
    if step.moved_from is not None:
        yield f"      agent moved from {_name(step.moved_from)} to {_name(step.agent)}"
    if step.after:
        yield f"      after: {', '.join(step.after)}"


def _conflicts(sealed: Sealed) -> Iterator[str]:
    if sealed.conflicts:
        yield "Conflicts:"
        for conflict in sealed.conflicts:
            yield f"  {conflict.kind.value} -> {conflict.answer.value}: {visible(conflict.detail)}"
        yield ""


def _rollback(sealed: Sealed) -> Iterator[str]:
    if sealed.order:
        yield f"Order of the calls: {', '.join(sealed.order)}"
    if sealed.point_of_no_return:
        step = sealed.point_of_no_return
        yield f"Point of no return: {step} (what it does cannot be undone; it comes as late as the plan allows)"
    elif sealed.order:
        yield "Point of no return: none, every call of this plan can be undone or only reads"
    yield (
        "If a call fails: what is live is undone in reverse order"
        if sealed.rolls_back_on_failure
        else "If a call fails: the plan stops and waits for a human (the policy does not roll back by itself)"
    )


def _commands(sealed: Sealed, digest: str) -> Iterator[str]:
    who = f" ({visible(', '.join(sealed.approvers))})" if sealed.approvers else ""
    needed = f"{count(sealed.approvals_required, 'approval')} by a person other than {_name(sealed.requested_by)}{who}"
    yield f"Needs {needed} within {sealed.approval_timeout}."
    if sealed.approval_valid_for is not None:
        yield f"An approval is valid for {sealed.approval_valid_for}: a call that begins later needs another one."
    if sealed.signature_required != "never":
        yield f"Signatures are required ({sealed.signature_required}): approve with airlock approve --sign-key"
    yield "To approve exactly this:"
    yield f"  {approve_command(sealed, digest)}"


def _name(text: str) -> str:
    """Return a plain word as it is, any other name quoted: it must not read like part of the preview."""
    return text if _PLAIN.fullmatch(text) else quoted(text)
