import asyncio
import itertools
import json
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from airlock.activities import monitor as monitor_activities
from airlock.activities import options
from airlock.activities.calls import still_mine
from airlock.activities.rehearsals import rehearsal_tries
from airlock.activities.toolbox import Toolbox
from airlock.admission.configuration.config import parse_config
from airlock.admission.policy import AgentPolicy, Policy
from airlock.client import Airlock, PlanHandle
from airlock.client import live_gate as gate_module
from airlock.client import monitors as monitor_module
from airlock.client import plan_handle as client_module
from airlock.notify.service import Notifier
from airlock.plans.catalogue import Catalogue
from airlock.plans.state import State
from airlock.temporal.connection import (
    DATA_CONVERTER,
    SEARCH_ATTRIBUTES,
    connect_to,
    ensure_search_attributes,
    learn_of_server,
)
from airlock.worker.roles import build_workers
from airlock.workflows import read_first
from tests import running
from tests.workflows import world
from tests.workflows.renewed_server import NAMESPACES, RenewedServer

BIN = Path(os.sys.executable).parent
POLICY = Policy(agents={"*": AgentPolicy(permissions=("*",))}, max_live_escalations=1_000)
_NUMBERS = itertools.count(1)


def binary(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=str(BIN))
    assert found, f"{name} is not installed; run `make setup`"
    return found


def catalogue() -> Catalogue:
    return Catalogue(
        [
            world.put, world.linger, world.send, world.look, world.once, world.share, world.brief, world.narrow, world.hasty,
            world.vast,
        ]
    )  # fmt: skip


@pytest.fixture(scope="session")
async def renewed_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RenewedServer]:
    server = RenewedServer(lambda: tmp_path_factory.mktemp("dev-server"), working)
    yield server
    await server.close()


@pytest.fixture(scope="module")
async def dev_server(renewed_server: RenewedServer) -> WorkflowEnvironment:
    return await renewed_server.env()


@pytest.fixture(scope="session", autouse=True)
def patience() -> Iterator[None]:
    """Workers in this process share it with the tests: on a busy machine they answer late, which is no silence."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (client_module, monitor_module, monitor_activities):
            patch.setattr(module, "QUERY_TIMEOUT", timedelta(seconds=60))
        for module in (options, still_mine):  # a call of a worker that got no processor for 10 s is not a lost one
            patch.setattr(module, "HEARTBEAT_TIMEOUT", timedelta(seconds=60))
        patch.setattr(read_first, "BEGUN_WITHIN", timedelta(seconds=60))  # of a read that no worker has begun by then
        patch.setattr(rehearsal_tries, "PAUSE", 0.01)  # between the tries of a dry run that could not look
        patch.setattr(gate_module, "QUERY_TIMEOUT", 60.0)
        patch.setattr(gate_module, "DECISION_TIMEOUT", 120.0)
        patch.setattr(client_module, "DECISION_TIMEOUT", 120.0)
        yield


@pytest.fixture(autouse=True)
def server_lives() -> None:
    """A server that died fails the tests that need it at their beginning, not each after all of its waits."""
    running.fail_if_a_server_died()


@pytest.fixture(scope="module")
async def airlock(renewed_server: RenewedServer, dev_server: WorkflowEnvironment) -> Airlock:
    return await renewed_server.airlock()


def step(
    id: str, tool: str, after: tuple[str, ...] = (), agent: str = "agent", confidence: float = 0.95, **args: Any
) -> dict[str, Any]:
    if tool == "send":  # the same message is sent once, by whatever plan: each test means one of its own
        args.setdefault("body", f"message {next(_NUMBERS)}")
    return {"id": id, "agent": agent, "tool": tool, "args": args, "confidence": confidence, "after": list(after)}


@pytest.fixture
def plan() -> Callable[..., dict[str, Any]]:
    """Makes a plan document with an id of its own."""

    def make(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"plan_id": f"p{next(_NUMBERS)}", "goal": "test", "requested_by": "rita", "steps": list(steps), **more}

    return make


async def until(condition: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Poll until a condition holds; async conditions too."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.02)


async def awaiting(handle: PlanHandle) -> Any:
    try:
        async with asyncio.timeout(120.0):
            status = await handle.wait_for(State.AWAITING_APPROVAL)
    except TimeoutError:
        pytest.fail(f"the plan does not wait for approval: {await handle.status()}")
    assert status.state is State.AWAITING_APPROVAL, status
    return status


async def approved(handle: PlanHandle, **more: Any) -> Any:
    status = await awaiting(handle)
    verdict = await handle.decide("approve", by="alice", digest=status.digest, **more)
    assert verdict.accepted, verdict
    return verdict


async def signal(handle: PlanHandle, name: str, *payloads: Any) -> None:
    await handle.workflow.signal(name, args=list(payloads))


def pretty(value: Any) -> str:
    return json.dumps(value, indent=1, default=str)


@pytest.fixture
async def airlock_with(dev_server: WorkflowEnvironment) -> AsyncIterator[Callable[..., Awaitable[Airlock]]]:
    """Makes an Airlock under a policy of its own: a namespace of its own on the same server, with its own workers."""
    async with AsyncExitStack() as stack:

        async def make(**policy: Any) -> Airlock:
            client = await namespace(dev_server.client, f"policy{next(_NUMBERS)}")
            return await stack.enter_async_context(working(client, **policy))

        yield make


@asynccontextmanager
async def working(client: Client, **policy: Any) -> AsyncIterator[Airlock]:
    """Yield an Airlock with workers under a policy of its own; no other worker may use the same namespace."""
    toolbox = Toolbox(catalogue(), Policy.model_validate(POLICY.model_dump() | policy))
    async with running.running(build_workers(client, toolbox)):
        try:
            yield Airlock(client)
        finally:
            world.WORLD.release()  # a test that failed holds up no worker, which waits for its calls


@asynccontextmanager
async def skipping_server(identity: str | None = None) -> AsyncIterator[WorkflowEnvironment]:
    """A time-skipping server without workers."""
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=binary("temporal-test-server"), data_converter=DATA_CONVERTER, identity=identity
    ) as env:
        # this server can add search attributes, but not list them
        await env.client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(search_attributes=SEARCH_ATTRIBUTES)
        )
        yield env


@asynccontextmanager
async def time_skipping(identity: str | None = None, **policy: Any) -> AsyncIterator[tuple[Airlock, WorkflowEnvironment]]:
    """An Airlock on a time-skipping server of its own: one such server has one clock for all its runs."""
    async with skipping_server(identity) as env, working(env.client, **policy) as airlock:
        yield airlock, env


@pytest.fixture
async def skipping() -> AsyncIterator[Callable[..., Awaitable[tuple[Airlock, WorkflowEnvironment]]]]:
    """Makes an Airlock under a policy on a time-skipping server of its own, as each has one clock for all runs."""
    async with AsyncExitStack() as stack:

        async def make(**policy: Any) -> tuple[Airlock, WorkflowEnvironment]:
            return await stack.enter_async_context(time_skipping(**policy))

        yield make


async def namespace(client: Client, name: str) -> Client:
    """Return a new namespace on the server of a client, with Airlock's search attributes."""
    request = RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=Duration(seconds=86_400))
    try:
        # a busy server cancels a request now and then
        await client.workflow_service.register_namespace(request, retry=True)
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:  # the request that was repeated had arrived
            raise
    address = client.service_client.config.target_host
    NAMESPACES[address] += 1
    made = await connect_to(address, name)
    await ensure_search_attributes(made)
    await learn_of_server(made)
    return made


