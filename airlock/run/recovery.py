"""What histories tell about calls that a run itself does not know of: it was terminated, or it was reset to before them.

Evidence is read from histories by `activities.history`; here it is only judged.
"""

from collections.abc import Sequence
from datetime import datetime

from pydantic import Field

from airlock.base.model import WireModel
from airlock.base.text import shorten
from airlock.plans.outcome import (
    Attempt,
    CallFailed,
    CallInDoubt,
    CallOutcome,
    CallStale,
    CallSucceeded,
    RetryableFailure,
    Undone,
    UndoOutcome,
)
from airlock.run.call_messages import CallRequest, ChainRequest, MadeCall
from airlock.run.call_record import CallEvent, CallRecord, CallStatus, changed
from airlock.run.call_results import take_found_undone, take_outcomes
from airlock.run.decisions import rollback_of, steps_to_undo
from airlock.run.state import Run

_NOBODY_KNOWS = "the run that made this call ended before its answer was known"
_TAKEN = (CallStatus.LIVE, CallStatus.KEPT, CallStatus.IN_DOUBT, CallStatus.UNDO_FAILED)


class CallActivity(WireModel):
    """One activity `call` as a history tells of it.

    `attempts` are the answers that are known, in the order of its calls; of the `lost` steps nothing is known. A step in
    neither was certainly not begun.
    """

    run_id: str
    request: ChainRequest
    attempts: tuple[Attempt, ...] = ()
    lost: tuple[str, ...] = ()


class UndoActivity(WireModel):
    """One activity `compensate` as a history tells of it; without an outcome it may still be at it."""

    run_id: str
    request: MadeCall
    outcome: UndoOutcome | None = None


class HistoryEvidence(WireModel):
    """All calls and compensations that some runs commanded, oldest first."""

    calls: tuple[CallActivity, ...] = Field(default=())
    undos: tuple[UndoActivity, ...] = Field(default=())


class _Trial(WireModel):
    """One attempt of one call; without an answer nobody knows what became of it."""

    run_id: str
    request: CallRequest
    made: Attempt | None


def conclude(evidence: HistoryEvidence, step: str, undone: int) -> CallOutcome | None:
    """How a call ended, by everything that was answered about it; None when it was never begun.

    A failure settles no doubt that an earlier attempt left. A stale call was not made.

    Args:
        evidence: What the histories tell.
        step: The step.
        undone: Which call of that step: the one made after so many were taken back.
    """
    found: CallOutcome | None = None
    doubt: CallInDoubt | None = None
    sure, run_id, undo = True, "", None
    for trial in _trials(evidence, step, undone):
        if isinstance(trial.made, CallSucceeded):
            return trial.made
        if trial.request.attempt == 1 and trial.run_id == run_id:
            found, doubt, sure = None, None, True  # the run itself called again, so it had settled what came before
        run_id, made = trial.run_id, trial.made
        undo = trial.request.undo if made is None else getattr(made, "undo", None) or undo
        if isinstance(made, CallInDoubt):
            doubt = made
        elif made is None:
            if not trial.request.contract.read_only:
                doubt = CallInDoubt(step=step, error=_NOBODY_KNOWS, undo=undo, token_lost=undo is None)
            found = found or CallFailed(step=step, error=_NOBODY_KNOWS)
        elif isinstance(made, RetryableFailure):
            sure = sure and made.certain
            found = CallFailed(step=step, error=made.error, undo=undo)
            if made.doubtful:
                doubt = CallInDoubt(step=step, error=made.error, undo=undo, token_lost=made.token_lost)
        elif isinstance(made, CallStale) and not sure:
            doubt = CallInDoubt(step=step, error=_after_doubt(made.error), undo=undo)
        else:
            found = made
    return doubt or found


def _after_doubt(error: str) -> str:
    return shorten(f"an earlier attempt may have taken effect; then: {error}")


def _trials(evidence: HistoryEvidence, step: str, undone: int) -> list[_Trial]:
    trials: list[_Trial] = []
    for activity in evidence.calls:
        answers = {made.step: made for made in activity.attempts}
        for call in activity.request.calls:
            made = answers.get(call.step.id)
            begun = made is not None or call.step.id in activity.lost
            if call.step.id == step and begun and max(call.undone, _undone(made)) == undone:
                trials.append(_Trial(run_id=activity.run_id, request=call, made=made))
    return trials


def _undone(made: Attempt | None) -> int:
    # a run that was reset may ask for an older call than its worker then made, which knew better
    return made.undone if isinstance(made, CallSucceeded | CallFailed | CallInDoubt) else 0


def times_undone(evidence: HistoryEvidence, step: str, known: int) -> int:
    """How often a step's call was taken back, where the run itself knows of so many times."""
    done = {
        undo.request.undone for undo in evidence.undos if undo.request.step.id == step and isinstance(undo.outcome, Undone)
    }
    while known in done:
        known += 1
    return known


