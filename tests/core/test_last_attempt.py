"""A call after its last attempt: what an earlier attempt may have done is never forgotten."""

import pytest

from airlock.plans.outcome import CallFailed, CallInDoubt, CallOutcome, CallStale, CallSucceeded, RetryableFailure
from airlock.run.live.last_attempt import final_outcome, outcome_of_last_retry

WORKED = CallSucceeded(step="a", output=1)
FAILED = CallFailed(step="a", error="no such row", undo={"row": 7})
STALE = CallStale(step="a", error="the row changed")
UNSURE = RetryableFailure(step="a", error="no answer", undo={"row": 1}, certain=False, doubtful=True)
SURE = RetryableFailure(step="a", error="busy", certain=True, doubtful=False)


@pytest.mark.parametrize("doubtful", [False, True])
@pytest.mark.parametrize("retry", [None, SURE, UNSURE])
def test_a_call_that_worked_has_worked(doubtful: bool, retry: RetryableFailure | None) -> None:
    assert final_outcome(WORKED, doubtful, retry) is WORKED


@pytest.mark.parametrize(
    ("made", "doubtful", "retry", "in_doubt", "undo"),
    [
        (FAILED, False, None, False, None),
        (FAILED, False, SURE, False, None),
        (FAILED, False, UNSURE, False, None),
        (FAILED, True, UNSURE, True, {"row": 7}),
        (STALE, False, None, False, None),
        (STALE, False, SURE, False, None),
        (STALE, False, UNSURE, True, {"row": 1}),
        (STALE, True, SURE, True, None),
        (STALE, True, None, True, None),
    ],
)
def test_a_failure_after_an_attempt_that_may_have_written_leaves_doubt(
    made: CallOutcome, doubtful: bool, retry: RetryableFailure | None, in_doubt: bool, undo: object
) -> None:
    found = final_outcome(made, doubtful, retry)
    if not in_doubt:
        assert found is made
        return
    assert isinstance(found, CallInDoubt)
    assert found.undo == undo
    assert isinstance(made, CallFailed | CallStale)
    assert found.error == f"an earlier attempt may have taken effect; then: {made.error}"


def test_a_call_that_is_not_tried_again_is_stale_only_if_certainly_nothing_was_done() -> None:
    assert outcome_of_last_retry(SURE, False, "the approval is too old") == CallStale(
        step="a", error="the approval is too old"
    )
    assert outcome_of_last_retry(SURE, False, "") == CallFailed(step="a", error="busy")
    assert outcome_of_last_retry(UNSURE, False, "the approval is too old") == CallFailed(
        step="a", error="no answer", undo={"row": 1}
    )
    for stopped in ("", "the approval is too old"):
        lost = UNSURE.model_copy(update={"token_lost": True, "lost": True})
        assert outcome_of_last_retry(lost, True, stopped) == CallInDoubt(
            step="a", error="no answer", undo={"row": 1}, token_lost=True, lost=True
        )


@pytest.mark.parametrize("attempt", [1, 3])
def test_the_outcome_tells_how_often_the_call_was_made(attempt: int) -> None:
    """A worker answers a doubt without the number, so that a call made three times read as made once."""
    doubt = CallInDoubt(step="a", error="no answer")
    assert final_outcome(doubt, True, UNSURE, attempt) == doubt.model_copy(update={"attempt": attempt})
    for made in (FAILED, STALE):
        found = final_outcome(made, True, UNSURE, attempt)
        assert isinstance(found, CallInDoubt)
        assert found.attempt == attempt
    for doubtful in (False, True):
        last = outcome_of_last_retry(UNSURE, doubtful, "", attempt)
        assert isinstance(last, CallFailed | CallInDoubt)
        assert last.attempt == attempt
