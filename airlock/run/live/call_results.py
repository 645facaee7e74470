"""The outcomes of live calls, probes and compensations, and their consequences for a run."""

from collections.abc import Iterable
from datetime import datetime

from airlock.base.text import shorten
from airlock.plans.outcome import (
    CallFailed,
    CallInDoubt,
    CallOutcome,
    CallStale,
    CallSucceeded,
    ProbeAnswer,
    UndoFailed,
    UndoOutcome,
)
from airlock.plans.state import Event, State
from airlock.run.audit import AuditKind
from airlock.run.call_record import CallEvent, CallStatus
from airlock.run.outcome import Outcome
from airlock.run.outputs import drop_left, drop_output, keep_left, keep_output
from airlock.run.standing_decisions import RollbackRequest
from airlock.run.state import Run
from airlock.run.undo_scope import steps_to_undo

_NOT_YET = (
    "the probe says that it has not happened, but the call may still be under way: its worker was lost and may only be "
    "frozen, or its target had not answered. Make sure that it has ended, then settle the step"
)
_NOT_KEPT = "its output cannot be kept: it is not JSON, or all outputs together are too large"


def take_outcomes(run: Run, outcomes: Iterable[CallOutcome], now: datetime) -> None:
    """Record the outcomes of calls. A stale call was not made and leaves no record, only an audit entry."""
    for outcome in outcomes:
        match outcome:
            case CallSucceeded():
                run.renewals, run.handed_back_since = 0, None
                _take_success(run, outcome, now)
            case CallFailed():
                before = run.calls.get(outcome.step)
                token = outcome.undo if outcome.undo is not None else before.undo if before else None
                if run.change_call(
                    outcome.step, CallEvent.FAILED, now, number=run.audited + 1, undo=token, error=shorten(outcome.error),
                    attempt=outcome.attempt, undone=_times_undone(run, outcome), failed=True,
                ):  # fmt: skip
                    run.record(AuditKind.CALL, "failed", now, step=outcome.step, reason=outcome.error)
            case CallInDoubt():
                if run.change_call(
                    outcome.step, CallEvent.IN_DOUBT, now, number=run.audited + 1, undo=outcome.undo,
                    error=shorten(outcome.error), attempt=outcome.attempt, undone=_times_undone(run, outcome),
                    running=outcome.running, token_lost=outcome.token_lost, lost=outcome.lost or outcome.step in run.lost,
                ):  # fmt: skip
                    run.record(AuditKind.CALL, "in_doubt", now, step=outcome.step, reason=outcome.error)
            case CallStale():
                run.record(AuditKind.CALL, "stale", now, step=outcome.step, reason=outcome.error)


def _take_success(run: Run, outcome: CallSucceeded, now: datetime) -> None:
    step = outcome.step
    if not run.change_call(
        step, CallEvent.SUCCEEDED, now, number=run.audited + 1, undo=outcome.undo, attempt=outcome.attempt,
        undone=_times_undone(run, outcome), drift=outcome.drift, matched=outcome.matched, seconds=outcome.seconds,
        broken=bool(outcome.broken), error=shorten(outcome.broken), receipt=outcome.receipt,
    ):  # fmt: skip
        return
    run.record(AuditKind.CALL, "live", now, step=step, reason=outcome.broken)
    if outcome.broken:
        return
    keep_left(run, step, outcome.leaves, outcome.left_receipt)
    if outcome.drift:
        run.record(AuditKind.DRIFT, "drift", now, step=step, reason=", ".join(outcome.drift))
    if not keep_output(run, step, outcome.output):
        # the call took effect and must not be made again; only a step that reads its output cannot be called
        run.calls[step] = run.calls[step].model_copy(update={"error": _NOT_KEPT})
        run.record(AuditKind.CALL, "output_not_kept", now, step=step, reason=_NOT_KEPT)


