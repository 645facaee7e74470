"""Attempts at a chain of calls, as the result or the failure of its activity tells them."""

from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, CancelledError, TimeoutType
from temporalio.exceptions import TimeoutError as ActivityTimeout

with workflow.unsafe.imports_passed_through():
    from pydantic import TypeAdapter, ValidationError

    from airlock.base.text import shorten
    from airlock.plans.outcome import Attempt, CallFailed, CallInDoubt, CallSucceeded, RetryableFailure
    from airlock.run.live.call_messages import CallRequest, ChainResult
    from airlock.temporal.proof_converter import Unproven

    _ATTEMPTS = TypeAdapter(list[Attempt])


def attempts_in(result: Any, requests: Sequence[CallRequest]) -> list[Attempt]:
    """Return the attempts of a result. A result that no worker returns puts every call of the chain in doubt."""
    try:
        answer = ChainResult.model_validate(result)
    except ValidationError:
        answer = ChainResult()
    steps = [made.step for made in answer.attempts]
    if steps == [asked.step.id for asked in requests[: len(steps)]] and (steps or answer.stopped):
        return list(answer.attempts)
    return all_in_doubt(requests, "its activity was answered with something no worker of Airlock answers")


def attempts_after_failure(error: ActivityError, requests: Sequence[CallRequest]) -> list[Attempt]:
    """Return the known attempts of a chain whose activity failed, timed out or was cancelled.

    Calls without an attempt were never begun.
    """
    if isinstance(error.cause, CancelledError) and error.started_event_id == 0:
        return []  # cancelled before a worker began it: the activity has one attempt, so no call was made
    if not isinstance(error.cause, ActivityTimeout):
        # it raised, or a client failed or cancelled it by hand after it had begun: no outcome is known
        return all_in_doubt(requests, f"the activity failed: {error.cause}")
    made = recorded(error)
    if made is None:
        return all_in_doubt(requests, "its worker is gone, and its record was overwritten by another client")
    if len(made) == len(requests) or (made and not isinstance(made[-1], CallSucceeded)):
        return made
    return [*made, _lost_attempt(requests[len(made)], f"its worker is gone or did not answer in time: {error.cause}")]


def behind_the_record(attempts: Sequence[Attempt], rest: Sequence[CallRequest], why: str) -> list[Attempt]:
    """Return the attempts of a chain whose worker is gone, with the doubt about the calls that its record does not tell of.

    Args:
        attempts: The attempts by the record; the last one is that at the first call without a known outcome.
        rest: The calls after that one.
        why: The reason of the doubt.
    """
    writing = [call for call in rest if not call.contract.read_only]
    known = list(attempts)
    if known and isinstance(known[-1], RetryableFailure):
        # the worker may only be cut off: none of them is repeated before its own timeout has ended it there
        unsafe = [call.contract.timeout for call in writing if not call.contract.idempotent]
        known[-1] = known[-1].model_copy(update={"after": max(known[-1].after, *unsafe, 0.0)})
    return [*known, *all_in_doubt(writing, why)]


def recorded(error: ActivityError) -> list[Attempt] | None:
    """Return the attempts of a chain by the record that was kept when it timed out; None if there is no such record."""
    details = (
        error.cause.last_heartbeat_details if isinstance(error.cause, ActivityTimeout) else [Unproven("it did not time out")]
    )
    if any(isinstance(detail, Unproven) for detail in details):
        return None
    return _ATTEMPTS.validate_python(details[0]) if details else []


def not_begun_in_time(error: ActivityError) -> bool:
    """Return True if no worker began the activity before its time to begin was over: no call was made."""
    cause = error.cause
    return isinstance(cause, ActivityTimeout) and cause.type is TimeoutType.SCHEDULE_TO_START and error.started_event_id == 0


def all_in_doubt(requests: Sequence[CallRequest], why: str) -> list[Attempt]:
    """Return the attempts of a chain of which nothing is known."""
    return [CallInDoubt(step=asked.step.id, error=shorten(why), token_lost=True, lost=True) for asked in requests]


def _lost_attempt(lost: CallRequest, why: str) -> Attempt:
    """Return the attempt at a call that was in flight when its worker was lost."""
    step, text, contract = lost.step.id, shorten(why), lost.contract
    if not lost.last_attempt:
        # the worker may only be cut off and still calling: repeat after the call's own timeout has ended it there
        harmless = contract.read_only or contract.idempotent
        doubtful = not contract.read_only
        return RetryableFailure(
            step=step,
            error=text,
            doubtful=doubtful,
            undo=lost.undo,
            after=0.0 if harmless else contract.timeout,
            token_lost=doubtful and lost.undo is None,
            lost=doubtful,
        )
    if contract.read_only:
        return CallFailed(step=step, error=text, attempt=lost.attempt)
    return CallInDoubt(step=step, error=text, undo=lost.undo, token_lost=lost.undo is None, lost=True)
