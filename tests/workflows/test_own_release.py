"""A plan that ends gives back its slots and reports by signals of its own; where that fails an activity does it."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from airlock.base import names
from airlock.base.keyring import Keyring
from airlock.client.live_gate import LiveGate
from airlock.gates.answers import SlotGranted
from airlock.gates.semaphore import Gate
from airlock.gates.slots import Slot
from airlock.plans.state import State
from tests.workflows.attacker_starts import history
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.test_short_path import activities
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)


@pytest.fixture(params=[keyring("k"), Keyring()], ids=["keys", "no keys"])
async def either(request, dev_server) -> Place:
    return await place(dev_server.client, f"own-release{next(_NUMBERS)}", request.param)


@pytest.fixture
def made(plan) -> Callable[[], dict[str, Any]]:
    """Makes a plan of one call that touches a resource."""
    return lambda: plan(step("a", "share", key=f"own{next(_NUMBERS)}", value=1))


async def told(where: Place, handle: Any) -> list[str]:
    """Return the signals that the run sent itself."""
    events = await history(where.attacker.client, handle.workflow.id)
    sent = [event.signal_external_workflow_execution_initiated_event_attributes for event in events]
    return sorted(f"{each.signal_name} {each.workflow_execution.workflow_id}" for each in sent if each.signal_name)


async def gate_is_empty(where: Place) -> bool:
    view = await LiveGate(where.airlock.client).status()
    return view.ready and not view.holders


async def test_its_slots_are_free_and_its_reports_arrive_without_an_activity(either, made):
    async with either.working():
        for _ in range(2):  # the first one starts the monitor, which an activity does
            handle = await either.airlock.submit(made())
            await approved(handle)
            assert (await handle.result()).outcome == "completed"
        assert "leave" not in await activities(handle)
        signalled = await told(either, handle)
        assert [each.partition(" ")[0] for each in signalled] == ["release", "release", "report"]
        assert f"release {names.LIVE_GATE}" in signalled
        await until(lambda: gate_is_empty(either))
        assert (await LiveGate(either.airlock.client).status()).refused == 0
        gate = next(each.partition(" ")[2] for each in signalled if names.RESOURCE_GATE_PREFIX in each)
        # it ends once its only holder has left
        await either.airlock.client.get_workflow_handle(gate).result()


@pytest.mark.parametrize("gone", ["gate", "monitor"])
async def test_an_activity_does_all_of_it_where_a_gate_or_the_monitor_is_gone(either, made, gone):
    async with either.working():
        first = await either.airlock.submit(made())
        await approved(first)
        assert (await first.result()).outcome == "completed"
        document = made()
        hold = WORLD.hold(document["plan_id"], "a")
        handle = await either.airlock.submit(document)
        await approved(handle)
        await until(lambda: WORLD.attempts[f"{document['plan_id']}/a"])
        workflow_id = names.LIVE_GATE if gone == "gate" else names.monitor_id(0)
        await either.attacker.client.get_workflow_handle(workflow_id).terminate("by mistake")
        hold.set()
        assert (await handle.result()).outcome == "completed"
        assert (await activities(handle))[-1] == "leave"
        await until(lambda: gate_is_empty(either))
        again = await either.airlock.submit(made())  # both run again
        await approved(again)
        assert (await again.result()).outcome == "completed"
        assert "leave" not in await activities(again)


async def test_a_plan_that_was_let_in_by_a_gate_of_an_earlier_version_asks_an_activity(either, made, monkeypatch):
    def granted(gate: Gate, slot: Slot) -> SlotGranted:
        slot.known, slot.until = True, None
        return SlotGranted(fence=slot.fence, slots=slot.slots)

    monkeypatch.setattr(Gate, "_granted", granted)
    async with either.working():
        handle = await either.airlock.submit(made())
        await approved(handle)
        assert (await handle.result()).outcome == "completed"
        assert (await activities(handle))[-1] == "leave"
        assert await told(either, handle) == []
        await until(lambda: gate_is_empty(either))


async def test_a_denied_plan_reports_by_a_signal(either, made):
    async with either.working():
        first = await either.airlock.submit(made())
        await approved(first)
        await first.result()
        handle = await either.airlock.submit(made())
        await awaiting(handle)
        assert (await handle.decide("deny", by="alice", reason="no")).accepted
        assert (await handle.result()).outcome == "denied"
        assert "leave" not in await activities(handle)
        assert [each.partition(" ")[0] for each in await told(either, handle)] == ["report"]


async def test_a_plan_that_is_rolled_back_releases_its_live_slot_at_once_and_the_rest_at_its_end(either, plan):
    key = f"own{next(_NUMBERS)}"
    document = plan(step("a", "share", key=key, value=1), step("b", "put", ("a",), key="b", value=1))
    WORLD.trouble[(document["plan_id"], "b")] = ["fail"] * 9
    async with either.working():
        first = await either.airlock.submit(plan(step("a", "put", key="x", value=1)))
        await approved(first)
        await first.result()
        handle = await either.airlock.submit(document)
        await approved(handle)
        result = await handle.result()
        assert (result.outcome, "a" in result.undone) == ("aborted", True)
        assert (await handle.status()).state is State.ABORTED
        # the first must be sure before anything is undone; the second only ends the plan
        assert (await activities(handle)).count("leave") == 1
        assert [each.partition(" ")[0] for each in await told(either, handle)] == ["release", "report"]
        await until(lambda: gate_is_empty(either))
