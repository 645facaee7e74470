"""Dead letters: deliveries that were given up. They are failed workflows, which Temporal keeps for a while."""

from collections.abc import AsyncIterator
from datetime import datetime

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryReverseRequest,
    ListWorkflowExecutionsRequest,
)
from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from airlock.alerts.routing import Delivery
from airlock.base import names
from airlock.base.errors import AirlockError
from airlock.base.model import WireModel
from airlock.base.text import shorten
from airlock.client.listing import PAGE, utc
from airlock.notify.service import start

_FAILED = (
    f"WorkflowType = '{names.NOTIFY_WORKFLOW}' AND WorkflowId STARTS_WITH '{names.NOTIFY_PREFIX}' "
    "AND (ExecutionStatus = 'Failed' OR ExecutionStatus = 'Terminated' OR ExecutionStatus = 'TimedOut')"
)


class DeadLetter(WireModel):
    """A delivery that was given up."""

    id: str
    receiver: str
    kind: str
    plan_id: str = ""
    failed_at: datetime
    why: str
    """The last answer of the receiver, or the end of the workflow."""


async def dead_letters(client: Client, limit: int = 100) -> tuple[DeadLetter, ...]:
    """Return the dead letters, newest first. Visibility may be a second behind."""
    found: list[DeadLetter] = []
    seen: set[str] = set()
    async for execution in _failed(client):
        if execution.workflow_id in seen:
            continue
        seen.add(execution.workflow_id)
        letter = await _letter(client, execution)
        if letter is not None:
            found.append(letter)
        if len(found) >= limit:
            break
    return tuple(found)


async def resend(client: Client, id: str) -> Delivery:
    """Start a dead letter's delivery again, and return it. What no longer holds is not sent.

    Raises:
        AirlockError: If there is no such dead letter.
    """
    execution = WorkflowExecution(workflow_id=id)
    try:
        letter = await _letter(client, execution) if id.startswith(names.NOTIFY_PREFIX) else None
        delivery = None if letter is None else await _delivery(client, execution)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        letter = delivery = None
    if delivery is None:
        raise AirlockError(f"there is no dead letter {id!r}: see `airlock notify failed`")
    # also after a termination, which ALLOW_DUPLICATE_FAILED_ONLY counts as a failure
    if not await start(client, delivery, WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY):
        raise AirlockError(f"{id} is being sent already")
    return delivery


async def _failed(client: Client) -> AsyncIterator[WorkflowExecution]:
    token = b""
    while True:
        request = ListWorkflowExecutionsRequest(
            namespace=client.namespace, query=_FAILED, page_size=PAGE, next_page_token=token
        )
        page = await client.workflow_service.list_workflow_executions(request, retry=True)
        for info in page.executions:
            yield WorkflowExecution(workflow_id=info.execution.workflow_id)
        token = page.next_page_token
        if not token:
            return


async def _letter(client: Client, execution: WorkflowExecution) -> DeadLetter | None:
    """Return a workflow as a dead letter; None if its latest run has not failed."""
    request = DescribeWorkflowExecutionRequest(namespace=client.namespace, execution=execution)
    info = (await client.workflow_service.describe_workflow_execution(request, retry=True)).workflow_execution_info
    given_up = (
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_FAILED,
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED,
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TIMED_OUT,
    )
    if info.type.name != names.NOTIFY_WORKFLOW or info.status not in given_up:
        return None
    delivery = await _delivery(client, execution)
    if delivery is None:
        return None
    newest = GetWorkflowExecutionHistoryReverseRequest(namespace=client.namespace, execution=execution, maximum_page_size=1)
    events = (await client.workflow_service.get_workflow_execution_history_reverse(newest, retry=True)).history.events
    return DeadLetter(
        id=execution.workflow_id,
        receiver=delivery.receiver,
        kind=delivery.kind,
        plan_id=delivery.plan_id,
        failed_at=utc(info.close_time),
        why=_why(events[0]) if events else "",
    )


async def _delivery(client: Client, execution: WorkflowExecution) -> Delivery | None:
    request = GetWorkflowExecutionHistoryRequest(namespace=client.namespace, execution=execution, maximum_page_size=1)
    events = (await client.workflow_service.get_workflow_execution_history(request, retry=True)).history.events
    payloads = events[0].workflow_execution_started_event_attributes.input.payloads if events else ()
    try:
        (found,) = await client.data_converter.decode(payloads, [Delivery])
        delivery = Delivery.model_validate(found)
    except Exception:  # noqa: BLE001  not started by Airlock: there is nothing to send
        return None
    return delivery if delivery.id == execution.workflow_id else None


def _why(event: HistoryEvent) -> str:
    if event.HasField("workflow_execution_failed_event_attributes"):
        return shorten(_innermost(event.workflow_execution_failed_event_attributes.failure).message, 300)
    if event.HasField("workflow_execution_terminated_event_attributes"):
        return shorten(f"terminated: {event.workflow_execution_terminated_event_attributes.reason}", 300)
    return "timed out"


def _innermost(failure: Failure) -> Failure:
    while failure.HasField("cause"):
        failure = failure.cause
    return failure
