"""The way from rehearsals to a seal: mocks and dry runs lower ceilings, then the preview is sealed."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from airlock.admission.admitted import SETTLED_EPOCH, Admitted
from airlock.admission.ceiling import too_long_to_show
from airlock.admission.conflicts.conflict import Conflict
from airlock.base.canonical import canonical_json, differences
from airlock.base.text import shorten
from airlock.plans.applied_rule import Effect, with_effect, with_reason
from airlock.plans.contract import Mode
from airlock.plans.outcome import MockFailed, Previewed, PreviewFailed, StepPreview
from airlock.plans.seal import seal
from airlock.plans.state import Event, State
from airlock.run.audit import AuditKind
from airlock.run.call_record import CallEvent, changed, is_possible
from airlock.run.decisions.kept_votes import keep_votes
from airlock.run.outcome import DRY_RUN_FAILED, MOCK_FAILED
from airlock.run.outputs import drop_all_left
from airlock.run.sealing.amendment import amended_seal
from airlock.run.sealing.earlier_seal import EarlierSeal
from airlock.run.sealing.kept_seals import keep_seal
from airlock.run.sealing.sealed import (
    MAX_SHOWN_READ,
    ReplacedSeal,
    Sealed,
    SealedRead,
    SealedStep,
    rules_left,
    sealed_content,
)
from airlock.run.state import Run

MAX_HEAVY_BYTES = 500_000
"""The limit for all large previews together, in bytes of JSON, so that the run fits a continue-as-new."""
_HEAVY_FROM = 2_000
MAX_FORMER_BYTES, MAX_FORMER_STEPS = 150_000, 500
"""The limits for former values: in bytes of JSON together with the large previews, and in steps of the plan. They help to
read a plan, and must never be what makes it too large."""
MAX_REPLACED = 50
"""Earlier seals that a run remembers."""
_TOWARDS_LIVE = (Event.PREVIEWED.value, Event.APPROVED.value)


def time_of(run: Run, at: datetime | None, now: datetime) -> datetime:
    """Return the time to record for what a worker did by its own clock: in the order of the record, not later than now."""
    last = run.audit[-1].at if run.audit else run.since
    return now if at is None else min(max(at, last, run.since), now)


def begin_rehearsal(run: Run, admitted: Admitted) -> None:
    """Begin at MOCK: live steps stay live, all others are rehearsed again."""
    keep_seal(run)  # one that the run before this one carried on: its policy and contracts are replaced now
    run.admitted = admitted
    # the other plan's call may be undone or settled by now, so admission looks for it again
    calls = {
        step: changed(call, CallEvent.REHEARSAL) if is_possible(call.status, CallEvent.REHEARSAL) else call
        for step, call in run.calls.items()
    }
    run.calls = {step: call for step, call in calls.items() if call is not None}
    run.fallen, run.previews, run.heavy_previews = {}, {}, 0
    run.update_ceilings()


def begin_previews(run: Run) -> None:
    """Begin at DRY_RUN: the previews and failures of an earlier DRY_RUN are discarded, since the world has moved on."""
    run.previews, run.heavy_previews = {}, 0
    run.fallen = {step: cap for step, cap in run.fallen.items() if step in run.mock_failed}
    run.update_ceilings()


def record_conflicts(run: Run, conflicts: Iterable[Conflict], now: datetime) -> None:
    """Record in the audit every conflict that admission found, with its answer and its first step."""
    for conflict in conflicts:
        run.record(
            AuditKind.CONFLICT,
            conflict.kind.value,
            now,
            step=conflict.steps[0] if conflict.steps else None,
            reason=conflict.detail,
            answer=conflict.answer.value,
        )


def take_mocks(run: Run, failures: Iterable[MockFailed]) -> None:
    """Lower the ceilings of steps whose mock failed, and of every step that depends on them."""
    for failure in failures:
        run.fall(failure.step, Mode.MOCK, f"{MOCK_FAILED}{failure.error}")
    run.mock_failed = tuple(run.fallen)
    run.update_ceilings()


def take_previews(run: Run, previews: Iterable[StepPreview | PreviewFailed]) -> None:
    """Record the previews. A step whose dry run failed falls to MOCK, and so does every step that depends on it."""
    former = sum(len(canonical_json(known.former)) for known in run.previews.values() if known.former)
    small = len(run.plan.steps) <= MAX_FORMER_STEPS
    for preview in previews:
        if isinstance(preview, PreviewFailed):
            run.fall(preview.step, Mode.MOCK, f"{DRY_RUN_FAILED}{preview.error}")
            continue
        if isinstance(preview, Previewed):
            preview = preview.kept
        heavy = _heavy(preview)
        if preview.former:
            size = len(canonical_json(preview.former))
            if small and run.heavy_previews + heavy + former + size <= MAX_FORMER_BYTES:
                former += size
            else:
                preview = preview.without_former()
        if run.heavy_previews + heavy > MAX_HEAVY_BYTES:
            run.fall(preview.step, Mode.MOCK, "the previews of this plan are too large together")
        elif not _is_json(preview):
            run.fall(preview.step, Mode.MOCK, f"{DRY_RUN_FAILED}what it returned cannot be written as JSON")
        else:
            run.previews[preview.step] = preview
            run.heavy_previews += heavy
            _cap_unreadable(run, preview)
            _cap_denied(run, preview)
    run.update_ceilings()


def _cap_unreadable(run: Run, preview: StepPreview) -> None:
    """Keep a call below LIVE whose arguments, with the values read from other steps, no approver could read."""
    admitted = run.contracts()
    if admitted.epoch >= 1 and (reason := too_long_to_show(admitted.contract(preview.step), preview.args)):
        run.fall(preview.step, Mode.DRY_RUN, reason)


def _cap_denied(run: Run, preview: StepPreview) -> None:
    """Keep a call below LIVE that a rule may deny: the values that it reads are still not known."""
    for rule in with_effect(rules_left(run.contracts().steps[preview.step].rules, preview), Effect.DENY):
        if rule.unknown:
            reasons = run.contracts().policy.rule_reasons
            run.fall(preview.step, Mode.DRY_RUN, with_reason(rule, reasons))


def seal_run(run: Run, now: datetime) -> None:
    """Seal the preview; an earlier seal is replaced, and the paths that changed are recorded.

    The previews are part of the seal from then on, so `run.previews` is emptied: the run carries them once.
    """
    admitted = run.contracts()
    for step in run.left(Mode.LIVE):
        if step not in run.previews:
            run.fall(step, Mode.MOCK, "it was not previewed")
    run.update_ceilings()
    sealed = sealed_content(
        run.plan, admitted, run.ceilings, run.previews, run.live, run.submitted_at.isoformat(timespec="seconds")
    )
    if any(record.read for record in run.calls.values()):
        sealed = sealed.model_copy(update={"steps": tuple(_as_read(run, step) for step in sealed.steps)})
    if admitted.epoch >= SETTLED_EPOCH:
        sealed = sealed.model_copy(update={"steps": tuple(_unwaived(run, step) for step in sealed.steps)})
    if admitted.epoch >= 1:
        sealed = sealed.model_copy(update={"life": run.life})
    amendment, before, votes = run.amendment, None, run.votes
    direct = amendment is not None and amendment.is_alone(run.moves)
    if run.digest is not None and run.sealed is not None:
        before = EarlierSeal(digest=run.digest, sealed=run.sealed, sealed_at=run.sealed_at)
        changed = _changed(run.sealed, sealed)
        sealed = amended_seal(run.sealed, sealed, amendment, direct=direct)
        sealed = sealed.model_copy(update={"replaces": run.digest})
        run.replaced = (*run.replaced, ReplacedSeal(digest=run.digest, why=_why_replaced(run), changed=changed))
        run.replaced = run.replaced[-MAX_REPLACED:]
    run.sealed, run.digest = sealed, seal(sealed)
    drop_all_left(run)
    run.previews, run.votes, run.approved, run.approved_until = {}, (), (), None
    run.amendment = None
    if before is not None and direct:
        keep_votes(run, before, votes, now)
    else:
        run.earlier = ()
    run.sealed_at = now
    keep_seal(run)
    run.expires_at = now + timedelta(seconds=admitted.policy.approval_timeout_seconds)
    deadline = run.deadline_at
    if deadline is not None:
        run.expires_at = min(run.expires_at, deadline)


def _as_read(run: Run, step: SealedStep) -> SealedStep:
    """Return a step with what it returned, if it was read before the preview and the run still carries that."""
    record = run.calls.get(step.id)
    if record is None or record.read is None or step.id not in run.outputs:
        return step
    output = run.outputs[step.id]
    size = len(canonical_json(output))
    shown = output if size <= MAX_SHOWN_READ else None
    return step.model_copy(update={"read": SealedRead(**dict(record.read), size=size, output=shown)})


def _unwaived(run: Run, step: SealedStep) -> SealedStep:
    """Return a step that needs an approval, if a message settled its call.

    Any client can send such a message, about a call that was made or still runs. A policy that waives approvals would make
    it again without a person who has looked.
    """
    record = run.calls.get(step.id)
    return step.model_copy(update={"approval_waived": False}) if record is not None and record.settled else step


def begin_life(run: Run, life: str) -> None:
    """Begin a life of a run: at its start, and again after a reset.

    A seal that waits for approval is replaced. Otherwise an approval that was given before the reset, and that every client
    can read and send again, would count once more for calls that were undone since.

    Args:
        run: The plan's run; changed in place.
        life: A name that no other life in the namespace has.
    """
    run.life, run.earlier, run.nonces = life, (), None
    if run.amendment is not None:
        run.amendment = run.amendment.model_copy(update={"moves": -1})
    if run.admitted is None or run.admitted.epoch < 1 or run.sealed is None or run.digest is None:
        return
    if run.state is State.AWAITING_APPROVAL:
        keep_seal(run)
        replaced = ReplacedSeal(digest=run.digest, why="the run was reset", changed=())
        run.replaced = (*run.replaced, replaced)[-MAX_REPLACED:]
        run.sealed = run.sealed.model_copy(update={"life": life, "replaces": run.digest})
        run.digest = seal(run.sealed)
        run.votes, run.approved, run.approved_until = (), (), None
        keep_seal(run)


def _why_replaced(run: Run) -> str:
    """Return the reason of the first transition that left the current seal: a lock, a stale call."""
    for entry in run.audit:
        if entry.kind is AuditKind.TRANSITION and entry.digest == run.digest and entry.what not in _TOWARDS_LIVE:
            return entry.reason
    return run.why


def _heavy(preview: StepPreview) -> int:
    """Return the size of a large preview without its former values, or 0: thousands of small ones compress well."""
    size = len(preview.model_dump_json(exclude={"former"}))
    return size if size > _HEAVY_FROM else 0


def _is_json(preview: StepPreview) -> bool:
    try:
        canonical_json(preview.model_dump(mode="json"))
    except ValueError:
        return False
    return True


def _changed(before: Sealed, after: Sealed) -> tuple[str, ...]:
    """Return the paths at which two seals differ, steps by their id."""
    return tuple(shorten(path, 200) for path in differences(_by_step(before), _by_step(after))[:50])


def _by_step(sealed: Sealed) -> dict[str, object]:
    content = sealed.model_dump(mode="json", exclude={"replaces", "life"})
    content["steps"] = {step["id"]: step for step in content["steps"]}
    return content
