"""Proof from a closed plan's history that a call was never begun."""

from datetime import UTC, datetime

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from airlock.temporal.past_activities import is_undecodable


async def may_have_called(client: Client, workflow_id: str, run_id: str, step: str, since: datetime) -> bool:
    """Return True if a plan may have begun a step's live call. False is proof that it did not.

    The runs that continued each other as new are read, newest first. Where one of them is missing, was reset from a run
    that is not among them, or where all of them are younger than the claim, nothing is proved.

    Args:
        client: A client of the namespace.
        workflow_id: The plan's workflow, or that of its undo.
        run_id: Its latest run, which is closed.
        step: The step; irreversible, and therefore alone in its activity.
        since: When the call was claimed, UTC.

    Raises:
        RPCError: If Temporal did not answer.
    """
    began = datetime.max.replace(tzinfo=UTC)
    while run_id:
        try:
            events = client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history_events()
            run_id = ""
            async for event in events:
                if event.event_id == 1:
                    run_id = event.workflow_execution_started_event_attributes.continued_execution_run_id
                    began = event.event_time.ToDatetime(UTC)
                if _was_reset(event) or _calls(event, step):
                    return True
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND or is_undecodable(error):
                return True
            raise
    return began > since


def _calls(event: HistoryEvent, step: str) -> bool:
    # the activity ids of `workflows.commands.call`: `<step>:live`, and `<step>:live:<n>` from the second attempt on
    if event.event_type != EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
        return False
    activity_id = event.activity_task_scheduled_event_attributes.activity_id
    return activity_id == f"{step}:live" or activity_id.startswith(f"{step}:live:")


def _was_reset(event: HistoryEvent) -> bool:
    # this history does not hold the events of the run that it was reset from
    return bool(event.workflow_task_failed_event_attributes.base_run_id)
