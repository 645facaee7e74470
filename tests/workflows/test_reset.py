"""`temporal workflow reset`: whatever was called before is not called again; effects are counted in the world."""

import uuid
from typing import Any

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest

from airlock.client import PlanHandle, UndoRefused
from airlock.client.undo import previewed, undo
from airlock.plans.state import State
from tests.workflows.conftest import approved, awaiting, events, live_log, step, until
from tests.workflows.world import WORLD


async def reset(handle: PlanHandle, event_id: int) -> None:
    """Reset a plan's latest run to the end of a workflow task."""
    client = handle.workflow_client
    described = await handle.workflow.describe()
    await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=handle.workflow.id, run_id=described.run_id),
            reason="test",
            workflow_task_finish_event_id=event_id,
            request_id=str(uuid.uuid4()),
        )
    )


def tasks(found: list[HistoryEvent]) -> list[int]:
    return [event.event_id for event in found if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED]


def scheduled(found: list[HistoryEvent], activity_id: str) -> int:
    """Return the event that scheduled an activity."""
    return next(
        event.event_id for event in found if event.activity_task_scheduled_event_attributes.activity_id == activity_id
    )


async def through(handle: PlanHandle) -> Any:
    """Let a plan run to its end, approving whatever it shows."""
    async for status in handle.follow():
        if status.state is State.AWAITING_APPROVAL:
            await handle.decide("approve", by="alice", digest=status.digest)
        if status.state is State.LOCKED and status.parked and not status.in_flight:
            return status
    return await handle.result()


def chain(plan: Any) -> dict[str, Any]:
    return plan(
        step("a", "put", key="a", value=1),
        step("o", "once", ("a",), key="o", value=1),
        step("mail", "send", ("o",), to="jo@acme.test"),
    )


@pytest.mark.parametrize("where", ["first task", "before live", "in the middle of live"])
async def test_a_completed_plan_that_is_reset_repeats_nothing(airlock, plan, where):
    document = chain(plan)
    plan_id = document["plan_id"]
    handle = await airlock.submit(document)
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    found = await events(handle)
    points = tasks(found)
    before_live = max(point for point in points if point < scheduled(found, "a:live"))
    middle = min(point for point in points if point > scheduled(found, "a:live"))
    await reset(handle, {"first task": points[0], "before live": before_live, "in the middle of live": middle}[where])
    result = await through(handle)
    assert result.outcome == "completed", result
    assert result.live == ("a", "o", "mail")
    assert WORLD.state[plan_id] == {"a": 1, "o": 1, "sent": ["jo@acme.test"]}
    assert sorted(live_log(plan_id)) == ["a", "mail", "o"], "a call was made twice"


async def test_twice_reset_repeats_nothing_either(airlock, plan):
    document = chain(plan)
    plan_id = document["plan_id"]
    handle = await airlock.submit(document)
    await approved(handle)
    await handle.result()
    for _ in range(2):
        await reset(handle, tasks(await events(handle))[0])
        assert (await through(handle)).live == ("a", "o", "mail")
    assert sorted(live_log(plan_id)) == ["a", "mail", "o"]


async def test_a_call_that_is_running_at_the_reset_is_in_doubt_and_not_made_again(airlock, plan):
    document = plan(step("a", "put", key="a", value=1), step("mail", "send", ("a",), to="jo@acme.test"))
    plan_id = document["plan_id"]
    gate = WORLD.hold(plan_id, "mail")
    handle = await airlock.submit(document)
    await approved(handle)
    await until(lambda: (plan_id, "mail") in WORLD.running)
    await reset(handle, tasks(await events(handle))[-1])
    gate.set()
    status = await through(handle)
    assert status.parked == ("mail",)
    assert WORLD.state[plan_id] == {"a": 1, "sent": ["jo@acme.test"]}
    assert (await handle.decide("resolve", by="op", step="mail", outcome="happened", reason="it is there")).accepted
    assert (await handle.result()).outcome == "completed"
    assert live_log(plan_id).count("mail") == 1


