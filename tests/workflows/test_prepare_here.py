"""Plans that are rehearsed by the process whose worker carried out their workflow task, and those that cannot be."""

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from airlock.activities import heartbeat
from airlock.activities.rehearsals import prepare_here
from airlock.activities.rehearsals.prepare_here import LentRole, PrepareHereActivities
from airlock.activities.toolbox import Toolbox
from airlock.base import names
from airlock.client import Airlock
from airlock.plans.catalogue import Catalogue
from airlock.plans.plan import Plan
from airlock.plans.state import State
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.wire import PrepareRequest
from airlock.worker.roles import Limits, build_workers
from tests.running import running
from tests.workflows.conftest import POLICY, approved, awaiting, catalogue, namespace, step, until
from tests.workflows.test_ahead import slow
from tests.workflows.world import WORLD, Put, put

PLAN = {"plan_id": "p", "requested_by": "me", "steps": [step("a", "put", key="a", value=1)]}
HERE, ELSEWHERE = (f"prepare {queue}" for queue in (names.WORKFLOW_QUEUE, names.REHEARSE_QUEUE))
IN_PARTS = [HERE, f"admit {names.WORKFLOW_QUEUE}", *(f"{part} {names.REHEARSE_QUEUE}" for part in ("rehearse", "preview"))]


