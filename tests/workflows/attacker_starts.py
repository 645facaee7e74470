"""Ways to start a workflow of Airlock with a copied input, or to set one back; they need only the namespace's API."""

import asyncio
import itertools
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.api.common.v1 import Payload, WorkflowExecution
from temporalio.api.enums.v1 import ResetReapplyExcludeType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleSpec,
)
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.worker import Worker

from airlock.base import names
from airlock.gates.claim import FREE
from tests.workflows.conftest import until

MALLORY = "mallory"
_NUMBERS = itertools.count(1)


@workflow.defn(name="Mother", sandboxed=False)
class Mother:
    """An attacker's own workflow: it starts a workflow of Airlock as its child, with what it was given."""

    @workflow.run
    async def run(self, kind: str, workflow_id: str, given: RawValue) -> None:
        await workflow.start_child_workflow(
            kind, given, id=workflow_id, task_queue=names.WORKFLOW_QUEUE,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        )  # fmt: skip


@workflow.defn(name=names.PLAN_WORKFLOW, sandboxed=False)
class Changeling:
    """An attacker's own workflow that continues itself as a run of Airlock's, with what it was given."""

    @workflow.run
    async def run(self, given: RawValue) -> None:
        workflow.continue_as_new(given, task_queue=names.WORKFLOW_QUEUE)


@workflow.defn(name=names.PLAN_WORKFLOW, sandboxed=False)
class Leaving:
    """An attacker's own workflow that lets a worker of Airlock carry out `leave`, with what it was given."""

    @workflow.run
    async def run(self, given: RawValue) -> None:
        await workflow.execute_activity(
            "leave", given, activity_id="leave:1:1", task_queue=names.WORKFLOW_QUEUE,
            start_to_close_timeout=timedelta(seconds=60), retry_policy=RetryPolicy(maximum_attempts=1),
        )  # fmt: skip


@workflow.defn(name="Done", sandboxed=False)
class Done:
    """An attacker's own workflow that completes at once."""

    @workflow.run
    async def run(self) -> None:
        return None


@workflow.defn(name=names.CLAIM_WORKFLOW, sandboxed=False)
class Freed:
    """An attacker's own workflow that ends like a claim that was settled as free."""

    @workflow.run
    async def run(self) -> None:
        raise ApplicationError("free", type=FREE, non_retryable=True)


Start = Callable[[Client, str, str, Payload], Awaitable[None]]


async def plainly(client: Client, kind: str, workflow_id: str, given: Payload, **options: Any) -> None:
    await client.start_workflow(kind, RawValue(given), id=workflow_id, task_queue=names.WORKFLOW_QUEUE, **options)


async def with_a_retry_policy(client: Client, kind: str, workflow_id: str, given: Payload) -> None:
    policy = RetryPolicy(maximum_attempts=3, initial_interval=timedelta(seconds=1))
    await plainly(client, kind, workflow_id, given, retry_policy=policy)


async def with_a_signal(client: Client, kind: str, workflow_id: str, given: Payload) -> None:
    await plainly(client, kind, workflow_id, given, start_signal="unlock", start_signal_args=[{"by": "m", "reason": "go"}])


async def with_a_cron_schedule(client: Client, kind: str, workflow_id: str, given: Payload) -> None:
    await plainly(client, kind, workflow_id, given, cron_schedule="@every 1s", run_timeout=timedelta(seconds=30))
    await until(lambda: _runs(client, workflow_id, 3))


async def by_a_schedule(client: Client, kind: str, workflow_id: str, given: Payload) -> None:
    action = ScheduleActionStartWorkflow(kind, RawValue(given), id=workflow_id, task_queue=names.WORKFLOW_QUEUE)
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(seconds=1))])
    made = await client.create_schedule(f"schedule-{next(_NUMBERS)}", Schedule(action=action, spec=spec))
    await until(lambda: _scheduled(client, workflow_id))
    await made.delete()


async def as_a_child(client: Client, kind: str, workflow_id: str, given: Payload) -> None:
    async with Worker(client, task_queue=MALLORY, workflows=[Mother]):
        await client.execute_workflow(
            "Mother", args=[kind, workflow_id, RawValue(given)], id=f"mother-{next(_NUMBERS)}", task_queue=MALLORY
        )


async def by_a_changeling(client: Client, kind: str, workflow_id: str, given: Payload) -> None:
    async with Worker(client, task_queue=MALLORY, workflows=[Changeling]):
        handle = await client.start_workflow(kind, RawValue(given), id=workflow_id, task_queue=MALLORY)
        first = handle.first_execution_run_id
        await until(lambda: _moved_on(client, workflow_id, first))


async def _moved_on(client: Client, workflow_id: str, first: str | None) -> bool:
    return await latest_run(client, workflow_id) != first


async def _runs(client: Client, workflow_id: str, number: int) -> bool:
    found = [run async for run in client.list_workflows(f"WorkflowId = '{workflow_id}'") if run.close_time]
    return len([run for run in found if run.status is not None and run.status.name == "FAILED"]) >= number


async def _scheduled(client: Client, workflow_id: str) -> str:
    # the server appends the time to the id
    found = [run.id async for run in client.list_workflows(f"WorkflowId STARTS_WITH '{workflow_id}-'")]
    return found[0] if found else ""


STARTS: dict[str, Start] = {
    "plain": plainly,
    "retry policy": with_a_retry_policy,
    "signal with start": with_a_signal,
    "cron": with_a_cron_schedule,
    "schedule": by_a_schedule,
    "child": as_a_child,
    "changeling": by_a_changeling,
}


async def history(client: Client, workflow_id: str, run_id: str | None = None) -> list[HistoryEvent]:
    return [event async for event in client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history_events()]


async def latest_run(client: Client, workflow_id: str) -> str:
    return (await client.get_workflow_handle(workflow_id).describe()).run_id


def finished_tasks(events: list[HistoryEvent]) -> list[int]:
    return [event.event_id for event in events if event.HasField("workflow_task_completed_event_attributes")]


async def set_back(
    client: Client, workflow_id: str, event_id: int, run_id: str | None = None, *, forget: bool = False
) -> str:
    """Reset a run to the end of a workflow task, and return the new run; `forget` drops the messages that came later."""
    chosen = run_id or await latest_run(client, workflow_id)
    excluded = [ResetReapplyExcludeType.Value(f"RESET_REAPPLY_EXCLUDE_TYPE_{kind}") for kind in ("SIGNAL", "UPDATE")]
    answer = await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=client.namespace, workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=chosen),
            reason="test", workflow_task_finish_event_id=event_id, request_id=str(uuid.uuid4()),
            reset_reapply_exclude_types=excluded if forget else [],
        )
    )  # fmt: skip
    return answer.run_id


async def ended(client: Client, workflow_id: str) -> None:
    """Terminate a workflow if it is open."""
    try:
        await client.get_workflow_handle(workflow_id).terminate("test")
    except RPCError:
        await asyncio.sleep(0)
