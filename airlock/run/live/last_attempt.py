"""The outcome of a call whose last attempt is made: what earlier attempts may have done counts too."""

from airlock.base.text import shorten
from airlock.plans.outcome import CallFailed, CallInDoubt, CallOutcome, CallStale, RetryableFailure


def final_outcome(made: CallOutcome, doubtful: bool, retry: RetryableFailure | None, attempt: int = 1) -> CallOutcome:
    """Return the outcome of a call after its last attempt.

    A failure after a doubtful attempt leaves the call in doubt. So does a stale state after an attempt that may have
    written: its own write may be the change that was found.

    Args:
        made: The answer to the last attempt.
        doubtful: True if an earlier attempt may have taken effect.
        retry: The failure of the attempt before; None if this was the first.
        attempt: The number of the last attempt.
    """
    if isinstance(made, CallFailed | CallStale):
        unsure = retry is not None and not retry.certain and isinstance(made, CallStale)
        if doubtful or unsure:
            undo = made.undo if isinstance(made, CallFailed) else retry.undo if retry else None
            text = shorten(f"an earlier attempt may have taken effect; then: {made.error}")
            return CallInDoubt(step=made.step, error=text, undo=undo, attempt=attempt)
    if isinstance(made, CallInDoubt | CallFailed) and made.attempt != attempt:  # the worker of a doubt does not count
        return made.model_copy(update={"attempt": attempt})
    return made


def outcome_of_last_retry(last: RetryableFailure, doubtful: bool, stopped: str, attempt: int = 1) -> CallOutcome:
    """Return the outcome of a call that could have been tried again, and is not.

    Args:
        last: The failure of the last attempt.
        doubtful: True if an attempt may have taken effect.
        stopped: The reason why only another approval lets it be tried again; empty if there is none.
        attempt: The number of the last attempt.
    """
    if stopped and last.certain and not doubtful:
        return CallStale(step=last.step, error=stopped)  # nothing was done: a new approval may repeat it
    if doubtful:
        return CallInDoubt(
            step=last.step, error=last.error, undo=last.undo, token_lost=last.token_lost, lost=last.lost, attempt=attempt
        )
    return CallFailed(step=last.step, error=last.error, undo=last.undo, attempt=attempt)
