"""The effects of live calls' and compensations' outcomes on a run."""

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
    Undone,
    UndoOutcome,
)
from airlock.plans.state import Event, State
from airlock.run.audit import AuditKind
from airlock.run.call_record import CallRecord, CallStatus
from airlock.run.decisions import steps_to_undo
from airlock.run.state import Outcome, RollbackRequest, Run

_NOT_KEPT = "its output cannot be kept: it is not JSON, or all outputs together are too large"


def take_outcomes(run: Run, outcomes: Iterable[CallOutcome], now: datetime) -> None:
    """Record how calls ended. A stale call was not made and leaves no record, only an audit entry."""
    for outcome in outcomes:
        before = run.calls.get(outcome.step)
        undone = max(before.undone if before else 0, 0 if isinstance(outcome, CallStale) else outcome.undone)
        number = run.audited + 1
        match outcome:
            case CallSucceeded():
                run.calls[outcome.step] = CallRecord(
                    status=CallStatus.LIVE, number=number, undo=outcome.undo, attempt=outcome.attempt, undone=undone,
                    drift=outcome.drift, matched=outcome.matched, seconds=outcome.seconds,
                    broken=bool(outcome.broken), error=shorten(outcome.broken),
                )  # fmt: skip
                run.record(AuditKind.CALL, "live", now, step=outcome.step, reason=outcome.broken)
                if outcome.broken:
                    continue
                if outcome.drift:
                    run.record(AuditKind.DRIFT, "drift", now, step=outcome.step, reason=", ".join(outcome.drift))
                if not run.keep_output(outcome.step, outcome.output):
                    # it took effect and must not be made again; only a step that reads its output cannot be called
                    run.calls[outcome.step] = run.calls[outcome.step].model_copy(update={"error": _NOT_KEPT})
                    run.record(AuditKind.CALL, "output_not_kept", now, step=outcome.step, reason=_NOT_KEPT)
            case CallFailed():
                token = outcome.undo if outcome.undo is not None else before.undo if before else None
                run.calls[outcome.step] = CallRecord(
                    status=CallStatus.FAILED, number=number, undo=token, error=shorten(outcome.error),
                    attempt=outcome.attempt, undone=undone, failed=True,
                )  # fmt: skip
                run.record(AuditKind.CALL, "failed", now, step=outcome.step, reason=outcome.error)
            case CallInDoubt():
                run.calls[outcome.step] = CallRecord(
                    status=CallStatus.IN_DOUBT,
                    number=number,
                    undo=outcome.undo,
                    error=shorten(outcome.error),
                    undone=undone,
                    running=outcome.running,
                    token_lost=outcome.token_lost,
                )
                run.record(AuditKind.CALL, "in_doubt", now, step=outcome.step, reason=outcome.error)
            case CallStale():
                run.record(AuditKind.CALL, "stale", now, step=outcome.step, reason=outcome.error)


def take_probe(run: Run, answer: ProbeAnswer, now: datetime) -> None:
    """Settle a call in doubt where the tool's own probe can tell."""
    record = run.calls[answer.step]
    if record.status is not CallStatus.IN_DOUBT:
        return  # a human settled it while the probe was looking: that word counts
    if answer.happened is None:
        run.calls[answer.step] = record.model_copy(update={"probed": True})
        run.record(AuditKind.CALL, "probe_cannot_tell", now, step=answer.step, reason=answer.why)
        return
    what = "probe_happened" if answer.happened else "probe_did_not_happen"
    run.record(AuditKind.CALL, what, now, step=answer.step, reason=answer.why)
    if answer.happened:
        undo = answer.undo if answer.undo is not None else record.undo
        # the tool's own probe could have given the token back: where it did not, its compensation needs none
        found = {"status": CallStatus.LIVE, "undo": undo, "error": "", "token_lost": False}
        run.calls[answer.step] = record.model_copy(update=found)
        run.keep_output(answer.step, answer.output)
    else:
        error = f"{record.error} (the probe says it did not happen)"
        run.calls[answer.step] = record.model_copy(
            update={"status": CallStatus.FAILED, "undo": None, "error": error, "failed": True}
        )


