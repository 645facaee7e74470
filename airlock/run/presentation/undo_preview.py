"""The preview of an undo after the end: the content of its seal, and its text."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from airlock.admission.admitted import OWN_STEPS_EPOCH
from airlock.base.names import idempotency_key
from airlock.base.text import listed, shorten
from airlock.base.visible import visible
from airlock.plans.graph import topological_order
from airlock.plans.plan import Step
from airlock.plans.seal import seal
from airlock.run.call_record import CallStatus
from airlock.run.live.recovery import steps_left
from airlock.run.sealing.kept_seals import keep_seal
from airlock.run.sealing.sealed import ReplacedSeal, Sealed, approval_rules
from airlock.run.state import Run
from airlock.run.undo import Prospect, UndoContent, UndoLook, UndoStep

UNDO_SIGNS = {
    Prospect.UNDO: "-",
    Prospect.NOT_LOOKED: "-",
    Prospect.WOULD_FAIL: "x",
    Prospect.KEPT: "!",
    Prospect.IN_DOUBT: "?",
}
"""The sign of a step in the preview of an undo."""
UNDO_RESULTS = {
    Prospect.UNDO: "would be undone",
    Prospect.NOT_LOOKED: "would be undone (not looked at)",
    Prospect.WOULD_FAIL: "would FAIL as things are now, and wait for a human",
    Prospect.KEPT: "is kept",
    Prospect.IN_DOUBT: "is in doubt",
}
"""The prospects of a step in words."""


def seal_undo(run: Run, looks: Iterable[UndoLook], now: datetime) -> None:
    """Seal the preview of an undo; an earlier seal of it is replaced.

    Args:
        run: The run of the undo after its recovery; changed in place.
        looks: The results of the tools' checks.
        now: UTC.
    """
    policy, undoing = run.contracts().policy, run.undoing
    assert undoing is not None
    steps = undo_steps(run, looks)
    sealed = Sealed(
        plan_id=run.plan.plan_id,
        submitted_at=run.submitted_at.isoformat(timespec="seconds"),
        goal=run.plan.goal,
        requested_by=undoing.by,
        steps=(),
        order=tuple(step.id for step in steps if step.prospect is not Prospect.KEPT),
        policy_hash=run.contracts().policy_hash,
        approvals_required=policy.approvals_of_any,
        **approval_rules(policy, run.contracts().epoch),
        approvers=policy.approvers,
        signature_required=policy.signature_required.value,
        approval_timeout=policy.approval_timeout,
        approval_valid_for=policy.approval_valid_for,
        replaces=run.digest,
        life=run.life if run.contracts().epoch >= 1 else "",
        undo=UndoContent(by=undoing.by, reason=undoing.reason, to_step=undoing.to_step, steps=steps),
    )
    if run.digest is not None and run.sealed is not None and run.sealed.undo is not None:
        run.replaced = (ReplacedSeal(digest=run.digest, why=run.why, changed=_changed(run.sealed.undo, steps)),)
    run.sealed, run.digest = sealed, seal(sealed)
    run.votes, run.approved, run.approved_until = (), (), None
    run.sealed_at = now
    keep_seal(run)
    run.expires_at = now + timedelta(seconds=policy.approval_timeout_seconds)


def undo_steps(run: Run, looks: Iterable[UndoLook]) -> tuple[UndoStep, ...]:
    """Return the steps of an undo in the order of their compensation; steps that stay come last."""
    by_step = {look.step: look for look in looks}
    remaining = set(steps_left(run))
    backwards = tuple(reversed(topological_order(run.contracts().parents)))
    kept = {step for step in run.live if step not in remaining and not run.contracts().contract(step).read_only}
    by_id = {step.id: step for step in run.steps}
    undone = [
        _undo_step(run, by_id[step], _prospect(run, step, by_step.get(step))) for step in backwards if step in remaining
    ]
    return (*undone, *(_undo_step(run, by_id[step], _kept(run, step)) for step in backwards if step in kept))


def _kept(run: Run, step: str) -> tuple[Prospect, str]:
    irreversible = run.contracts().contract(step).irreversible
    return Prospect.KEPT, "it cannot be undone" if irreversible else "it is outside of what was asked for"


def _undo_step(run: Run, step: Step, expected: tuple[Prospect, str]) -> UndoStep:
    contract, record = run.contracts().contract(step.id), run.calls[step.id]
    prospect, says = expected
    return UndoStep(
        id=step.id,
        agent=step.agent,
        tool=step.tool,
        risk=contract.risk.value,
        reversibility=contract.reversibility.value,
        call=idempotency_key(run.plan.plan_id, step.id, record.undone),
        prospect=prospect,
        says=shorten(says),
    )


def _prospect(run: Run, step: str, look: UndoLook | None) -> tuple[Prospect, str]:
    contract, record = run.contracts().contract(step), run.calls[step]
    if record.status is CallStatus.IN_DOUBT:
        probed = f"{contract.tool} is asked first; " if contract.has_probe else ""
        then = "if it happened it is undone" if contract.undoable else "it cannot be undone"
        sealed = f"{record.error}; {probed}{then}; what nobody can tell waits for `resolve`"  # sealed: never reworded
        return Prospect.IN_DOUBT, sealed
    if record.token_lost and record.undo is None:
        return Prospect.WOULD_FAIL, "its undo token went down with its worker: undo it by hand"
    if look is None or not look.looked:
        return Prospect.NOT_LOOKED, look.error if look is not None else ""
    if look.error and (first := _undone_before(run, step)):
        return Prospect.NOT_LOOKED, f"only after the undo of {listed(first)}, made on this change: {look.error}"  # sealed
    return (Prospect.WOULD_FAIL, look.error) if look.error else (Prospect.UNDO, look.effect)


def _undone_before(run: Run, step: str) -> list[str]:
    """Return the calls of this undo that were made on the change of a step, so that a look today finds their state."""
    if run.contracts().epoch < OWN_STEPS_EPOCH:
        return []
    return [each for each in steps_left(run) if step in run.calls[each].follows]


def _changed(before: UndoContent, after: tuple[UndoStep, ...]) -> tuple[str, ...]:
    old, new = {step.id: step for step in before.steps}, {step.id: step for step in after}
    return tuple(f"undo.{step}" for step in sorted({*old, *new}) if old.get(step) != new.get(step))[:50]


def quoted(text: str) -> str:
    """Return a foreign text between quotation marks, all of it visible: it cannot end itself and go on as ours."""
    return visible(json.dumps(text, ensure_ascii=False))


def undo_lines(sealed: Sealed, content: UndoContent) -> Iterator[str]:
    """Yield the preview of an undo, line by line, without its digest and commands."""
    goal = quoted(sealed.goal) if sealed.goal else "(no goal given)"
    yield f"Undo of plan {sealed.plan_id}, which has ended: {goal}"
    yield f"requested by {quoted(content.by)}, {sealed.submitted_at}: {quoted(content.reason)}"
    if content.to_step is not None:
        yield f"back to step {content.to_step}: that step and everything after or depending on it"
    if sealed.replaces:
        yield f"replaces the preview {sealed.replaces[:16]}: what was approved then must be approved again"
    yield ""
    for step in content.steps:
        yield from undo_step_lines(step)
    yield ""
    yield from undo_order_lines(sealed)
    yield f"The digest covers which calls are undone, not their arguments. Read those first: airlock show {sealed.plan_id}"


def undo_order_lines(sealed: Sealed) -> Iterator[str]:
    """Yield the order of the undos, and what happens when one fails."""
    yield f"Order: {', '.join(sealed.order)}"
    yield "If an undo fails: the undos that do not depend on it go on, then the plan waits for `resolve`"


def undo_step_lines(step: UndoStep) -> Iterator[str]:
    """Yield the lines of one step of an undo."""
    kind = f"[{step.risk}, {step.reversibility}]"
    tool, agent = quoted(step.tool), quoted(step.agent)
    yield f"  {UNDO_SIGNS[step.prospect]} {step.id}  {tool}  by {agent}  {kind} -> {UNDO_RESULTS[step.prospect]}"
    if step.says:
        yield f"      {visible(step.says)}"
