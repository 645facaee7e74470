"""The short path: what one activity rehearsed, and what becomes of a plan whose workers are not set up alike."""

import pytest

from airlock.activities.monitor import start_monitors
from airlock.activities.toolbox import Toolbox
from airlock.client import Airlock
from airlock.plans.catalogue import Catalogue
from airlock.plans.state import State
from airlock.worker.roles import build_workers
from tests.running import running
from tests.workflows.conftest import POLICY, approved, awaiting, catalogue, namespace, step, until
from tests.workflows.test_ahead import slow
from tests.workflows.world import WORLD, put


async def activities(handle):
    events = [event async for event in handle.workflow.fetch_history_events()]
    return [
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]


async def test_the_record_holds_every_state_with_its_time(airlock, plan):
    await start_monitors(airlock.client, POLICY)  # as every worker does at its start
    handle = await airlock.submit(plan(step("a", "put", key="a", value=1)))
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    assert await activities(handle) == ["prepare", "call"]
    entries = (await handle.audit()).entries
    assert [entry.what for entry in entries if entry.kind == "transition"] == [
        "rehearsed", "previewed", "approved", "calls_done",
    ]  # fmt: skip
    times = [entry.at for entry in entries]
    assert times == sorted(times)
    at = {entry.what: entry.at for entry in reversed(entries)}
    # by the clock of the worker: one task of the workflow recorded all three
    assert at["admitted"] < at["rehearsed"] < at["previewed"]


async def test_a_rehearsing_worker_with_another_setup_hands_a_plan_back(dev_server, plan):
    client = await namespace(dev_server.client, "other-setup")
    tools, keyed = Toolbox(catalogue(), POLICY), Toolbox(catalogue(), POLICY, index_key="another")
    workers = [each for role in ("orchestrate", "live") for each in build_workers(client, tools, role)]
    await start_monitors(client, POLICY)
    async with running([*workers, *build_workers(client, keyed, "rehearse")]):
        handle = await Airlock(client).submit(plan(step("a", "put", key="a", value=1)))
        await approved(handle)
        assert (await handle.result()).outcome == "completed"
        assert await activities(handle) == ["prepare", "admit", "rehearse", "preview", "call"]
        assert (await handle.status()).refused == 0


async def test_dry_runs_that_take_longer_are_told_as_such_and_made_by_their_own_activity(dev_server, plan):
    client = await namespace(dev_server.client, "long-dry-runs")
    document = plan(step("a", "slow", key="a", value=1), step("b", "put", key="b", value=1))
    async with running(build_workers(client, Toolbox(Catalogue([slow, put]), POLICY))):
        handle = await Airlock(client).submit(document)
        await handle.wait_for(State.DRY_RUN)
        WORLD.hold(document["plan_id"], "dry").set()
        await awaiting(handle)
    assert await activities(handle) == ["prepare", "preview"]


@pytest.mark.parametrize("steps", [1, 2])
async def test_a_lock_before_a_worker_begins_calls_nothing_and_holds_nothing(dev_server, plan, steps):
    client = await namespace(dev_server.client, f"no-calls-{steps}")
    document = plan(*(step(f"s{n}", "share", key=f"early-{n}", value=1) for n in range(steps)))
    toolbox = Toolbox(catalogue(), POLICY)
    async with running([each for role in ("orchestrate", "rehearse") for each in build_workers(client, toolbox, role)]):
        handle = await Airlock(client).submit(document)
        await approved(handle)
        await handle.wait_for(State.LIVE)
        assert (await handle.decide("lock", by="olga", reason="stop")).accepted
        status = await until(lambda: locked(handle))
        assert (status.gates, status.in_flight, status.parked) == ((), (), ())
    assert not WORLD.attempts[f"{document['plan_id']}/s0"]


async def locked(handle):
    status = await handle.status()
    return status if status.state is State.LOCKED and not status.in_flight else None
