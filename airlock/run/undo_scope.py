"""The scope of a rollback: the steps that it covers."""

from airlock.plans.graph import descendants
from airlock.run.call_record import CallRecord, CallStatus
from airlock.run.state import Run


def steps_to_undo(run: Run) -> tuple[str, ...]:
    """Return the steps that a rollback covers: all called steps, or `to_step` with all after or depending on it."""
    target = run.rollback.to_step if run.rollback else None
    called = [step for step in run.calls if _may_need_undo(run.calls[step])]
    if target is None or not called:
        return tuple(sorted(called))
    behind = {target, *descendants(run.contracts().parents, target)}
    first = run.calls[target].number if target in run.calls else None
    return tuple(
        sorted(step for step in called if step in behind or (first is not None and run.calls[step].number >= first))
    )


def _may_need_undo(record: CallRecord) -> bool:
    if record.status is CallStatus.FAILED_BEFORE:
        return record.undo is not None
    return record.status in (CallStatus.LIVE, CallStatus.FAILED)