def repeat_or_answer(call: CallRequest, earlier: HistoryEvidence) -> CallRequest | CallSucceeded | CallInDoubt:
    """What to do about a call of a run that was reset: the call to make, or the answer it had in an earlier run.

    It is made when it certainly took no effect, or what it did was taken back since; it is then another call, with a key
    of its own. It is in doubt when nobody knows.

    Args:
        call: The call.
        earlier: What the other runs of this plan, and of its undo, tell.
    """
    step, undone = call.step.id, times_undone(earlier, call.step.id, call.undone)
    outcome = conclude(earlier, step, undone)
    if isinstance(outcome, CallSucceeded):
        tried = any(undo.request.step.id == step and undo.request.undone == undone for undo in earlier.undos)
        if not tried:
            return outcome.model_copy(update={"undone": undone})
        error = "it was made by an earlier run, and a compensation that did not succeed may have taken it back"
        return CallInDoubt(step=step, error=error, undo=outcome.undo, undone=undone)
    if isinstance(outcome, CallInDoubt):
        error = shorten(f"an earlier run of this plan may have made it: {outcome.error}")
        return outcome.model_copy(update={"error": error, "undone": undone})
    token = outcome.undo if isinstance(outcome, CallFailed) and outcome.undo is not None else call.undo
    return call.model_copy(update={"undone": undone, "undo": token if undone == call.undone or outcome else None})


def overlay(run: Run, evidence: HistoryEvidence, now: datetime, *, was_reset: bool) -> None:
    """Bring a closed run up to what the histories tell of calls and compensations it has not taken in.

    Args:
        run: The run as of its last workflow task; changed in place.
        evidence: What the histories of its workflow tell.
        now: When it was closed, UTC.
        was_reset: Whether it was reset: then calls it never heard of may have taken effect in an earlier run.
    """
    for step in run.plan.steps:
        record = run.calls.get(step.id)
        if step.id not in run.in_flight and not (was_reset and record is None):
            continue
        known = record.undone if record else 0
        undone = times_undone(evidence, step.id, known)
        if record is not None and undone > known:
            take_found_undone(run, step.id, now)
        outcome = conclude(evidence, step.id, undone)
        current = run.calls.get(step.id)
        if outcome is not None and (current is None or current.status not in _TAKEN):
            if not isinstance(outcome, CallStale):
                outcome = outcome.model_copy(update={"undone": undone})
            take_outcomes(run, [outcome], now)
    run.in_flight = ()


def seconds_until_quiet(run: Run, evidence: HistoryEvidence) -> float:
    """How long after the end of a run code of its calls may still be running, in seconds: a chain makes no next call."""
    waits = [max(call.contract.timeout for call in each.request.calls) for each in evidence.calls if each.lost]
    waits += [undo.request.contract.timeout for undo in evidence.undos if undo.outcome is None]
    return max(waits, default=0.0) if run.calls else 0.0


def begin_undo(run: Run, ended: Run, quiet_at: datetime | None) -> str:
    """Let the run of an undo know what an ended plan left behind.

    Args:
        run: The run of the undo, fresh; changed in place.
        ended: The plan's run, or that of its latest undo, brought up to date.
        quiet_at: When its last call must have ended, UTC; None when none may be running.

    Returns:
        Why there is nothing to undo; empty when there is.
    """
    assert run.undoing is not None
    run.undoing = run.undoing.model_copy(update={"recovered": True, "quiet_at": quiet_at})
    run.plan, run.admitted = ended.plan, ended.admitted
    run.outputs, run.carried, run.claims = ended.outputs, ended.carried, ended.claims
    run.calls = {step: _asked_again(ended, step, record) for step, record in ended.calls.items()}
    run.rollback = rollback_of(run.undoing)
    if run.undoing.to_step is not None and run.plan.step(run.undoing.to_step) is None:
        return f"there is no step {run.undoing.to_step!r} in this plan"
    if run.admitted is None or not run.calls:
        return "nothing of this plan went live"
    return "" if steps_left(run) else _nothing_left(run)


def steps_left(run: Run) -> tuple[str, ...]:
    """The steps of an undo that would be taken back or must be settled first, in the plan's order."""
    covered = {*steps_to_undo(run), *run.parked}
    return tuple(step.id for step in run.plan.steps if step.id in covered and _is_left(run, step.id))


def _is_left(run: Run, step: str) -> bool:
    record = run.calls[step]
    if step in run.parked:
        return True
    return run.contracts().contract(step).undoable and (record.status is CallStatus.LIVE or record.undo is not None)


def _asked_again(ended: Run, step: str, record: CallRecord) -> CallRecord:
    """A call as the undo finds it: a compensation that failed, or was skipped, is asked for again by asking for the undo."""
    undoable = ended.contracts().contract(step).undoable
    skipped = record.status is CallStatus.KEPT and undoable and record.undo is not None
    if record.status is CallStatus.UNDO_FAILED or skipped:
        again = changed(record, CallEvent.RETRY_FAILED if record.failed else CallEvent.RETRY)
        assert again is not None
        return again
    return record


def _nothing_left(run: Run) -> str:
    target = f" from {run.undoing.to_step!r} on" if run.undoing and run.undoing.to_step else ""
    kept = [step for step in run.live if run.contracts().contract(step).irreversible]
    undone = run.steps_with[CallStatus.UNDONE]
    said = [
        *([f"undone already: {', '.join(undone)}"] if undone else []),
        *([f"cannot be undone: {', '.join(kept)}"] if kept else []),
    ]
    return f"nothing{target} is left to undo" + (f" ({'; '.join(said)})" if said else ": what went live only read")


def lost_after(request: ChainRequest, made: Sequence[Attempt]) -> tuple[str, ...]:
    """The steps of a chain of which nothing is known when its worker was lost after these answers: the next one."""
    if made and not isinstance(made[-1], CallSucceeded):
        return ()
    return tuple(call.step.id for call in request.calls[len(made) : len(made) + 1])
