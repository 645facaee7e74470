"""An agent that is a workflow of another namespace: its plan is a Nexus operation."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.nexus.v1 import EndpointSpec, EndpointTarget
from temporalio.api.operatorservice.v1 import CreateNexusEndpointRequest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowHistory
from temporalio.worker import Replayer, Worker

from airlock.adapters.nexus import PlanOperations
from airlock.plans.state import State
from airlock.plans.tool_document import catalogue_document
from tests.adapters.clerk import Clerk, think
from tests.adapters.conftest import DENIED, DONE, Office
from tests.workflows.conftest import namespace

HISTORY = Path(__file__).with_name("clerk_nexus.json")
"""The history of an agent whose plan was approved. Written once; runs like it may be open still."""
_NUMBERS = itertools.count(1)
QUEUE = "foreign-clerks"


@asynccontextmanager
async def elsewhere(desk: Office, **operations: Any) -> AsyncIterator[tuple[Client, str]]:
    """A namespace without Airlock, and an endpoint that leads from it to Airlock's."""
    number = next(_NUMBERS)
    foreign = await namespace(await Client.connect(desk.address), f"foreign{number}")
    plain = await Client.connect(desk.address, namespace=foreign.namespace)  # with the converter of Temporal
    client, queue, endpoint = desk.airlock.client, f"airlock-nexus-{number}", f"airlock-{number}"
    worker = EndpointTarget.Worker(namespace=client.namespace, task_queue=queue)
    spec = EndpointSpec(name=endpoint, target=EndpointTarget(worker=worker))
    await client.operator_service.create_nexus_endpoint(CreateNexusEndpointRequest(spec=spec))
    async with Worker(client, task_queue=queue, nexus_service_handlers=[PlanOperations(desk.airlock, **operations)]):
        yield plain, endpoint


@asynccontextmanager
async def clerks(client: Client) -> AsyncIterator[None]:
    """Run a worker of the agent, which keeps no workflow in memory: every task is a replay."""
    async with Worker(client, task_queue=QUEUE, workflows=[Clerk], activities=[think], max_cached_workflows=0):
        yield


async def begin(desk: Office, client: Client, endpoint: str, book: str) -> WorkflowHandle[Any, Any]:
    document = catalogue_document(desk.catalogue)
    return await client.start_workflow(Clerk.run, args=[book, document, endpoint], id=f"clerk-{book}", task_queue=QUEUE)


async def told(handle: WorkflowHandle[Any, Any]) -> list[tuple[bool, Any]]:
    async with asyncio.timeout(120):
        return [tuple(answer) for answer in await handle.result()]


async def test_its_worker_may_go_while_the_plan_waits_in_another_namespace(desk: Office) -> None:
    book = desk.book()
    async with elsewhere(desk) as (client, endpoint):
        async with clerks(client):
            handle = await begin(desk, client, endpoint, book)
            await desk.waiting(book)
        plan_id = await desk.decide(book, "approve")
        assert (await desk.airlock.plan(plan_id).result()).outcome == "completed"
        async with clerks(client):
            assert await told(handle) == DONE
        history = await handle.fetch_history()
    assert desk.lines(book) == ["milk"]
    assert (await Replayer(workflows=[Clerk]).replay_workflow(history)).replay_failure is None


async def test_a_denial_reaches_an_agent_of_another_namespace(desk: Office) -> None:
    book = desk.book()
    async with elsewhere(desk) as (client, endpoint), clerks(client):
        handle = await begin(desk, client, endpoint, book)
        await desk.decide(book, "deny", reason="we have milk")
        assert await told(handle) == DENIED
    assert desk.lines(book) == []


async def test_a_large_result_is_asked_for_again(desk: Office) -> None:
    book, line = desk.book(), "x" * 96
    (desk.folder / f"{book}.txt").write_text(f"{line}\n" * 654)
    async with elsewhere(desk) as (client, endpoint), clerks(client):
        handle = await begin(desk, client, endpoint, book)
        await desk.decide(book, "approve")
        assert await told(handle) == [(True, {"lines": [line] * 654}), (True, {"number": 655})]


async def test_an_agent_that_is_cancelled_leaves_its_plan(desk: Office) -> None:
    book = desk.book()
    async with elsewhere(desk) as (client, endpoint), clerks(client):
        handle = await begin(desk, client, endpoint, book)
        plan = await desk.waiting(book)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        assert (await plan.status()).state is State.AWAITING_APPROVAL
        await desk.decide(book, "approve")
        assert (await plan.result()).outcome == "completed"
    assert desk.lines(book) == ["milk"]


async def test_an_endpoint_may_have_one_requester(desk: Office) -> None:
    book = desk.book()
    async with elsewhere(desk, requested_by="another") as (client, endpoint), clerks(client):
        answers = await told(await begin(desk, client, endpoint, book))
    assert [in_effect for in_effect, _ in answers] == [False, False]
    assert "plans of this endpoint are requested by 'another'" in answers[0][1]
    assert await desk.plans_of(book) == []


async def test_a_recorded_agent_replays() -> None:
    history = WorkflowHistory.from_json("clerk-recorded", json.loads(HISTORY.read_text(encoding="utf-8")))
    await Replayer(workflows=[Clerk]).replay_workflow(history)