def after_calls(run: Run, stale: Iterable[CallStale], now: datetime, *, deadline_passed: bool, stuck: bool = False) -> None:
    """Decide where a LIVE plan goes when no call is running any more; does nothing while calls are left to make.

    Args:
        run: The plan's run.
        stale: The calls that were not made because what they rely on has moved.
        now: UTC.
        deadline_passed: Whether the plan's deadline has passed.
        stuck: Whether no call could be begun although some are left.
    """
    if run.state is not State.LIVE:
        return
    by_status = run.steps_with
    moved = list(stale)
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
    elif moved:
        _stale(run, moved[0], now)
    elif stuck:
        _fail(run, "the steps that are left wait for steps that are not live", now)


def _fail(run: Run, reason: str, now: datetime) -> None:
    if run.contracts().policy.enable_rollback_on_failure:
        run.rollback = RollbackRequest(by="airlock", reason=reason)
        run.apply(Event.CALL_FAILED, now, reason=reason)
    else:
        run.apply(Event.CALL_FAILED_KEPT, now, reason=f"{reason}; the policy does not roll back by itself")


def _stale(run: Run, moved: CallStale, now: datetime) -> None:
    reason = f"step {moved.step!r} was not called: {moved.error}"
    admitted = run.contracts()
    if admitted.policy.rollback_on_stale and any(admitted.contract(step).undoable for step in run.live):
        run.rollback = RollbackRequest(by="airlock", reason=reason)
        run.apply(Event.STALE_UNDO, now, reason=reason)
    else:
        run.apply(Event.STALE, now, reason=reason)


def take_undo(run: Run, outcome: UndoOutcome, now: datetime) -> None:
    """Record how a compensation ended; one that failed parks the plan."""
    record = run.calls[outcome.step]
    if isinstance(outcome, Undone):
        run.calls[outcome.step] = record.model_copy(
            update={"status": CallStatus.UNDONE, "undone": record.undone + 1, "undo": None, "error": ""}
        )
        run.drop_output(outcome.step)
        run.record(AuditKind.UNDO, "undone", now, step=outcome.step)
    else:
        run.calls[outcome.step] = record.model_copy(
            update={"status": CallStatus.UNDO_FAILED, "error": shorten(outcome.error)}
        )
        run.record(AuditKind.UNDO, "undo_failed", now, step=outcome.step, reason=outcome.error)


def keep(run: Run, step: str, now: datetime) -> None:
    """Report a step as kept by a rollback: it is irreversible."""
    run.calls[step] = run.calls[step].model_copy(update={"status": CallStatus.KEPT})
    run.record(AuditKind.UNDO, "kept", now, step=step, reason="irreversible")


def after_rollback(run: Run, now: datetime) -> None:
    """Decide where a plan goes when no compensation is running any more; does nothing while there is more to undo."""
    if run.state is not State.ROLLBACK:
        return
    if run.parked:
        step = run.parked[0]
        run.apply(Event.COMPENSATION_FAILED, now, reason=f"step {step!r} needs a human: {run.calls[step].error}")
    elif not _left_to_undo(run):
        run.apply(Event.COMPENSATED, now, reason=run.rollback.reason if run.rollback else "")


def _left_to_undo(run: Run) -> tuple[str, ...]:
    # a probe may find during the rollback that a call in doubt happened after all
    return tuple(
        step
        for step in steps_to_undo(run)
        if (run.calls[step].status is CallStatus.LIVE and not run.contracts().contract(step).read_only)
        or (run.calls[step].undo is not None and run.contracts().contract(step).undoable)
    )


def outcome_of(run: Run) -> Outcome:
    """Return the outcome of a run that is closed."""
    if run.outcome is not None:
        return run.outcome
    if run.state is State.ABORTED:
        return Outcome.ABORTED
    if not run.live:
        return Outcome.REHEARSED
    return Outcome.COMPLETED if len(run.live) == len(run.plan.steps) else Outcome.PARTIAL
