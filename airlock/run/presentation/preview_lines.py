"""The lines of a preview: those of each step, and those about the plan as a whole."""

import re
from collections.abc import Iterator
from itertools import chain

from airlock.base.text import count, listed
from airlock.base.visible import visible
from airlock.plans.applied_rule import Effect, with_effect
from airlock.plans.contract import Mode
from airlock.plans.outcome import StepPreview
from airlock.plans.refs import UNKNOWN
from airlock.run.decisions.quorum import asked_by_rules
from airlock.run.presentation.approval_needs import approvals_needed, demand_lines, sealed_demands
from airlock.run.presentation.argument_lines import argument_lines, short
from airlock.run.presentation.derived import derived_mark
from airlock.run.presentation.former_values import text_changes
from airlock.run.presentation.undo_preview import quoted
from airlock.run.sealing.sealed import MAX_SHOWN_READ, Sealed, SealedRead, SealedStep

SIGNS = {"read_only": "·", "reversible": "~", "compensable": "~", "irreversible": "!"}
"""The sign of a step in the preview, by its reversibility."""
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@:+-]{0,99}")


def frame_lines(sealed: Sealed) -> Iterator[str]:
    """Yield everything that a preview shows beside its steps, but for what seal it replaces."""
    alone = sealed.model_copy(update={"replaces": None, "amended": None})
    return chain(header_lines(alone), conflict_lines(alone), rollback_lines(alone), requirement_lines(alone))


def header_lines(sealed: Sealed) -> Iterator[str]:
    """Yield what the plan is about, and how many of its steps would go live."""
    yield f"Plan {sealed.plan_id}: {quoted(sealed.goal) if sealed.goal else '(no goal given)'}"
    yield f"requested by {named(sealed.requested_by)}, submitted {sealed.submitted_at}" + "".join(
        f", {name} {visible(value)}"
        for name, value in (
            ("phase 21 plan", sealed.phase21_plan_id),
            ("phase 22 validation", sealed.phase22_validation_id),
            ("deadline", sealed.deadline),
        )
        if value
    )
    if sealed.replaces and sealed.amended is not None:
        by, why = named(sealed.amended.by), quoted(sealed.amended.reason)
        yield f"replaces the preview {sealed.replaces[:16]}, amended by {by}: {why}"
        yield "approvals of the steps that are shown as before still count for them; all others are approved again"
    elif sealed.replaces:
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


def writes_live(step: SealedStep) -> bool:
    """Return True if an approval would let this step change something."""
    return step.ceiling is Mode.LIVE and not step.already_live and step.reversibility != "read_only"


def step_lines(step: SealedStep, *, whole: bool = False) -> Iterator[str]:
    """Yield the lines of one step."""
    kind = f"[{step.risk}, {step.reversibility}]"
    yield f"  {SIGNS[step.reversibility]} {step.id}  {named(step.tool)}  by {named(step.agent)}  {kind} -> {goes_to(step)}"
    yield from beside_the_call(step)
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
        yield from _approval(step)


def _approval(step: SealedStep) -> Iterator[str]:
    """Yield what the policy says of the approval of one step, where it is not what it says of all."""
    if step.approval_waived:
        allowed = ", ".join(rule.rule for rule in with_effect(step.rules, Effect.ALLOW))
        yield "      approval: waived by the policy" + (f" (rule {allowed})" if allowed else "")
    for rule in with_effect(step.rules, Effect.ASK):
        yield f"      approval: {visible(rule.sentence)}"


def _previewed(step: SealedStep, preview: StepPreview, whole: bool) -> Iterator[str]:
    yield f"      effect: {visible(preview.effect)}"
    for name, value in sorted(preview.args.items()):
        mark = derived_mark(step, name)
        yield from argument_lines(name, value, "        ", whole=whole or writes_live(step), mark=mark)
    yield from text_changes(preview, "        ")
    if preview.observed is not None:
        yield from _observed(preview, whole)
    yield from among_own_steps(preview)
    if not preview.looked:
        yield "      not looked at: the outcome is (known after live)"


def goes_to(step: SealedStep) -> str:
    """Return where an approval would let a step go, or where it is already."""
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
        yield f"        as step {named(earlier)} leaves {visible(name)}"


def among_own_steps(preview: StepPreview) -> Iterator[str]:
    """Yield how a step stands to what other steps of its plan change, with a caution where they meet."""
    if preview.seen_before:
        steps = f"{'step' if len(preview.seen_before) == 1 else 'steps'} {listed(preview.seen_before)}"
        yield f"      looked at before the plan's own changes: {steps} will have written by then"
    if preview.observed == UNKNOWN and len(preview.follows) > 1:
        yield "      CAUTION: it cannot compare with all of these, so it will need another approval after those steps"
    for name, steps_beside in sorted(preview.beside.items()):
        steps = f"{'step' if len(steps_beside) == 1 else 'steps'} {listed(steps_beside)}"
        yield f"      CAUTION: {steps} would change {visible(name)} too, in no order with this step:"
        yield "        the call that comes second finds it changed and needs another approval; use `after`"


def beside_the_call(step: SealedStep) -> Iterator[str]:
    """Yield what belongs to a step besides its call: dedupe key, agent, proposers, the steps before it."""
    if step.dedupe_key is not None:
        key = named(step.dedupe_key)
        yield f"      dedupe key: {key} (counts as the same call only with the same key, whatever the arguments are)"
    if step.proposed_by:
        yield f"      proposed by {', '.join(map(named, step.proposed_by))}: their approval does not count for this step"
    if step.moved_from is not None:
        yield f"      agent moved from {named(step.moved_from)} to {named(step.agent)}"
    if step.after:
        yield f"      after: {', '.join(step.after)}"


def conflict_lines(sealed: Sealed) -> Iterator[str]:
    """Yield the conflicts of a plan and how they were answered; nothing without conflicts."""
    if sealed.conflicts:
        yield "Conflicts:"
        for conflict in sealed.conflicts:
            yield f"  {conflict.kind.value} -> {conflict.answer.value}: {visible(conflict.detail)}"
        yield ""


def rollback_lines(sealed: Sealed) -> Iterator[str]:
    """Yield the order of the calls, the point of no return, and what happens when a call fails."""
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


def requirement_lines(sealed: Sealed) -> Iterator[str]:
    """Yield what an approval of this seal needs, sentence by sentence."""
    who = f" ({visible(', '.join(sealed.approvers))})" if sealed.approvers else ""
    demands = sealed_demands(sealed)
    needed = count(approvals_needed(sealed, demands), "approval")
    yield f"Needs {needed} by a person other than {named(sealed.requested_by)}{who} within {sealed.approval_timeout}."
    if asked := asked_by_rules(sealed):
        yield f"Rules of the policy ask for {listed(asked)}; one approval counts wherever it fits."
    for rule, reason in sorted(sealed.rule_reasons.items()):
        yield f"  rule {rule}: {visible(reason)}"
    if sealed.approval_valid_for is not None:
        yield f"An approval is valid for {sealed.approval_valid_for}: a call that begins later needs another one."
    yield from map(visible, sealed.approval_rules or demand_lines(sealed, demands))


def named(text: str) -> str:
    """Return a plain word as it is, any other name quoted: it must not read like part of the preview."""
    return text if _PLAIN.fullmatch(text) else quoted(text)
