"""Plans that are rehearsed by the process whose worker carried out their workflow task, and those that cannot be."""

import asyncio
import contextvars
import threading
from contextlib import asynccontextmanager

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from airlock.activities.functions.tool_loop import in_loop
from airlock.activities.functions.tool_runs import run
from airlock.activities.rehearsals import prepare_here
from airlock.activities.rehearsals.prepare_here import LentRole, PrepareHereActivities
from airlock.activities.toolbox import Toolbox
from airlock.base import names
from airlock.base.errors import InDoubt
from airlock.client import Airlock
from airlock.plans.catalogue import Catalogue
from airlock.plans.plan import Plan
from airlock.plans.state import State
from airlock.wire import PrepareRequest
from airlock.worker.roles import Limits, build_workers
from tests.running import running
from tests.workflows.conftest import POLICY, approved, awaiting, catalogue, namespace, step
from tests.workflows.test_ahead import slow
from tests.workflows.world import WORLD, put

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


async def test_a_plan_of_many_steps_takes_no_turns_with_the_workflows(airlock, plan):
    handle = await airlock.submit(plan(*(step(f"s{n}", "put", key=f"many-{n}", value=n) for n in range(101))))
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


def test_a_worker_for_one_rehearsal_at_a_time_lends_nothing():
    assert Limits(rehearsals=1).lent() is None
    assert [Limits(rehearsals=many).lent().places for many in (2, 3, 20)] == [1, 1, 10]


async def test_a_role_stays_open_until_what_was_borrowed_is_given_back():
    lent, closing = LentRole(1), asyncio.Event()

    async def role():
        async with lent.opened(Toolbox(catalogue(), POLICY)):
            await closing.wait()

    running = asyncio.create_task(role())
    await asyncio.sleep(0)
    with lent.borrowed() as first:
        assert first is not None
        closing.set()
        done, _ = await asyncio.wait({running}, timeout=0.2)
        assert not done
        with lent.borrowed() as second:
            assert second is None
    async with asyncio.timeout(10):
        await running


@asynccontextmanager
async def another_loop():
    """Yield an event loop that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(thread.join, 10)
        assert not thread.is_alive()
        loop.close()


word = contextvars.ContextVar("word")


async def test_a_coroutine_runs_in_the_loop_of_its_role_and_knows_its_activity():
    async def look():
        return asyncio.get_running_loop(), word.get()

    word.set("mine")
    async with another_loop() as loop:
        assert await in_loop(loop, look()) == (loop, "mine")
        assert await in_loop(None, look()) == (asyncio.get_running_loop(), "mine")


async def test_a_coroutine_whose_time_is_over_is_cancelled_in_its_loop():
    ended = threading.Event()

    async def wait(_args, _call):
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async with another_loop() as loop:
        with pytest.raises(TimeoutError):
            await run(wait, None, None, 0.05, loop)
        assert await asyncio.to_thread(ended.wait, 10)


async def test_a_coroutine_that_blocks_its_loop_holds_up_no_other():
    go_on = threading.Event()

    async def block(_args, _call):
        go_on.wait(60)

    async with another_loop() as loop:
        with pytest.raises(TimeoutError):
            await run(block, None, None, 0.05, loop)
        go_on.set()


@pytest.mark.parametrize("ending", [SystemExit, KeyboardInterrupt])
async def test_a_coroutine_that_ends_the_program_ends_no_loop(ending):
    async def leave(_args, _call):
        raise ending

    async def look():
        return "still there"

    async with another_loop() as loop:
        with pytest.raises(InDoubt):
            await run(leave, None, None, 5, loop)
        assert await in_loop(loop, look()) == "still there"