async def asked(handle):
    """Return each activity of a plan with its queue."""
    scheduled = [
        event.activity_task_scheduled_event_attributes
        async for event in handle.workflow.fetch_history_events()
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    return [f"{each.activity_type.name} {each.task_queue.name}" for each in scheduled]


def split(client, toolbox, lent=None):
    """Return an orchestrating worker, which borrows a role, and the workers of the others."""
    others = [each for role in ("rehearse", "live") for each in build_workers(client, toolbox, role)]
    return [*build_workers(client, toolbox, "orchestrate", lent=lent), *others]


async def test_a_process_with_all_roles_rehearses_where_the_workflow_task_ran(airlock, plan):
    handle = await airlock.submit(plan(step("a", "put", key="a", value=1)))
    await approved(handle)
    assert (await asked(handle))[0] == HERE
    assert (await handle.result()).outcome == "completed"


async def test_roles_in_processes_of_their_own_rehearse_on_their_own_queue(dev_server, plan):
    client = await namespace(dev_server.client, "here-split")
    async with running(split(client, Toolbox(catalogue(), POLICY))):
        handle = await Airlock(client).submit(plan(step("a", "put", key="a", value=1)))
        await awaiting(handle)
        assert await asked(handle) == [ELSEWHERE]


async def test_a_process_that_rehearses_no_more_hands_the_plan_to_the_others(dev_server, plan):
    client = await namespace(dev_server.client, "here-closed")
    async with running(split(client, Toolbox(catalogue(), POLICY), LentRole(1))):
        handle = await Airlock(client).submit(plan(step("a", "put", key="a", value=1)))
        await approved(handle)
        assert (await handle.result()).outcome == "completed"
        assert (await asked(handle))[:4] == IN_PARTS
        assert (await handle.status()).refused == 0


async def test_a_process_without_rehearsals_hands_on_what_reaches_it():
    request = PrepareRequest(plan=Plan.model_validate(PLAN), setup="0")
    with pytest.raises(ApplicationError, match="this process does not rehearse") as refused:
        await ActivityEnvironment().run(PrepareHereActivities(None).prepare, request)
    assert refused.value.non_retryable


async def test_a_plan_without_a_place_is_rehearsed_by_the_others(dev_server, plan, monkeypatch):
    monkeypatch.setattr(prepare_here, "PLACE_WITHIN", 0.2)
    client = await namespace(dev_server.client, "here-full")
    toolbox = Toolbox(Catalogue([slow, put]), POLICY)
    lent = LentRole(1)
    lent.open(toolbox)
    async with running(split(client, toolbox, lent)):
        long = plan(step("a", "slow", key="a", value=1))
        first = await Airlock(client).submit(long)
        await first.wait_for(State.MOCK)
        second = await Airlock(client).submit(plan(step("b", "put", key="b", value=1)))
        await awaiting(second)
        assert await asked(second) == IN_PARTS
        WORLD.hold(long["plan_id"], "dry").set()
        await awaiting(first)


def test_a_worker_with_few_places_lends_none():
    assert Limits(rehearsals=3).lent() is None
    assert [Limits(rehearsals=many).lent().places for many in (4, 5, 20)] == [2, 2, 10]


@tool(name="there", risk="MEDIUM", reversibility="compensable")
async def there(args: Put, call: ToolCall) -> dict[str, Any]:
    """Set a key."""
    return {"key": args.key}


@there.mock
async def _there_mock(args: Put, call: ToolCall) -> dict[str, Any]:
    LOOPS.add(("mock", asyncio.get_running_loop()))
    BLOCKED.wait(60)
    return {"key": args.key}


@there.dry_run
async def _there_dry(args: Put, call: ToolCall) -> Preview:
    LOOPS.add(("dry run", asyncio.get_running_loop()))
    return Preview(effect=f"set {args.key}")


@there.compensate
async def _there_undo(args: Put, call: ToolCall) -> None:
    pass


LOOPS: set[tuple[str, asyncio.AbstractEventLoop]] = set()
BLOCKED = threading.Event()
"""Not set while a mock of `there` does not give its event loop back."""


class Neighbour:
    """A rehearsing role in a thread of its own, as a worker with all roles has it."""

    def __init__(self, toolbox: Toolbox) -> None:
        self.lent = LentRole(2)
        self.thread = threading.Thread(target=asyncio.run, args=(self._work(toolbox),))
        self._open = threading.Event()

    async def _work(self, toolbox):
        self.loop, self._closing, self.lost = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        async with self.lent.opened(toolbox, self.lost):
            self._open.set()
            await self._closing.wait()

    async def __aenter__(self):
        self.thread.start()
        assert await asyncio.to_thread(self._open.wait, 20)
        return self

    def close(self):
        self.loop.call_soon_threadsafe(self._closing.set)

    async def __aexit__(self, *_):
        if self.thread.is_alive():
            self.close()
        await asyncio.to_thread(self.thread.join, 20)
        assert not self.thread.is_alive()


@asynccontextmanager
async def beside(client, *tools):
    """Yield an Airlock whose orchestrating worker borrows the role of another thread; others rehearse in this one."""
    LOOPS.clear()
    BLOCKED.set()
    toolbox = Toolbox(Catalogue(tools), POLICY)
    try:
        async with Neighbour(toolbox) as neighbour, running(split(client, toolbox, neighbour.lent)):
            yield Airlock(client), neighbour
            BLOCKED.set()
            WORLD.release()
    finally:
        BLOCKED.set()


async def test_tools_run_in_the_loop_of_the_rehearsing_role(dev_server, plan):
    client = await namespace(dev_server.client, "here-loops")
    async with beside(client, there) as (airlock, neighbour):
        handle = await airlock.submit(plan(step("a", "there", key="a", value=1)))
        await awaiting(handle)
        assert await asked(handle) == [HERE]
        assert {("mock", neighbour.loop), ("dry run", neighbour.loop)} == LOOPS


async def test_a_tool_that_does_not_give_that_loop_back_harms_no_other_plan(dev_server, plan):
    client = await namespace(dev_server.client, "here-blocked")
    async with beside(client, there, put) as (airlock, neighbour):
        BLOCKED.clear()
        rude = await airlock.submit(plan(step("a", "there", key="a", value=1)))
        await until(lambda: ("mock", neighbour.loop) in LOOPS)
        good = await airlock.submit(plan(step("a", "put", key="a", value=1)))
        await awaiting(good)
        assert await asked(good) == IN_PARTS
        assert (await rude.status()).state is State.MOCK  # the workflows go on
        BLOCKED.set()
        await awaiting(rude)


async def test_heartbeats_come_from_that_loop(dev_server, plan, monkeypatch):
    monkeypatch.setattr(heartbeat, "HEARTBEAT_INTERVAL", 0.05)
    client = await namespace(dev_server.client, "here-beats")
    async with beside(client, slow) as (airlock, _neighbour):
        document = plan(step("a", "slow", key="a", value=1))
        handle = await airlock.submit(document)

        async def beats():
            pending = (await handle.workflow.describe()).raw_description.pending_activities
            return any(each.HasField("last_heartbeat_time") for each in pending if each.activity_type.name == "prepare")

        await until(beats)
        WORLD.hold(document["plan_id"], "dry").set()
        await awaiting(handle)


async def test_a_role_that_closes_stops_what_was_lent_and_waits_for_it(dev_server, plan):
    client = await namespace(dev_server.client, "here-closing")
    async with beside(client, slow) as (airlock, neighbour):
        document = plan(step("a", "slow", key="a", value=1), step("b", "slow", ("a",), key="b", value=1))
        handle = await airlock.submit(document)
        await handle.wait_for(State.MOCK)
        await until(lambda: neighbour.lent._lent)
        neighbour.close()
        await asyncio.to_thread(neighbour.thread.join, 0.3)
        assert neighbour.thread.is_alive()  # a dry run is in flight
        neighbour.loop.call_soon_threadsafe(WORLD.hold(document["plan_id"], "dry").set)
        await awaiting(handle)
        await asyncio.to_thread(neighbour.thread.join, 20)
        assert not neighbour.thread.is_alive()
        assert await asked(handle) == [HERE, f"preview {names.REHEARSE_QUEUE}"]


async def test_a_plan_that_is_stopped_stops_its_rehearsal_there(dev_server, plan):
    client = await namespace(dev_server.client, "here-stopped")
    async with beside(client, slow) as (airlock, neighbour):
        handle = await airlock.submit(plan(step("a", "slow", key="a", value=1)))
        await handle.wait_for(State.MOCK)
        await until(lambda: neighbour.lent._lent)
        assert (await handle.decide("abort", by="olga", reason="stop")).accepted
        assert (await handle.result()).outcome == "aborted"
        await until(lambda: not neighbour.lent._lent)


async def test_a_rehearsal_that_is_cancelled_before_it_has_begun_there_never_begins():
    held, go_on, begun = threading.Event(), threading.Event(), []

    def hold():
        held.set()
        go_on.wait(60)

    async def work():
        begun.append(True)

    async with Neighbour(Toolbox(Catalogue([put]), POLICY)) as neighbour:
        neighbour.loop.call_soon_threadsafe(hold)
        assert await asyncio.to_thread(held.wait, 20)
        asking = asyncio.create_task(prepare_here._in_loop(neighbour.loop, work()))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(ApplicationError, match="has ended"):
            await asking
        assert not begun


async def test_nothing_is_lent_after_what_tools_share_has_ended(dev_server, plan):
    client = await namespace(dev_server.client, "here-lost")
    async with beside(client, put) as (airlock, neighbour):
        neighbour.loop.call_soon_threadsafe(neighbour.lost.set)
        handle = await airlock.submit(plan(step("a", "put", key="a", value=1)))
        await awaiting(handle)
        assert await asked(handle) == IN_PARTS


async def test_a_role_whose_loop_has_ended_hands_the_plan_back(dev_server, plan):
    client = await namespace(dev_server.client, "here-ended")
    async with beside(client, put) as (airlock, neighbour):
        lent = neighbour.lent
        neighbour.close()
        await asyncio.to_thread(neighbour.thread.join, 20)
        lent.open(Toolbox(Catalogue([put]), POLICY), neighbour.loop)  # as if it had ended without closing
        handle = await airlock.submit(plan(step("a", "put", key="a", value=1)))
        await awaiting(handle)
        assert await asked(handle) == IN_PARTS
