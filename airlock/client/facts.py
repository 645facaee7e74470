"""Facts about one plan from Temporal itself. They need no worker, so they are there when nothing else answers.

Reads the raw API, as the list of plans does.
"""

from datetime import datetime

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, PendingActivityState
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    GetWorkflowExecutionHistoryReverseRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from airlock.base import names
from airlock.base.model import WireModel
from airlock.base.text import shorten
from airlock.client.errors import no_such_plan
from airlock.client.listing import PlanSummary, enum_name, summary_of, utc
from airlock.run.presentation.views import PlanResult

_EVENTS_READ = 100
_UNTOLD = (
    EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
)
"""Events without information about the plan."""


class PendingCall(WireModel):
    """Activity that is scheduled or running."""

    activity: str
    kind: str
    state: str
    attempt: int
    last_failure: str = ""


class HistoryLine(WireModel):
    """Event of the run's history, in a few words."""

    number: int
    at: datetime
    event: str
    what: str = ""


class PlanFacts(WireModel):
    """Facts about one plan from Temporal alone."""

    summary: PlanSummary
    goal: str = ""
    pending: tuple[PendingCall, ...] = ()
    events: tuple[HistoryLine, ...] = ()
    """Last events, newest first."""
    result: PlanResult | None = None


async def plan_facts(client: Client, plan_id: str, last: int = 12) -> PlanFacts:
    """Return the facts about one plan, with its last events.

    Raises:
        NoSuchPlan: If there is no such plan.
    """
    execution = WorkflowExecution(workflow_id=names.workflow_id_of(plan_id))
    try:
        described = await client.workflow_service.describe_workflow_execution(
            DescribeWorkflowExecutionRequest(namespace=client.namespace, execution=execution), retry=True
        )
        history = await client.workflow_service.get_workflow_execution_history_reverse(
            GetWorkflowExecutionHistoryReverseRequest(
                namespace=client.namespace, execution=execution, maximum_page_size=_EVENTS_READ
            ),
            retry=True,
        )
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise no_such_plan(plan_id, execution.workflow_id) from error
        raise
    events = list(history.history.events)
    return PlanFacts(
        summary=summary_of(described.workflow_execution_info),
        goal=await line_of(client, described),
        pending=tuple(_pending(info) for info in described.pending_activities),
        events=tuple(_line(event) for event in events if event.event_type not in _UNTOLD)[:last],
        result=await _result(client, events),
    )


async def history_length(client: Client, workflow_id: str, run_id: str = "") -> tuple[str, int]:
    """Return the run of a workflow and the number of its events. All that a run tells follows from them.

    Visibility knows the number only of closed runs.

    Args:
        client: A connected client.
        workflow_id: Workflow id.
        run_id: The run; the latest one unless given.

    Raises:
        NoSuchPlan: If there is no such run.
    """
    execution = WorkflowExecution(workflow_id=workflow_id, run_id=run_id)
    request = DescribeWorkflowExecutionRequest(namespace=client.namespace, execution=execution)
    try:
        described = await client.workflow_service.describe_workflow_execution(request, retry=True)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise no_such_plan(names.plan_id_of(workflow_id), workflow_id) from error
        raise
    info = described.workflow_execution_info
    return info.execution.run_id, info.history_length


async def _result(client: Client, events: list[HistoryEvent]) -> PlanResult | None:
    if not events or not events[0].HasField("workflow_execution_completed_event_attributes"):
        return None
    payloads = events[0].workflow_execution_completed_event_attributes.result.payloads
    try:
        (result,) = await client.data_converter.decode(payloads, [PlanResult])
    except Exception:  # noqa: BLE001  a result of another version or codec: return the other facts
        return None
    return PlanResult.model_validate(result)


def _pending(info: PendingActivityInfo) -> PendingCall:
    return PendingCall(
        activity=info.activity_id,
        kind=info.activity_type.name,
        state=enum_name(PendingActivityState, info.state, "PENDING_ACTIVITY_STATE_"),
        attempt=info.attempt,
        last_failure=shorten(info.last_failure.message) if info.HasField("last_failure") else "",
    )


def _line(event: HistoryEvent) -> HistoryLine:
    return HistoryLine(
        number=event.event_id,
        at=utc(event.event_time),
        event=enum_name(EventType, event.event_type, "EVENT_TYPE_"),
        what=_what(event),
    )


def _what(event: HistoryEvent) -> str:
    kind = event.WhichOneof("attributes")
    attributes = getattr(event, kind) if kind else None
    for field in ("signal_name", "activity_id", "update_id", "reason"):
        value = getattr(attributes, field, "")
        if isinstance(value, str) and value:
            return shorten(value, 120)
    failure = getattr(attributes, "failure", None)
    return shorten(failure.message, 120) if failure is not None and failure.message else ""


async def line_of(client: Client, described: DescribeWorkflowExecutionResponse) -> str:
    """Return the line under which Temporal keeps a run; empty if it has none, or this client cannot read it.

    A run that continues another one has none of its own: the first of them has it, as long as retention keeps it.
    """
    info = described.workflow_execution_info
    payload = described.execution_config.user_metadata.summary
    if not payload.data and info.first_run_id not in ("", info.execution.run_id):
        first = WorkflowExecution(workflow_id=info.execution.workflow_id, run_id=info.first_run_id)
        request = DescribeWorkflowExecutionRequest(namespace=client.namespace, execution=first)
        try:
            payload = (
                await client.workflow_service.describe_workflow_execution(request, retry=True)
            ).execution_config.user_metadata.summary
        except RPCError:
            return ""
    if not payload.data:
        return ""
    try:
        (text,) = await client.data_converter.decode([payload], [str])
    except Exception:  # noqa: BLE001  encrypted with another key, or foreign: the line is left out
        return ""
    return str(text)