async def events(handle: PlanHandle, run_id: str | None = None) -> list[HistoryEvent]:
    """Return the history of a plan's current run, or of another run in its chain."""
    workflow = handle.workflow_client.get_workflow_handle(handle.workflow.id, run_id=run_id)
    return [event async for event in workflow.fetch_history_events()]


async def count(handle: PlanHandle) -> Counter[str]:
    """Return the number of events of each type in the current run, such as `ACTIVITY_TASK_SCHEDULED`."""
    return Counter(EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in await events(handle))


async def chain(handle: PlanHandle) -> list[list[HistoryEvent]]:
    """Return the histories of all runs that continued each other as new, oldest first."""
    runs, run_id = [await events(handle)], None
    while run_id := runs[0][0].workflow_execution_started_event_attributes.continued_execution_run_id:
        runs.insert(0, await events(handle, run_id))
    return runs


@pytest.fixture
def held(plan: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Return a plan of two steps in a row, whose first live call waits."""
    document = plan(step("one", "linger", key="a", value=1), step("two", "put", ("one",), key="b", value=2))
    world.WORLD.hold(document["plan_id"], "one")
    return document


@pytest.fixture
async def notifying():
    """Makes a notifier with its workers running; its `said` are the ends of its attempts."""
    async with AsyncExitStack() as stack:

        async def make(airlock, text):
            said = []
            notifier = Notifier(airlock.client, parse_config(text), lambda delivery, how: said.append((delivery, how)))
            await stack.enter_async_context(running.running(notifier.workers()))
            notifier.said = said
            return notifier

        yield make


@pytest.fixture
def document(plan: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Return a plan of two steps that do not depend on each other."""
    return plan(step("one", "put", key="a", value=1), step("two", "put", key="b", value=2))


def live_log(plan_id: str, kind: str = "live") -> list[str]:
    """Return the steps whose calls of one kind were made, in order."""
    return [made for what, plan, made in world.WORLD.log if plan == plan_id and what == kind]


async def awaiting_other(handle: Any, digest: str | None) -> Any:
    """Return the status of a plan that waits for the approval of another seal; None until then."""
    status = await handle.status()
    return status if status.state is State.AWAITING_APPROVAL and status.digest != digest else None