def _times_undone(run: Run, outcome: CallSucceeded | CallFailed | CallInDoubt) -> int:
    # the worker of a run that was reset may know of more compensations than the run does
    before = run.calls.get(outcome.step)
    return max(before.undone if before else 0, outcome.undone)


def take_probe(run: Run, answer: ProbeAnswer, now: datetime) -> None:
    """Settle a call in doubt if the tool's probe can tell.

    A human may settle the call while the probe is running. The human's word counts: the table of calls then refuses the
    probe's answer, and the audit records it.
    """
    record = run.calls[answer.step]
    if answer.happened is False and not _no_is_certain(run, answer.step):
        answer = answer.model_copy(update={"happened": None, "why": f"{_NOT_YET}{f' ({answer.why})' if answer.why else ''}"})
        if not record.probed and record.status is CallStatus.IN_DOUBT:
            run.calls[answer.step] = record.model_copy(update={"error": shorten(f"{record.error}; {_NOT_YET}")})
    if answer.happened is None:
        if run.change_call(answer.step, CallEvent.PROBE_CANNOT_TELL, now, probed=True):
            run.record(AuditKind.CALL, "probe_cannot_tell", now, step=answer.step, reason=answer.why)
    elif answer.happened:
        undo = answer.undo if answer.undo is not None else record.undo
        # the probe could have returned a lost token; since it did not, the compensation needs none
        if run.change_call(answer.step, CallEvent.PROBE_HAPPENED, now, undo=undo, error="", token_lost=False):
            run.record(AuditKind.CALL, "probe_happened", now, step=answer.step, reason=answer.why)
            keep_output(run, answer.step, answer.output)
    else:
        error = f"{record.error} (the probe says it did not happen)"
        if run.change_call(answer.step, CallEvent.PROBE_DID_NOT_HAPPEN, now, undo=None, error=error, failed=True):
            run.record(AuditKind.CALL, "probe_did_not_happen", now, step=answer.step, reason=answer.why)


def _no_is_certain(run: Run, step: str) -> bool:
    """Return True if a call that has no effect when its probe looks can have none afterwards."""
    contract = run.contracts().contract(step)
    lost = run.calls[step].lost or run.calls[step].running
    # a run from before there were epochs goes on as it began
    return not lost or contract.fenced or run.contracts().epoch < 1


def after_calls(
    run: Run,
    stale: Iterable[CallStale],
    now: datetime,
    *,
    deadline_passed: bool,
    aged: str = "",
    stuck: bool = False,
) -> None:
    """Decide the next state of a LIVE plan once no call is running; do nothing while calls remain to be made.

    Args:
        run: The plan's run.
        stale: The calls that were not made because the state they rely on has changed.
        now: UTC.
        deadline_passed: True if the plan's deadline has passed.
        aged: Why the approval lets no further call begin; empty while it does.
        stuck: True if no call could begin although some remain.
    """
    if run.state is not State.LIVE:
        return
    by_status = run.steps_with
    stale_calls = list(stale)
    if by_status[CallStatus.IN_DOUBT]:
        step = by_status[CallStatus.IN_DOUBT][0]
        run.apply(Event.CALL_IN_DOUBT, now, reason=f"step {step!r} is in doubt: {run.calls[step].error}")
    elif by_status[CallStatus.FAILED]:
        step = by_status[CallStatus.FAILED][0]
        _fail(run, f"step {step!r} failed: {run.calls[step].error}", now)
    elif broken := [step for step in by_status[CallStatus.LIVE] if run.calls[step].broken]:
        _fail(run, f"step {broken[0]!r} failed: {run.calls[broken[0]].error}", now)
    elif set(run.approved) <= set(run.live):
        left_out = by_status[CallStatus.DUPLICATE]
        run.apply(Event.CALLS_DONE, now, reason=f"left out as duplicates: {', '.join(left_out)}" if left_out else "")
    elif deadline_passed:
        _fail(run, "the plan's deadline passed", now)
    elif stale_calls:
        _stale(run, stale_calls[0], now)
    elif aged:  # the world has not changed: what is live stays, whatever the policy says about stale calls
        run.apply(Event.STALE, now, reason=aged)
    elif stuck:
        _fail(run, "the remaining steps depend on steps that are not live", now)


