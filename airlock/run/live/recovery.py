"""Conclusions from histories about calls that a run itself does not know of, after a termination or a reset.

`activities.history` reads the evidence from the histories; this file only judges it.
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
    CallUnpermitted,
    RetryableFailure,
    Undone,
    UndoOutcome,
)
from airlock.run.call_record import CallEvent, CallRecord, CallStatus, changed
from airlock.run.decisions.consequences import rollback_of
from airlock.run.live.call_messages import CallRequest, ChainRequest, MadeCall
from airlock.run.live.call_results import take_found_undone, take_outcomes
from airlock.run.state import Run
from airlock.run.undo_scope import steps_to_undo

_UNANSWERED = "the run that made this call ended before its answer was known"
_CONCLUDED = (CallStatus.LIVE, CallStatus.KEPT, CallStatus.IN_DOUBT, CallStatus.UNDO_FAILED)
"""Statuses of calls that need no further answer: the run already knows that they took effect, or doubts it."""


class CallActivity(WireModel):
    """One activity `call` as a history shows it. A step in neither `attempts` nor `lost` certainly did not begin."""

    run_id: str
    request: ChainRequest
    attempts: tuple[Attempt, ...] = ()
    """The known answers, in the order of the calls."""
    lost: tuple[str, ...] = ()
    """The steps that may have begun and have no known answer."""


class UndoActivity(WireModel):
    """One activity `compensate` as a history shows it; without an outcome it may still be running."""

    run_id: str
    request: MadeCall
    outcome: UndoOutcome | None = None


class HistoryEvidence(WireModel):
    """The calls and compensations that some runs commanded, oldest first."""

    calls: tuple[CallActivity, ...] = Field(default=())
    undos: tuple[UndoActivity, ...] = Field(default=())


class _Trial(WireModel):
    """One attempt of one call."""

    run_id: str
    request: CallRequest
    answer: CallOutcome | RetryableFailure | None
    """None if the answer is unknown: the attempt may have taken effect."""


def conclude(evidence: HistoryEvidence, step: str, undone: int) -> CallOutcome | None:
    """Return the outcome of a call by all answers about it; None if it never began.

    A failure settles no doubt that an earlier attempt left. A stale call was not made.

    Args:
        evidence: The evidence of the histories.
        step: The step.
        undone: The number of compensated calls of the step before this one, which tells its calls apart.
    """
    outcome: CallOutcome | None = None
    doubt: CallInDoubt | None = None
    sure, run_id, undo = True, "", None
    for trial in _trials(evidence, step, undone):
        if isinstance(trial.answer, CallSucceeded):
            return trial.answer
        if trial.request.attempt == 1 and trial.run_id == run_id:
            outcome, doubt, sure = None, None, True  # the run itself called again, so it had settled the earlier attempts
        run_id, answer, attempt = trial.run_id, trial.answer, trial.request.attempt
        undo = trial.request.undo if answer is None else getattr(answer, "undo", None) or undo
        if isinstance(answer, CallInDoubt):
            doubt = answer.model_copy(update={"attempt": attempt})
        elif answer is None:
            if not trial.request.contract.read_only:
                doubt = CallInDoubt(
                    step=step, error=_UNANSWERED, undo=undo, token_lost=undo is None, lost=True, attempt=attempt
                )
            outcome = outcome or CallFailed(step=step, error=_UNANSWERED, attempt=attempt)
        elif isinstance(answer, RetryableFailure):
            sure = sure and answer.certain
            outcome = CallFailed(step=step, error=answer.error, undo=undo, attempt=attempt)
            if answer.doubtful:
                doubt = CallInDoubt(
                    step=step, error=answer.error, undo=undo, token_lost=answer.token_lost, lost=answer.lost, attempt=attempt
                )
        elif isinstance(answer, CallStale) and not sure:
            doubt = CallInDoubt(step=step, error=_after_doubt(answer.error), undo=undo, attempt=attempt)
        else:
            outcome = answer
    return doubt or outcome


def unanswered(evidence: HistoryEvidence) -> tuple[str, ...]:
    """Return the steps with an attempt that may still be running or have an effect: lost, in doubt, or not answered."""
    steps: set[str] = set()
    for activity in evidence.calls:
        writing = {call.step.id for call in activity.request.calls if not call.contract.read_only}
        unsure = {
            answer.step
            for answer in activity.attempts
            if isinstance(answer, CallInDoubt) or (isinstance(answer, RetryableFailure) and answer.doubtful)
        }
        steps |= writing & (unsure | set(activity.lost))
    return tuple(sorted(steps))


def _after_doubt(error: str) -> str:
    return shorten(f"an earlier attempt may have taken effect; then: {error}")


def _trials(evidence: HistoryEvidence, step: str, undone: int) -> list[_Trial]:
    trials: list[_Trial] = []
    for activity in evidence.calls:
        answers = {answer.step: answer for answer in activity.attempts}
        for call in activity.request.calls:
            answer = answers.get(call.step.id)
            if isinstance(answer, CallUnpermitted) or (isinstance(answer, RetryableFailure) and answer.elsewhere):
                continue  # not begun
            began = answer is not None or call.step.id in activity.lost
            if call.step.id == step and began and max(call.undone, _times_undone(answer)) == undone:
                trials.append(_Trial(run_id=activity.run_id, request=call, answer=answer))
    return trials


def _times_undone(answer: Attempt | None) -> int:
    # a run that was reset may request an older call than the one its worker then made: the worker read the histories
    return answer.undone if isinstance(answer, CallSucceeded | CallFailed | CallInDoubt) else 0


def times_undone(evidence: HistoryEvidence, step: str, known: int) -> int:
    """Return the number of times that a step's call was compensated; the run itself knows of the first `known`."""
    done = {
        undo.request.undone for undo in evidence.undos if undo.request.step.id == step and isinstance(undo.outcome, Undone)
    }
    while known in done:
        known += 1
    return known


