"""Runs that a client pins to a build whose workers are its own: it gets their tasks, and no call made."""

import asyncio
import itertools
from datetime import timedelta
from typing import Any

import pytest

from airlock.base import names
from airlock.plans.state import State
from airlock.workflows.calls import opening
from tests.workflows.attacker import plain
from tests.workflows.attacker_builds import build, override, pinned
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.test_proof_calls import running, times
from tests.workflows.test_proof_replayed import PUBLIC, signed
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)
CLOSING = tuple(f"activity_task_{how}_event_attributes" for how in ("completed", "failed", "timed_out", "canceled"))


@pytest.fixture
async def where(dev_server) -> Place:
    return await place(dev_server.client, f"pinned{next(_NUMBERS)}", keyring("k"))


async def test_a_call_under_way_is_made_once_and_its_plan_goes_on_when_it_is_let_go(where, plan):
    document = plan(step("a", "once", key="a", value=1))
    workflow_id, client = names.plan_workflow_id(document["plan_id"]), where.attacker.client
    async with where.working():
        handle, hold = await running(where, document, "a")
        async with build(client, names.WORKFLOW_QUEUE) as made:
            await override(client, workflow_id, pinned())
            hold.set()
            task = await asyncio.wait_for(made.workflow_tasks.get(), 60)
            assert task.workflow_execution.workflow_id == workflow_id
            await override(client, workflow_id, None)  # the task that it holds times out
            assert (await handle.result()).outcome == "completed"
    assert times(document, "a") == 1


async def test_a_build_of_a_client_commands_no_call_of_a_plan_that_was_not_approved(dev_server, plan):
    """The question of the call is a genuine one, of another plan that was approved."""
    where = await place(
        dev_server.client, f"pinned{next(_NUMBERS)}", keyring("k"), signature_required="always", authorized_keys=[PUBLIC]
    )
    first, second = (plan(step("a", "once", key="a", value=1)) for _ in range(2))
    client = where.attacker.client
    async with where.working():
        handle = await where.airlock.submit(first)
        vote = signed(first["plan_id"], (await awaiting(handle)).digest)
        assert (await handle.decide("approve", **vote)).accepted
        await handle.result()
        events = await where.attacker.events(handle.workflow.id)
        asked = [each.activity_task_scheduled_event_attributes for each in events]
        (genuine,) = [each.input.payloads[0] for each in asked if each.activity_type.name == "call"]
        other = await where.airlock.submit(second)
        await awaiting(other)
        async with build(client, names.WORKFLOW_QUEUE) as made:
            await override(client, other.workflow.id, pinned())
            for number, given in enumerate((genuine, plain({"plan_id": second["plan_id"], "calls": []}))):
                await client.get_workflow_handle(other.workflow.id).signal("approve", vote)
                task = await asyncio.wait_for(made.workflow_tasks.get(), 60)
                await made.command(task, "call", f"a:live:{number}", names.LIVE_QUEUE, given)
                await until(lambda number=number: has_ended(where, other.workflow.id, f"a:live:{number}"))
        await other.workflow.terminate()
    assert [times(document, "a") for document in (first, second)] == [1, 0]


async def has_ended(where: Place, workflow_id: str, activity_id: str) -> bool:
    events = await where.attacker.events(workflow_id)
    scheduled = [(each.event_id, each.activity_task_scheduled_event_attributes.activity_id) for each in events]
    ids = {event_id for event_id, found in scheduled if found == activity_id}
    kinds = [(each, each.WhichOneof("attributes")) for each in events]
    return any(kind in CLOSING and getattr(each, kind).scheduled_event_id in ids for each, kind in kinds)


async def test_a_build_of_a_client_that_takes_the_call_hides_nothing(where, plan, monkeypatch):
    """The run is pinned, and so its call goes to the client's own worker, which answers as if nothing were left to do."""
    monkeypatch.setattr(opening, "BEGUN_WITHIN", timedelta(seconds=60))  # the client is busy as well
    document = plan(step("a", "once", key="a", value=1))
    workflow_id, client = names.plan_workflow_id(document["plan_id"]), where.attacker.client
    async with where.working("orchestrate", "rehearse"):
        handle = await where.airlock.submit(document)
        await awaiting(handle)
        async with build(client, names.WORKFLOW_QUEUE, names.LIVE_QUEUE) as made:
            await approved(handle)
            await until(lambda: scheduled(where, workflow_id))
            await override(client, workflow_id, pinned())
            task = await asyncio.wait_for(made.activity_tasks.get(), 60)
            await where.attacker.complete(task, plain({"attempts": [], "ended": True, "stopped": True}))
            await override(client, workflow_id, None)
        async with where.working("live"):
            status = await until(lambda: parked(handle))
            assert status.steps[0].status == "in_doubt", status
    assert times(document, "a") == 0
    assert not WORLD.running


async def scheduled(where: Place, workflow_id: str) -> bool:
    events = await where.attacker.events(workflow_id)
    return any(each.activity_task_scheduled_event_attributes.activity_type.name == "call" for each in events)


async def parked(handle: Any) -> Any:
    status = await handle.status()
    return status if status.parked or status.state is State.LOCKED else None