async def test_a_rolled_back_plan_that_is_reset_may_make_its_calls_again_under_keys_of_their_own(airlock, plan):
    document = plan(step("a", "put", key="a", value=1), step("o", "once", ("a",), key="o", value=1))
    plan_id = document["plan_id"]
    WORLD.trouble[(plan_id, "o")] = ["fail"]
    handle = await airlock.submit(document)
    await approved(handle)
    assert (await handle.result()).outcome == "aborted"
    assert WORLD.state[plan_id] == {}
    await reset(handle, tasks(await events(handle))[0])
    result = await through(handle)
    assert result.outcome == "completed", result
    assert WORLD.state[plan_id] == {"a": 1, "o": 1}
    assert (WORLD.effects[f"{plan_id}/a"], WORLD.effects[f"{plan_id}/a/1"]) == (1, 1)


async def test_a_plan_that_was_undone_after_its_end_and_is_reset_then_makes_its_calls_again(airlock, plan):
    document = plan(step("a", "put", key="a", value=1))
    plan_id = document["plan_id"]
    handle = await airlock.submit(document)
    await approved(handle)
    await handle.result()
    undoing = await undo(airlock.client, plan_id, by="carol", reason="wrong")
    await previewed(undoing)
    await approved(undoing)
    await undoing.result()
    assert WORLD.state[plan_id] == {}
    await reset(handle, tasks(await events(handle))[0])
    assert (await through(handle)).outcome == "completed"
    assert WORLD.state[plan_id] == {"a": 1}
    assert WORLD.effects[f"{plan_id}/a/1"] == 1
    # and it can be undone again: the key of its compensation is that of the new call
    undoing = await undo(airlock.client, plan_id, by="carol", reason="wrong again")
    await previewed(undoing)
    await approved(undoing)
    await undoing.result()
    assert WORLD.state[plan_id] == {}


async def test_a_reset_plan_terminated_before_it_went_live_again_is_still_undone(airlock, plan):
    document = plan(step("a", "put", key="a", value=1))
    plan_id = document["plan_id"]
    handle = await airlock.submit(document)
    await approved(handle)
    await handle.result()
    await reset(handle, tasks(await events(handle))[0])
    await awaiting(handle)
    await handle.workflow.terminate("never mind")
    undoing = await undo(airlock.client, plan_id, by="carol", reason="wrong")
    await previewed(undoing)
    await approved(undoing)
    await undoing.result()
    assert WORLD.state[plan_id] == {}


async def test_what_was_undone_before_the_reset_is_not_undone_again(airlock, plan):
    document = plan(step("a", "put", key="a", value=1))
    plan_id = document["plan_id"]
    handle = await airlock.submit(document)
    await approved(handle)
    await handle.result()
    undoing = await undo(airlock.client, plan_id, by="carol", reason="wrong")
    await previewed(undoing)
    await approved(undoing)
    await undoing.result()
    await reset(handle, tasks(await events(handle))[0])
    await awaiting(handle)
    await handle.workflow.terminate("never mind")
    again = await undo(airlock.client, plan_id, by="carol", reason="to be sure")
    with pytest.raises(UndoRefused, match="nothing"):
        await previewed(again)
    assert live_log(plan_id, "undo") == ["a"]


async def test_a_plan_that_is_being_undone_makes_no_call_when_it_is_reset(airlock, plan):
    document = plan(step("o", "once", key="o", value=1), step("mail", "send", to="jo@acme.test"))
    plan_id = document["plan_id"]
    handle = await airlock.submit(document)
    await approved(handle, steps=["o"])
    await handle.result()
    undoing = await undo(airlock.client, plan_id, by="carol", reason="wrong")
    await previewed(undoing)
    await reset(handle, tasks(await events(handle))[0])
    status = await through(handle)
    assert "o" in status.parked
    assert any("is undoing this plan at this moment" in view.error for view in status.steps)
    assert WORLD.state[plan_id] == {"o": 1}
