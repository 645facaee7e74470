"""A plan that is locked during its dry runs, and unlocked before they have ended."""

import asyncio
from typing import Any

from temporalio.api.enums.v1 import EventType

from airlock.activities.rehearsals import prepare
from airlock.plans.state import State
from airlock.plans.tool_call import ToolCall
from tests.replay.replay import replayer
from tests.workflows import world
from tests.workflows.conftest import awaiting, step, until
from tests.workflows.world import WORLD


async def test_dry_runs_that_go_on_after_a_lock_do_not_hold_up_the_next_ones(airlock, plan, monkeypatch):
    document = plan(step("a", "put", key="a", value=1))
    begun, go_on, dry = list[str](), asyncio.Event(), world.put.functions["dry_run"]

    async def slow(args: Any, call: ToolCall) -> Any:
        """Look for as long as the test wants."""
        begun.append(call.step_id)
        if len(begun) < 3:
            await go_on.wait()
        return await dry(args, call)

    monkeypatch.setattr(prepare, "DRY_RUNS_FOR", 600.0)
    monkeypatch.setitem(world.put.functions, "dry_run", slow)
    handle = await airlock.submit(document)
    for number in (1, 2):
        await until(lambda number=number: len(begun) >= number)
        assert (await handle.decide("lock", by="olga", reason="stop")).accepted
        await handle.wait_for(State.LOCKED)
        assert (await handle.decide("unlock", by="olga", reason="go on")).accepted
    status = await awaiting(handle)
    kinds = [event.event_type async for event in handle.workflow.fetch_history_events()]
    assert EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED not in kinds
    go_on.set()
    assert (await handle.decide("approve", by="al", digest=status.digest)).accepted
    assert (await handle.result()).outcome == "completed"
    assert WORLD.state[document["plan_id"]] == {"a": 1}
    history = await handle.workflow.fetch_history()
    ids = [event.activity_task_scheduled_event_attributes.activity_id for event in history.events]
    assert [each for each in ids if each.startswith("prepare")] == ["prepare", "prepare:1", "prepare:2"]
    await replayer().replay_workflow(history)
