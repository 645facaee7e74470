"""An agent that is a workflow of its own: its plan is a child, survives it, and is found again."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle, WorkflowHistory
from temporalio.worker import Replayer, Worker
from temporalio.workflow import NondeterminismError

from airlock.adapters.temporal import PlanActivities
from airlock.plans.state import State
from airlock.plans.tool_document import catalogue_document
from airlock.temporal.codec import is_compressed
from airlock.temporal.connection import DATA_CONVERTER
from tests.adapters.clerk import Clerk, think
from tests.adapters.conftest import DENIED, DONE, Office
from tests.processes.harness import until

QUEUE = "clerks"
HISTORY = Path(__file__).with_name("clerk.json")
"""The history of an agent whose plan was approved. Written once; runs like it may be open still."""


@asynccontextmanager
async def clerks(desk: Office, client: Client | None = None) -> AsyncIterator[None]:
    """Run a worker of the agent, which keeps no workflow in memory: every task is a replay."""
    activities = [think, PlanActivities(desk.airlock).plan_result]
    worker = Worker(
        client or desk.airlock.client, task_queue=QUEUE, workflows=[Clerk], activities=activities, max_cached_workflows=0
    )
    async with worker:
        yield


async def begin(desk: Office, book: str, client: Client | None = None) -> WorkflowHandle[Any, Any]:
    document = catalogue_document(desk.catalogue)
    return await (client or desk.airlock.client).start_workflow(
        Clerk.run, args=[book, document], id=f"clerk-{book}", task_queue=QUEUE
    )


async def told(handle: WorkflowHandle[Any, Any]) -> list[tuple[bool, Any]]:
    async with asyncio.timeout(240):
        return [tuple(answer) for answer in await handle.result()]


async def test_its_worker_may_go_while_the_plan_waits(desk: Office) -> None:
    book = desk.book()
    async with clerks(desk):
        handle = await begin(desk, book)
        await desk.waiting(book)
    plan_id = await desk.decide(book, "approve")
    assert (await desk.airlock.plan(plan_id).result()).outcome == "completed"
    async with clerks(desk):
        assert await told(handle) == DONE
    assert desk.lines(book) == ["milk"]
    history = await handle.fetch_history()
    assert (await Replayer(workflows=[Clerk], data_converter=DATA_CONVERTER).replay_workflow(history)).replay_failure is None


async def test_a_denial_reaches_an_agent_with_the_converter_of_temporal(desk: Office) -> None:
    book = desk.book()
    client = await Client.connect(desk.address)
    async with clerks(desk, client):
        handle = await begin(desk, book, client)
        await desk.decide(book, "deny", reason="we have milk")
        assert await told(handle) == DENIED
    assert desk.lines(book) == []


async def test_a_large_result_reaches_an_agent_with_the_converter_of_temporal(desk: Office) -> None:
    book, line = desk.book(), "x" * 96
    (desk.folder / f"{book}.txt").write_text(f"{line}\n" * 654)
    client = await Client.connect(desk.address)
    async with clerks(desk, client):
        handle = await begin(desk, book, client)
        plan = desk.airlock.plan(await desk.decide(book, "approve"))
        assert await told(handle) == [(True, {"lines": [line] * 654}), (True, {"number": 655})]
    stored = client.get_workflow_handle(plan.workflow.id)  # as it is stored: Airlock's client would inflate it
    ended = (await stored.fetch_history()).events[-1].workflow_execution_completed_event_attributes
    assert is_compressed(ended.result.payloads[0])


@pytest.mark.parametrize(
    ("end", "closes"), [("terminate", WorkflowExecutionStatus.TERMINATED), ("cancel", WorkflowExecutionStatus.CANCELED)]
)
async def test_the_plan_outlives_its_agent(desk: Office, end: str, closes: WorkflowExecutionStatus) -> None:
    book = desk.book()
    async with clerks(desk):
        handle = await begin(desk, book)
        plan = await desk.waiting(book)
        await getattr(handle, end)()
        await until(lambda: closed(handle), "the agent does not end")
        assert (await handle.describe()).status is closes
        told = {EventType.Name(event.event_type) for event in (await handle.fetch_history()).events}
        assert not any("REQUEST_CANCEL_EXTERNAL" in name for name in told), told
        assert (await plan.status()).state is State.AWAITING_APPROVAL
    await desk.decide(book, "approve")
    assert (await plan.result()).outcome == "completed"
    assert desk.lines(book) == ["milk"]


async def closed(handle: WorkflowHandle[Any, Any]) -> bool:
    return (await handle.describe()).close_time is not None


async def test_an_agent_that_is_reset_finds_its_plan_again(desk: Office) -> None:
    book = desk.book()
    async with clerks(desk):
        handle = await begin(desk, book)
        await desk.waiting(book)
        client = desk.airlock.client
        completed = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
        first = next(event.event_id for event in (await handle.fetch_history()).events if event.event_type == completed)
        await client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=handle.id, run_id=handle.first_execution_run_id or ""),
                reason="a test",
                workflow_task_finish_event_id=first,
                request_id=book,
            )
        )
        again = client.get_workflow_handle(handle.id)
        await until(lambda: asks(again), "the new run does not ask for the plan")
        await desk.decide(book, "approve")
        assert await told(again) == DONE
    assert desk.lines(book) == ["milk"]
    assert len(await desk.plans_of(book)) == 1


async def asks(handle: WorkflowHandle[Any, Any]) -> bool:
    activities = (await handle.describe()).raw_description.pending_activities
    return any(each.activity_type.name == "airlock_plan_result" for each in activities)


def recorded() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(HISTORY.read_text(encoding="utf-8"))
    return content


async def test_a_recorded_agent_replays(monkeypatch: pytest.MonkeyPatch) -> None:
    history = WorkflowHistory.from_json("clerk-recorded", recorded())
    replayer = Replayer(workflows=[Clerk], data_converter=DATA_CONVERTER)
    await replayer.replay_workflow(history)

    # with another name of the plan it would be another child: the replay notices
    text = json.dumps(recorded())
    (plan,) = {each["workflowId"] for each in children(recorded())}
    other = WorkflowHistory.from_json("clerk-recorded", json.loads(text.replace(plan, "plan-turn-of-another-agent")))
    with pytest.raises(NondeterminismError):
        await replayer.replay_workflow(other)


def children(history: dict[str, Any]) -> list[dict[str, Any]]:
    key = "startChildWorkflowExecutionInitiatedEventAttributes"
    return [event[key] for event in history["events"] if key in event]


def test_a_plan_is_never_ended_by_its_parent() -> None:
    (child,) = children(recorded())
    assert child["parentClosePolicy"] == "PARENT_CLOSE_POLICY_ABANDON"
    assert child["workflowIdReusePolicy"] == "WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE"
    assert child["workflowType"]["name"] == "PlanWorkflow"