def repeat_or_answer(call: CallRequest, earlier: HistoryEvidence) -> CallRequest | CallSucceeded | CallInDoubt:
    """Return the call that a run after a reset must make, or the answer that the call had in an earlier run.

    The call is made if it certainly took no effect, or if it was compensated since: then it is another call, with an
    idempotency key of its own. It is in doubt if the histories cannot tell.

    Args:
        call: The call.
        earlier: The evidence of the other runs of this plan, and of its undo.
    """
    step, undone = call.step.id, times_undone(earlier, call.step.id, call.undone)
    outcome = conclude(earlier, step, undone)
    if isinstance(outcome, CallSucceeded):
        compensating = any(undo.request.step.id == step and undo.request.undone == undone for undo in earlier.undos)
        if not compensating:
            return outcome.model_copy(update={"undone": undone})
        error = "an earlier run made it, and a compensation that did not succeed may have undone it"
        return CallInDoubt(step=step, error=error, undo=outcome.undo, undone=undone)
    if isinstance(outcome, CallInDoubt):
        error = shorten(f"an earlier run of this plan may have made it: {outcome.error}")
        return outcome.model_copy(update={"error": error, "undone": undone})
    token = outcome.undo if isinstance(outcome, CallFailed) and outcome.undo is not None else call.undo
    return call.model_copy(update={"undone": undone, "undo": token if undone == call.undone or outcome else None})


