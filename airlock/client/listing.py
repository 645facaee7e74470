"""List of plans from Temporal's visibility. It needs no worker, so it is there when nothing else answers.

Reads the raw API: the SDK's own objects raise on statuses it does not know yet (a paused workflow breaks a whole list).
"""

from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import SearchAttributes
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest
from temporalio.client import Client
from temporalio.converter import PayloadConverter
from temporalio.service import RPCError, RPCStatusCode

from airlock.base import names
from airlock.base.errors import AirlockError
from airlock.base.model import WireModel
from airlock.plans.state import State
from airlock.run.outcome import Outcome

PAGE = 200
RUNNING = "RUNNING"
_COMPLETED = "COMPLETED"


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
    query = _of_plans(state)
    query += _OPEN if open_only else ""
    query += f" AND (StartTime >= '{since.isoformat()}' OR CloseTime >= '{since.isoformat()}')" if since else ""
    found: list[PlanSummary] = []
    token = b""
    while len(found) < limit:
        page, token = await _page(client, query, token, min(PAGE, limit - len(found)))
        found += page
        if not token:
            break
    return tuple(found[:limit])


async def list_page(client: Client, conditions: str, token: bytes, size: int) -> tuple[tuple[PlanSummary, ...], bytes]:
    """Return some plans of the namespace, newest first, with any status, and the place at which the next ones begin.

    Args:
        client: A connected client.
        conditions: Further conditions of visibility, each behind an ` AND `.
        token: The place to begin at; empty for the newest plan.
        size: Largest number of plans.

    Raises:
        AirlockError: If the namespace has no Airlock search attributes yet.
    """
    return await _page(client, _of_plans(None) + conditions, token, size)


async def _page(client: Client, query: str, token: bytes, size: int) -> tuple[tuple[PlanSummary, ...], bytes]:
    request = ListWorkflowExecutionsRequest(namespace=client.namespace, query=query, page_size=size, next_page_token=token)
    try:
        page = await client.workflow_service.list_workflow_executions(request, retry=True)
    except RPCError as error:
        raise _without_attributes(error) from error
    found = [summary_of(info) for info in page.executions if names.is_of_plan(info.execution.workflow_id)]
    return tuple(found), page.next_page_token


async def count_plans(client: Client, *, state: State | None = None, open_only: bool = False) -> int:
    """Return the number of plans that `list_plans` could list, so that a list can say what it leaves out.

    Args:
        client: A connected client.
        state: Only plans in this state.
        open_only: Only plans whose run is open.

    Raises:
        AirlockError: If the namespace has no Airlock search attributes yet.
    """
    query = _of_plans(state) + (_OPEN if open_only else "")
    try:
        return (await client.count_workflows(query)).count
    except RPCError as error:
        raise _without_attributes(error) from error


def _of_plans(state: State | None) -> str:
    query = "WorkflowType = 'PlanWorkflow' AND ExecutionStatus != 'ContinuedAsNew'"
    # any client can start a workflow of that type, also under an id that would be listed by the name of another plan
    query += f" AND (WorkflowId STARTS_WITH '{names.PLAN_PREFIX}' OR WorkflowId STARTS_WITH '{names.UNDO_PREFIX}')"
    if state is None:
        return query
    is_in = f"{names.ATTRIBUTE_STATE} = '{state.value}'"
    if state is State.COMPLETED:
        return f"{query} AND ({is_in} OR ({_ONLY_READ}))"
    # without `NOT (...)`, which not every visibility store takes
    return f"{query} AND {is_in} AND (ExecutionStatus != 'Completed' OR {names.ATTRIBUTE_OUTCOME} IS NOT NULL)"


_OPEN = " AND CloseTime IS NULL"
_ONLY_READ = f"ExecutionStatus = 'Completed' AND {names.ATTRIBUTE_OUTCOME} IS NULL"
"""A plan that was nothing but reads, see docs/adr/0012: it ends without a last write of its search attributes."""


def _without_attributes(error: RPCError) -> Exception:
    if error.status is RPCStatusCode.INVALID_ARGUMENT and names.ATTRIBUTE_STATE in error.message:
        return AirlockError("the namespace lacks Airlock's search attributes; start a worker once, it registers them")
    return error


def summary_of(info: WorkflowExecutionInfo) -> PlanSummary:
    """Return the summary of a plan from its description in Temporal."""
    attributes = _attributes(info.search_attributes)
    agents = attributes.get(names.ATTRIBUTE_AGENTS) or []
    status = enum_name(WorkflowExecutionStatus, info.status, "WORKFLOW_EXECUTION_STATUS_")
    state, outcome = attributes.get(names.ATTRIBUTE_STATE), attributes.get(names.ATTRIBUTE_OUTCOME)
    if status == _COMPLETED and state is not None and outcome is None:
        state, outcome = State.COMPLETED.value, Outcome.COMPLETED.value
    return PlanSummary(
        plan_id=names.plan_id_of(info.execution.workflow_id),
        workflow_id=info.execution.workflow_id,
        run_id=info.execution.run_id,
        status=status,
        state=state,
        outcome=outcome,
        risk=attributes.get(names.ATTRIBUTE_RISK),
        agents=tuple(agents) if isinstance(agents, list) else (str(agents),),
        started_at=utc(info.start_time) if info.HasField("start_time") else None,
        closed_at=utc(info.close_time) if info.HasField("close_time") else None,
    )


def _attributes(found: SearchAttributes) -> dict[str, Any]:
    converter = PayloadConverter.default
    return {name: converter.from_payload(payload) for name, payload in found.indexed_fields.items() if payload.data}


def enum_name(kind: Any, value: int, prefix: str) -> str:
    """Return the name of a status or an event, without its prefix; `UNKNOWN_<value>` if this SDK does not know it."""
    try:
        return str(kind.Name(value)).removeprefix(prefix)
    except ValueError:
        return f"UNKNOWN_{value}"


def utc(stamp: Timestamp) -> datetime:
    """Return a time of Temporal's API as a datetime."""
    return stamp.ToDatetime(tzinfo=UTC)
