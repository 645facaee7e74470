"""The times in which Temporal may have refused a worker's word, as a history tells them."""

from datetime import UTC, datetime, timedelta

import pytest
from temporalio.api.enums.v1 import TimeoutType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent

from airlock.temporal import past_calls
from airlock.temporal.past_calls import _Told

START = datetime(2026, 1, 1, tzinfo=UTC)
ENDED, UNTIL = 100, 120
"""Seconds at which the activity ended unbegun, and at which its history ends."""


def event(kind: str, at: float) -> HistoryEvent:
    """Return an event of a kind, so many seconds after the start."""
    made = HistoryEvent()
    made.event_time.FromDatetime(START + timedelta(seconds=at))
    if kind == "completed":
        made.workflow_task_completed_event_attributes.SetInParent()
    elif kind == "started":
        made.workflow_task_started_event_attributes.SetInParent()
    elif kind == "signal":
        made.workflow_execution_signaled_event_attributes.SetInParent()
    elif kind in ("START_TO_CLOSE", "SCHEDULE_TO_START"):
        attributes = made.workflow_task_timed_out_event_attributes
        attributes.timeout_type = TimeoutType.Value(f"TIMEOUT_TYPE_{kind}")
    else:
        cause = WorkflowTaskFailedCause.Value(f"WORKFLOW_TASK_FAILED_CAUSE_{kind}")
        made.workflow_task_failed_event_attributes.cause = cause
    return made


CLOSING, FAILED = "UNHANDLED_COMMAND", "WORKFLOW_WORKER_UNHANDLED_FAILURE"


@pytest.mark.parametrize(
    ("events", "unheard"),
    [
        ([], False),
        ([("started", 99), ("signal", 101), ("completed", 110)], False),
        ([(CLOSING, 101), ("completed", 109)], True),
        ([(CLOSING, 106), ("completed", 109)], False),  # after the silence
        ([(CLOSING, 99), ("completed", 108)], True),  # the next task is held since before the end
        ([(CLOSING, 10), ("started", 99), ("completed", 108)], True),  # it is begun as late as its holder likes
        ([(CLOSING, 99), ("signal", 103)], True),  # it never ends
        ([(CLOSING, 90), ("completed", 99)], False),  # a task that ends well lets the run take signals again
        ([(CLOSING, 90), ("completed", 99), ("started", 101), ("completed", 110)], False),
        ([(CLOSING, 80), ("completed", 81), (CLOSING, 99), ("completed", 108)], True),
        ([(FAILED, 101), ("completed", 109)], True),  # the attempt after it may have tried to close the run
        ([("START_TO_CLOSE", 99), ("completed", 101)], True),
        ([("SCHEDULE_TO_START", 101), ("completed", 109)], False),  # after it comes no attempt that leaves no event
        ([("RESET_WORKFLOW", 99), ("completed", 109)], False),
    ],
)
def test_silence_is_believed_unless_temporal_may_have_refused_the_word(
    events: list[tuple[str, float]], unheard: bool
) -> None:
    closing = past_calls._closing([event(kind, at) for kind, at in events])
    told = _Told(START + timedelta(seconds=UNTIL), {}, False, closing)
    assert past_calls._is_unheard(event("signal", ENDED), told) is unheard
