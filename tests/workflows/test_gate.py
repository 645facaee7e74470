"""Gates of resources and tools on a real server: who is in, who is next, and who is gone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from airlock.base import names
from airlock.gates.answers import AcquireBusy
from airlock.gates.protocol import Permit, PermitAnswer, ToolSlots
from tests.replay.replay import replayer
from tests.workflows.conftest import until
from tests.workflows.gate_visits import NUMBERS, WORKSHOP, closed, gate_of, gates, inside, resource, status, visit, waiting


@pytest.fixture(scope="module")
async def shared(dev_server: Any) -> AsyncIterator[Client]:
    async with gates(dev_server) as client:
        yield client


async def test_a_place_costs_a_start_an_update_and_a_signal_and_the_gate_is_gone(shared):
    name = resource()
    plan = await inside(shared, resources=(name,))
    held = (await plan.state())["result"]["held"]
    assert [place["name"] for place in held] == [name]
    assert held[0]["fence"] > 1_600_000_000_000
    assert [row.holder for row in (await status(gate_of(shared, name))).holders] == [plan.handle.id]
    await plan.leave()
    await plan.handle.result()
    assert await closed(gate_of(shared, name)) == "COMPLETED"
    kinds = [EventType.Name(event.event_type) async for event in gate_of(shared, name).fetch_history_events()]
    assert not [kind for kind in kinds if "TIMER" in kind or "ACTIVITY" in kind], kinds
    assert kinds.count("EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED") == 1
    assert kinds.count("EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED") == 1


async def test_who_waits_is_told_in_order_and_fences_rise(shared):
    name = resource()
    first = await inside(shared, resources=(name,))
    others = []
    for number in range(1, 4):
        others.append(await visit(shared, resources=(name,)))
        await waiting(gate_of(shared, name), number)
    urgent = await visit(shared, resources=(name,), urgent=True)
    view = await waiting(gate_of(shared, name), 4)
    assert [row.holder for row in view.waiting] == [plan.handle.id for plan in (urgent, *others)]
    said = (await others[0].state())["result"]["waiting"]
    assert said["name"] == name
    assert said["holders"] == [first.handle.id]
    fences = [(await first.state())["result"]["held"][0]["fence"]]
    before = first
    for plan in (urgent, *others):
        assert not await plan.inside()
        await before.leave()
        await until(plan.inside)
        assert (await plan.heard("granted")) == [{"gate": gate_of(shared, name).id, "request": "1"}]
        fences.append((await plan.state())["result"]["held"][0]["fence"])
        before = plan
    assert fences == sorted(set(fences))
    await before.leave()
    assert await closed(gate_of(shared, name)) == "COMPLETED"
    await replayer().replay_workflow(await gate_of(shared, name).fetch_history())


async def test_busy_is_answered_to_who_does_not_wait(shared):
    name, other = resource(), resource()
    first = await inside(shared, resources=(name,))
    second = await visit(shared, resources=(name, other), wait=False, stay=False)
    result = await second.handle.result()
    assert isinstance(result, AcquireBusy)
    assert result.busy.holders == (first.handle.id,)


async def test_a_tool_has_as_many_slots_as_its_contract_says(shared):
    tool = f"tool{next(NUMBERS)}"
    first = await inside(shared, tools={tool: ToolSlots(capacity=3, wanted=2)})
    second = await inside(shared, tools={tool: ToolSlots(capacity=3, wanted=2)})
    slots = [(await plan.state())["result"]["held"][0]["slots"] for plan in (first, second)]
    assert slots == [2, 1]
    await first.leave()
    await second.leave()


@pytest.mark.slow
@pytest.mark.parametrize("gone", ["terminated", "completed"])
async def test_a_holder_that_is_gone_is_found_while_somebody_waits(shared, gone):
    name = resource()
    first = await inside(shared, resources=(name,), leave=False, grace=3.0)
    if gone == "terminated":
        await first.handle.terminate("gone")
    else:
        await first.leave()
    second = await visit(shared, resources=(name,))
    await waiting(gate_of(shared, name), 1)
    third = await visit(shared, resources=(name,))
    await waiting(gate_of(shared, name), 2)
    await third.handle.terminate("gone too")
    await until(second.inside, 40)
    view = await status(gate_of(shared, name))
    assert [row.holder for row in view.holders] == [second.handle.id]
    assert view.waits == 0  # who terminated in the queue was found as well
    await second.leave()
    assert await closed(gate_of(shared, name)) == "COMPLETED"


async def test_a_grant_to_somebody_who_is_gone_goes_to_the_next_at_once(shared):
    name = resource()
    first = await inside(shared, resources=(name,))
    second = await visit(shared, resources=(name,))
    await waiting(gate_of(shared, name), 1)
    third = await visit(shared, resources=(name,))
    await waiting(gate_of(shared, name), 2)
    await second.handle.terminate("gone")
    await first.leave()
    await until(third.inside, 5)  # sooner than the first look
    await third.leave()
    assert await closed(gate_of(shared, name)) == "COMPLETED"


async def test_a_terminated_resource_gate_knows_who_is_in(shared):
    name = resource()
    first = await inside(shared, resources=(name,))
    second = await visit(shared, resources=(name,))
    await waiting(gate_of(shared, name), 1)
    await gate_of(shared, name).terminate("by mistake")
    third = await visit(shared, resources=(name,))
    view = await waiting(gate_of(shared, name), 2)
    assert [row.holder for row in view.holders] == [first.handle.id]
    assert [row.holder for row in view.waiting] == [second.handle.id, third.handle.id]
    await gate_of(shared, name).terminate("again")
    await first.leave()  # a release starts it too
    await until(second.inside)
    await second.leave()
    await until(third.inside)
    await third.leave()
    assert await closed(gate_of(shared, name)) == "COMPLETED"


async def test_cancelling_a_gate_changes_nothing(shared):
    name = resource()
    plan = await inside(shared, resources=(name,))
    await gate_of(shared, name).cancel()

    async def refused() -> bool:
        return (await status(gate_of(shared, name))).refused == 1

    await until(refused)
    assert (await status(gate_of(shared, name))).holders[0].holder == plan.handle.id
    await plan.leave()
    assert await closed(gate_of(shared, name)) == "COMPLETED"


@pytest.mark.slow
async def test_gates_that_end_while_they_are_asked_never_have_two_in(shared):
    name, turns, runs = resource(), 6, 4
    WORKSHOP.most = WORKSHOP.done = 0

    async def loop() -> None:
        for _ in range(turns):
            plan = await visit(shared, resources=(name,), stay=False, work=True)
            await plan.handle.result()

    await asyncio.gather(*(loop() for _ in range(runs)))
    assert (WORKSHOP.done, WORKSHOP.most) == (turns * runs, 1)
    assert await closed(gate_of(shared, name)) == "COMPLETED"


async def test_turns_under_a_rate_limit(shared):
    handle = await shared.start_workflow(
        names.GATE_WORKFLOW, {}, id=f"gate-tool-x{next(NUMBERS)}", task_queue=names.WORKFLOW_QUEUE,
        start_signal="hold_off", start_signal_args=[{"seconds": 1}],
    )  # fmt: skip

    async def turn(key: str) -> float:
        permit = Permit(key=key, calls=2, per=1.0)
        return (await handle.execute_update("permit", permit, result_type=PermitAnswer)).wait

    waits = [await turn(key) for key in ("a", "b", "c", "a")]
    assert 0.5 < waits[0] <= 1.0
    assert waits[2] - waits[0] == pytest.approx(1.0, abs=0.5)
    assert waits[3] <= waits[0]
    assert await closed(handle) == "COMPLETED"  # when the last turn has left its window


async def test_only_the_run_itself_may_ask(shared):
    name = resource()
    plan = await visit(shared, resources=(name,), holder="plan-somebody-else")

    async def failure() -> str:
        pending = [
            item
            async for item in plan.handle.fetch_history_events()
            if item.HasField("activity_task_failed_event_attributes")
        ]
        return pending[0].activity_task_failed_event_attributes.failure.message if pending else ""

    assert "is not the workflow that asks" in await until(failure)