def stop_calls(run: Run, reason: str, now: datetime) -> None:
    """Make no further call of a LIVE plan, for a reason of Airlock's own; the policy decides about those that are live."""
    _fail(run, reason, now)


def _fail(run: Run, reason: str, now: datetime) -> None:
    if run.contracts().policy.enable_rollback_on_failure:
        run.rollback = RollbackRequest(by="airlock", reason=reason)
        run.apply(Event.CALL_FAILED, now, reason=reason)
    else:
        run.apply(Event.CALL_FAILED_KEPT, now, reason=f"{reason}; the policy does not roll back by itself")


def _stale(run: Run, outcome: CallStale, now: datetime) -> None:
    reason = f"step {outcome.step!r} was not called: {outcome.error}"
    admitted = run.contracts()
    if admitted.policy.rollback_on_stale and any(admitted.contract(step).undoable for step in run.live):
        run.rollback = RollbackRequest(by="airlock", reason=reason)
        run.apply(Event.STALE_UNDO, now, reason=reason)
    else:
        run.apply(Event.STALE, now, reason=reason)


def take_undo(run: Run, outcome: UndoOutcome, now: datetime) -> None:
    """Record the outcome of a compensation; a failed one parks the plan."""
    if isinstance(outcome, UndoFailed):
        if run.change_call(outcome.step, CallEvent.UNDO_FAILED, now, error=shorten(outcome.error)):
            run.record(AuditKind.UNDO, "undo_failed", now, step=outcome.step, reason=outcome.error)
    else:
        _take_undone(run, outcome.step, CallEvent.UNDONE, now)


def take_found_undone(run: Run, step: str, now: datetime) -> None:
    """Record a compensation whose success only the history of an ended run shows."""
    _take_undone(run, step, CallEvent.FOUND_UNDONE, now)


def _take_undone(run: Run, step: str, event: CallEvent, now: datetime) -> None:
    if run.change_call(step, event, now, undone=run.calls[step].undone + 1, undo=None, error=""):
        drop_output(run, step)
        drop_left(run, step)
        run.record(AuditKind.UNDO, "undone", now, step=step)


def keep(run: Run, step: str, now: datetime) -> None:
    """Record that a rollback keeps a step, which is irreversible."""
    if run.change_call(step, CallEvent.KEPT, now):
        run.record(AuditKind.UNDO, "kept", now, step=step, reason="irreversible")


def after_rollback(run: Run, now: datetime) -> None:
    """Decide the next state of a plan in ROLLBACK once no compensation is running; do nothing while steps remain."""
    if run.state is not State.ROLLBACK:
        return
    if run.parked:
        step = run.parked[0]
        run.apply(Event.COMPENSATION_FAILED, now, reason=f"step {step!r} needs a human: {run.calls[step].error}")
    elif not _left_to_undo(run):
        run.apply(Event.COMPENSATED, now, reason=run.rollback.reason if run.rollback else "")


def _left_to_undo(run: Run) -> tuple[str, ...]:
    # asked again at the end: a probe may find during the rollback that a call in doubt took effect
    return tuple(
        step
        for step in steps_to_undo(run)
        if (run.calls[step].status is CallStatus.LIVE and not run.contracts().contract(step).read_only)
        or (run.calls[step].undo is not None and run.contracts().contract(step).undoable)
    )


def outcome_of(run: Run) -> Outcome:
    """Return the outcome of a closed run."""
    if run.outcome is not None:
        return run.outcome
    if run.state is State.ABORTED:
        return Outcome.ABORTED
    if not run.live:
        return Outcome.REHEARSED
    return Outcome.COMPLETED if len(run.live) == len(run.plan.steps) else Outcome.PARTIAL
