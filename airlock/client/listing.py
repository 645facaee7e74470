"""Facts about plans from Temporal itself. They need no worker, so they are there when nothing else answers.

Reads the raw API: the SDK's own objects raise on statuses it does not know yet (a paused workflow breaks a whole list).
"""

from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payload, SearchAttributes, WorkflowExecution
from temporalio.api.enums.v1 import EventType, PendingActivityState, WorkflowExecutionStatus
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import PendingActivityInfo, WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryReverseRequest,
    ListWorkflowExecutionsRequest,
)
from temporalio.client import Client
from temporalio.converter import PayloadConverter
from temporalio.service import RPCError, RPCStatusCode

from airlock.base import names
from airlock.base.errors import AirlockError
from airlock.base.model import WireModel
from airlock.base.text import shorten
from airlock.client.errors import NoSuchPlan
from airlock.plans.state import State
from airlock.run.views import PlanResult

PAGE = 200
RUNNING = "RUNNING"
_EVENTS_READ = 100
_UNTOLD = (
    EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
)
"""Events without information about the plan."""


class PlanSummary(WireModel):
    """Plan in Temporal's visibility, which may be seconds behind."""

    plan_id: str
    workflow_id: str
    run_id: str
    status: str
    """Status of the run in Temporal, such as `RUNNING`."""
    state: str | None = None
    outcome: str | None = None
    risk: str | None = None
    agents: tuple[str, ...] = ()
    started_at: datetime | None = None
    closed_at: datetime | None = None

    @property
    def open(self) -> bool:
        """True if the run is not closed; a paused run is open."""
        return self.closed_at is None


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


async def list_plans(
    client: Client,
    *,
    state: State | None = None,
    open_only: bool = False,
    since: datetime | None = None,
    limit: int = 100,
) -> tuple[PlanSummary, ...]:
    """Return the plans of the namespace, newest first, with any status.

    Args:
        client: A connected client.
        state: Only plans in this state.
        open_only: Only plans whose run is open.
        since: Only plans that were submitted or have ended since, UTC.
        limit: Largest number of plans.

    Raises:
        AirlockError: If the namespace has no Airlock search attributes yet.
    """
    query = "WorkflowType = 'PlanWorkflow' AND ExecutionStatus != 'ContinuedAsNew'"
    query += f" AND {names.ATTRIBUTE_STATE} = '{state.value}'" if state else ""
    query += " AND CloseTime IS NULL" if open_only else ""
    query += f" AND (StartTime >= '{since.isoformat()}' OR CloseTime >= '{since.isoformat()}')" if since else ""
    found: list[PlanSummary] = []
    token = b""
    while len(found) < limit:
        request = ListWorkflowExecutionsRequest(
            namespace=client.namespace, query=query, page_size=min(PAGE, limit - len(found)), next_page_token=token
        )
        try:
            page = await client.workflow_service.list_workflow_executions(request)
        except RPCError as error:
            raise _without_attributes(error) from error
        found += [_summary(info) for info in page.executions]
        token = page.next_page_token
        if not token:
            break
    return tuple(found[:limit])


async def plan_facts(client: Client, plan_id: str, last: int = 12) -> PlanFacts:
    """Return the facts about one plan, with its last events.

    Raises:
        NoSuchPlan: If there is no such plan.
    """
    execution = WorkflowExecution(workflow_id=names.workflow_id_of(plan_id))
    try:
        described = await client.workflow_service.describe_workflow_execution(
            DescribeWorkflowExecutionRequest(namespace=client.namespace, execution=execution)
        )
        history = await client.workflow_service.get_workflow_execution_history_reverse(
            GetWorkflowExecutionHistoryReverseRequest(
                namespace=client.namespace, execution=execution, maximum_page_size=_EVENTS_READ
            )
        )
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise NoSuchPlan(f"there is no plan {plan_id!r} (workflow {execution.workflow_id})") from error
        raise
    events = list(history.history.events)
    return PlanFacts(
        summary=_summary(described.workflow_execution_info),
        goal=_text(described.execution_config.user_metadata.summary),
        pending=tuple(_pending(info) for info in described.pending_activities),
        events=tuple(_line(event) for event in events if event.event_type not in _UNTOLD)[:last],
        result=await _result(client, events),
    )


async def _result(client: Client, events: list[HistoryEvent]) -> PlanResult | None:
    if not events or not events[0].HasField("workflow_execution_completed_event_attributes"):
        return None
    payloads = events[0].workflow_execution_completed_event_attributes.result.payloads
    try:
        (result,) = await client.data_converter.decode(payloads, [PlanResult])
    except Exception:  # noqa: BLE001  a result of another version or codec: return the other facts
        return None
    return PlanResult.model_validate(result)


def _without_attributes(error: RPCError) -> Exception:
    if error.status is RPCStatusCode.INVALID_ARGUMENT and names.ATTRIBUTE_STATE in error.message:
        return AirlockError("the namespace lacks Airlock's search attributes; start a worker once, it registers them")
    return error


def _summary(info: WorkflowExecutionInfo) -> PlanSummary:
    attributes = _attributes(info.search_attributes)
    agents = attributes.get(names.ATTRIBUTE_AGENTS) or ()
    return PlanSummary(
        plan_id=names.plan_id_of(info.execution.workflow_id),
        workflow_id=info.execution.workflow_id,
        run_id=info.execution.run_id,
        status=_enum(WorkflowExecutionStatus, info.status, "WORKFLOW_EXECUTION_STATUS_"),
        state=attributes.get(names.ATTRIBUTE_STATE),
        outcome=attributes.get(names.ATTRIBUTE_OUTCOME),
        risk=attributes.get(names.ATTRIBUTE_RISK),
        agents=tuple(agents) if isinstance(agents, list) else (str(agents),),
        started_at=_when(info.start_time) if info.HasField("start_time") else None,
        closed_at=_when(info.close_time) if info.HasField("close_time") else None,
    )


def _attributes(found: SearchAttributes) -> dict[str, Any]:
    converter = PayloadConverter.default
    return {name: converter.from_payload(payload) for name, payload in found.indexed_fields.items() if payload.data}


def _pending(info: PendingActivityInfo) -> PendingCall:
    return PendingCall(
        activity=info.activity_id,
        kind=info.activity_type.name,
        state=_enum(PendingActivityState, info.state, "PENDING_ACTIVITY_STATE_"),
        attempt=info.attempt,
        last_failure=shorten(info.last_failure.message) if info.HasField("last_failure") else "",
    )


def _line(event: HistoryEvent) -> HistoryLine:
    return HistoryLine(
        number=event.event_id,
        at=_when(event.event_time),
        event=_enum(EventType, event.event_type, "EVENT_TYPE_"),
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


def _enum(kind: Any, value: int, prefix: str) -> str:
    try:
        return str(kind.Name(value)).removeprefix(prefix)
    except ValueError:
        return f"UNKNOWN_{value}"  # a status that is newer than this SDK


def _when(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)


def _text(payload: Payload) -> str:
    if not payload.data:
        return ""
    try:
        return str(PayloadConverter.default.from_payload(payload))
    except Exception:  # noqa: BLE001  encrypted or foreign: the goal is left out
        return ""