def overlay(run: Run, evidence: HistoryEvidence, now: datetime, *, was_reset: bool) -> None:
    """Add to a closed run the calls and compensations that the histories show and the run has not recorded.

    Args:
        run: The run as of its last workflow task; changed in place.
        evidence: The evidence of the histories of its workflow.
        now: The time at which it was closed, UTC.
        was_reset: True if it was reset: then calls unknown to it may have taken effect in an earlier run.
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
        if outcome is not None and (current is None or current.status not in _CONCLUDED):
            if not isinstance(outcome, CallStale):
                outcome = outcome.model_copy(update={"undone": undone})
            take_outcomes(run, [outcome], now)
    run.in_flight = ()


def seconds_until_quiet(run: Run, evidence: HistoryEvidence) -> float:
    """Return the seconds after the end of a run in which its calls may still be running; a chain makes no next call."""
    timeouts = [max(call.contract.timeout for call in each.request.calls) for each in evidence.calls if each.lost]
    timeouts += [undo.request.contract.timeout for undo in evidence.undos if undo.outcome is None]
    return max(timeouts, default=0.0) if run.calls else 0.0


def keep_follows(run: Run) -> None:
    """Note in each call on whose changes it was made, from the last seal of a run that has ended."""
    for step in run.sealed.steps if run.sealed is not None else ():
        record = run.calls.get(step.id)
        if record is not None and step.preview is not None and step.preview.follows:
            follows = tuple(sorted(set(step.preview.follows.values())))
            run.calls[step.id] = record.model_copy(update={"follows": follows})


def begin_undo(run: Run, ended: Run, quiet_at: datetime | None) -> str:
    """Fill the run of an undo with the calls, outputs and claims of the ended plan.

    Args:
        run: The run of the undo, new; changed in place.
        ended: The plan's run, or the run of its latest undo, brought up to date.
        quiet_at: The time at which its last call must have ended, UTC; None if no call may be running.

    Returns:
        The reason why there is nothing to undo; empty if there is something.
    """
    assert run.undoing is not None
    run.undoing = run.undoing.model_copy(update={"recovered": True, "quiet_at": quiet_at})
    run.plan, run.admitted = ended.plan, ended.admitted
    run.outputs, run.carried, run.claims = ended.outputs, ended.carried, ended.claims
    run.calls = {step: _asked_to_undo(ended, step, record) for step, record in ended.calls.items()}
    run.rollback = rollback_of(run.undoing)
    if run.undoing.to_step is not None and run.plan.step(run.undoing.to_step) is None:
        return run.plan.no_step(run.undoing.to_step)
    if run.admitted is None or not run.calls:
        return "nothing of this plan went live"
    return "" if steps_left(run) else _nothing_left(run)


def steps_left(run: Run) -> tuple[str, ...]:
    """Return the steps that an undo would compensate or that must be settled first, in the plan's order."""
    parked = frozenset(run.parked)
    covered = parked.union(steps_to_undo(run))
    return tuple(step.id for step in run.plan.steps if step.id in covered and (step.id in parked or _remains(run, step.id)))


def _remains(run: Run, step: str) -> bool:
    record = run.calls[step]
    return run.contracts().contract(step).undoable and (record.status is CallStatus.LIVE or record.undo is not None)


def _asked_to_undo(ended: Run, step: str, record: CallRecord) -> CallRecord:
    """Return a call as the undo sees it: the request for the undo asks again for a failed or skipped compensation."""
    undoable = ended.contracts().contract(step).undoable
    skipped = record.status is CallStatus.KEPT and undoable and record.undo is not None
    if record.status is CallStatus.UNDO_FAILED or skipped:
        retried = changed(record, CallEvent.RETRY_FAILED if record.failed else CallEvent.RETRY)
        assert retried is not None
        return retried
    return record


def _nothing_left(run: Run) -> str:
    target = f" from {run.undoing.to_step!r} on" if run.undoing and run.undoing.to_step else ""
    kept = [step for step in run.live if run.contracts().contract(step).irreversible]
    undone = run.steps_with[CallStatus.UNDONE]
    reasons = [
        *([f"undone already: {', '.join(undone)}"] if undone else []),
        *([f"cannot be undone: {', '.join(kept)}"] if kept else []),
    ]
    return f"nothing{target} is left to undo" + (f" ({'; '.join(reasons)})" if reasons else ": what went live only read")


def unrecorded(calls: Sequence[CallRequest], made: Sequence[Attempt]) -> tuple[CallRequest, ...]:
    """Return the calls of a chain that certainly did not begin if its record is the latest one.

    Args:
        calls: The calls of the chain.
        made: The attempts that were recorded before its worker was lost.
    """
    return () if made and not isinstance(made[-1], CallSucceeded) else tuple(calls[len(made) + 1 :])


def lost_after(request: ChainRequest, made: Sequence[Attempt]) -> tuple[str, ...]:
    """Return the steps of a chain without a known answer if its worker was lost after these attempts: at most the next."""
    if made and not isinstance(made[-1], CallSucceeded):
        return ()
    return tuple(call.step.id for call in request.calls[len(made) : len(made) + 1])
