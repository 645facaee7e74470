"""A plan that waits for its turn at a gate, and what lets it in: the gate, and no announcement of a client."""

import itertools
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType

from airlock.activities import gate_client
from airlock.base import names
from airlock.base.keyring import Keyring
from airlock.gates.answers import SlotQueued
from airlock.plans.state import State
from tests.replay.replay import replayer
from tests.workflows.attacker_starts import history
from tests.workflows.conftest import approved, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.test_short_path import activities
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)


@pytest.fixture(params=[keyring("k"), Keyring()], ids=["keys", "no keys"])
async def narrow(request, dev_server) -> Place:
    """One plan is live at a time."""
    return await place(dev_server.client, f"turn{next(_NUMBERS)}", request.param, max_live_escalations=1)


async def queued(handle: Any) -> bool:
    return "its turn at" in (await handle.status()).waits_for


async def one_in_and_one_behind(where: Place, first: dict[str, Any], second: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Return the plan that is in, the plan that waits behind it, and what lets the first one's call end."""
    hold = WORLD.hold(first["plan_id"], "a")
    inside = await where.airlock.submit(first)
    await approved(inside)
    await until(lambda: (first["plan_id"], "a") in WORLD.running)
    behind = await where.airlock.submit(second)
    await approved(behind)
    await until(lambda: queued(behind))
    return inside, behind, hold


async def test_a_turn_that_any_client_announces_admits_no_plan(narrow, plan):
    first, second = plan(step("a", "once", key="x", value=1)), plan(step("a", "once", key="x", value=2))
    async with narrow.working():
        inside, behind, hold = await one_in_and_one_behind(narrow, first, second)
        for asked in (1, 2):
            await behind.workflow.signal("granted", {"gate": names.LIVE_GATE})
            await until(lambda asked=asked: _asked(narrow, behind, asked))
            await until(lambda: queued(behind))
        assert WORLD.attempts[f"{second['plan_id']}/a"] == 0
        hold.set()
        assert [(await each.result()).outcome for each in (inside, behind)] == ["completed", "completed"]
    assert WORLD.attempts[f"{second['plan_id']}/a"] == 1


async def _asked(where: Place, handle: Any, times: int) -> bool:
    """Return True once an answer has come to so many requests to be let in."""
    events = await history(where.attacker.client, handle.workflow.id)
    asked = {
        event.event_id for event in events if event.activity_task_scheduled_event_attributes.activity_type.name == "acquire"
    }
    ended = [event.activity_task_completed_event_attributes.scheduled_event_id for event in events]
    return sum(each in asked for each in ended) >= times


async def test_a_plan_that_is_locked_in_the_queue_calls_nothing_and_loses_no_slot(narrow, plan):
    first, second = plan(step("a", "once", key="x", value=1)), plan(step("a", "once", key="x", value=2))
    async with narrow.working():
        inside, behind, hold = await one_in_and_one_behind(narrow, first, second)
        assert (await behind.decide("lock", by="olga", reason="stop")).accepted
        hold.set()
        assert (await inside.result()).outcome == "completed"
        status = await until(lambda: _settled(behind))
        assert (status.gates, status.in_flight, status.parked) == ((), (), ())
        third = await narrow.airlock.submit(plan(step("a", "put", key="y", value=3)))  # no slot is lost
        await approved(third)
        assert (await third.result()).outcome == "completed"
    assert WORLD.attempts[f"{second['plan_id']}/a"] == 0


async def test_a_slot_that_is_announced_before_its_queue_is_known_is_taken_at_once(airlock, plan, monkeypatch):
    keys = [f"early{next(_NUMBERS)}" for _ in range(2)]
    holders, holds = {}, {}
    for key in keys:
        document = plan(step("a", "share", key=key, value=1))
        holds[key] = WORLD.hold(document["plan_id"], "a")
        holders[key] = await airlock.submit(document)
        await approved(holders[key])
        await until(lambda plan_id=document["plan_id"]: (plan_id, "a") in WORLD.running)
    document = plan(*(step(key, "share", key=key, value=2) for key in keys))
    behind = await airlock.submit(document)
    queued_at, ask = list[str](), gate_client.ask

    async def late(client: Any, gate: str, wanted: Any) -> Any:
        """Answer the plan that waits in the second queue only after the second gate has let it in."""
        answer = await ask(client, gate, wanted)
        if wanted.holder == behind.workflow.id and isinstance(answer, SlotQueued) and gate not in queued_at:
            queued_at.append(gate)
            if len(queued_at) == 2:
                holds[wanted.name.removeprefix("shared:")].set()
                await until(lambda: announced(behind, gate))
        return answer

    monkeypatch.setattr(gate_client, "ask", late)
    await approved(behind)
    await until(lambda: queued(behind))
    waits_for = (await behind.status()).waits_for
    (first,) = [key for key in keys if f"shared:{key} " in waits_for]
    holds[first].set()
    assert (await behind.result()).outcome == "completed"
    assert len(queued_at) == 2
    kinds = [event.event_type async for event in behind.workflow.fetch_history_events()]
    assert EventType.EVENT_TYPE_TIMER_FIRED not in kinds
    for holder in holders.values():
        assert (await holder.result()).outcome == "completed"
    await replayer().replay_workflow(await behind.workflow.fetch_history())


async def announced(handle: Any, gate: str) -> bool:
    return any(
        event.workflow_execution_signaled_event_attributes.external_workflow_execution.workflow_id == gate
        for event in [event async for event in handle.workflow.fetch_history_events()]
    )


async def _settled(handle: Any) -> Any:
    status = await handle.status()
    return status if status.state is State.LOCKED and not status.gates else None


@pytest.mark.parametrize("rolls_back", [True, False])
async def test_a_plan_that_goes_on_after_its_deadline_does_not_ask_the_gates(skipping, plan, rolls_back):
    airlock, env = await skipping(approval_valid_for="7d", enable_rollback_on_failure=rolls_back)
    document = plan(step("a", "once", key="a", value=1), step("b", "put", ("a",), key="b", value=1), deadline="2h")
    WORLD.trouble[(document["plan_id"], "a")] = ["lost_after"]
    handle = await airlock.submit(document)
    await approved(handle)
    assert (await handle.wait_for(State.LOCKED)).parked == ("a",)
    await env.sleep(timedelta(hours=3))
    assert (await handle.decide("resolve", by="op", step="a", outcome="happened", reason="seen")).accepted
    await until(lambda: _over(handle))
    entries = (await handle.audit()).entries
    assert [entry.what for entry in entries if entry.kind == "refused"] == []
    assert any("the plan's deadline passed" in entry.reason for entry in entries)
    assert (await activities(handle)).count("acquire") == 0
    assert WORLD.attempts[f"{document['plan_id']}/b"] == 0


async def _over(handle: Any) -> bool:
    status = await handle.status()
    return status.outcome is not None or (status.state is State.LOCKED and status.why.startswith("the plan's deadline"))
