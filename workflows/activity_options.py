"""Options of an activity as a workflow starts it."""

from datetime import timedelta
from typing import TypedDict

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType

with workflow.unsafe.imports_passed_through():
    from airlock.activities.options import Options

MAX_SUMMARY = 200
"""Characters of a summary, so that it stays one line of the Temporal UI."""


class ActivityOptions(TypedDict):
    """Keyword arguments of `workflow.start_activity` and its siblings; mypy checks them at every call."""

    task_queue: str
    activity_id: str
    """Part of the recorded histories: with Temporal's default ids a swapped order would go unnoticed."""
    summary: str
    """A short text for the Temporal UI; never arguments or outputs."""
    start_to_close_timeout: timedelta
    heartbeat_timeout: timedelta | None
    retry_policy: RetryPolicy
    cancellation_type: ActivityCancellationType


def activity_options(
    limits: Options, queue: str, activity_id: str, summary: str, *, finish: bool = False
) -> ActivityOptions:
    """Return the options of one activity.

    Args:
        limits: Its timeouts and retries.
        queue: The task queue of the workers that may carry it out.
        activity_id: Its id, unique among the open activities of the run.
        summary: A text for the Temporal UI; cut to `MAX_SUMMARY` characters.
        finish: True if a cancellation waits for the activity's own end, because the outcome of work in progress must be
            known. Otherwise a cancellation abandons the result immediately.
    """
    cancellation = ActivityCancellationType
    return {
        "task_queue": queue,
        "activity_id": activity_id,
        "summary": summary[:MAX_SUMMARY],
        "start_to_close_timeout": limits.start_to_close,
        "heartbeat_timeout": limits.heartbeat,
        "retry_policy": limits.retry,
        "cancellation_type": cancellation.WAIT_CANCELLATION_COMPLETED if finish else cancellation.TRY_CANCEL,
    }
