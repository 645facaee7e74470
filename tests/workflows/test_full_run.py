"""A run whose history is full while a decision waits for its dry runs."""

import asyncio
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus

from airlock.activities import gate_client
from airlock.plans.state import State
from airlock.workflows import plan_stages
from airlock.workflows.history_budget import HistoryBudget
from tests.replay.replay import replayer
from tests.workflows.conftest import awaiting, awaiting_other, step, until
from tests.workflows.world import WORLD

UNKNOWN = "0123456789abcdef"
"""A digest that may be that of the preview in the making."""


async def test_a_decision_about_the_preview_in_the_making_does_not_hold_up_a_full_run(airlock, plan, monkeypatch):
    document = plan(step("a", "put", key="a", value=1), step("b", "put", ("a",), key="b", value=1))
    leaving, left, release = asyncio.Event(), asyncio.Event(), gate_client.release_slots

    async def slow(*asked: Any) -> bool:
        leaving.set()
        await left.wait()
        return await release(*asked)

    monkeypatch.setattr(gate_client, "release_slots", slow)
    handle = await airlock.submit(document)
    first = await awaiting(handle)
    WORLD.state[document["plan_id"]]["b"] = "another"
    assert (await handle.decide("approve", by="al", digest=first.digest)).accepted
    await asyncio.wait_for(leaving.wait(), 120)  # stale: the run gives its slots back, and then makes its dry runs again
    assert (await handle.status()).state is State.DRY_RUN
    waits = asyncio.ensure_future(handle.decide("approve", by="al", digest=UNKNOWN))
    await until(lambda: _accepted(handle, 2))
    described = await handle.workflow.describe()
    usual, budget = plan_stages.HISTORY, HistoryBudget(events=described.history_length + 1)
    monkeypatch.setattr(plan_stages, "HISTORY", budget)
    left.set()
    assert not (await asyncio.wait_for(waits, 120)).accepted
    monkeypatch.setattr(plan_stages, "HISTORY", usual)
    second = await until(lambda: awaiting_other(handle, first.digest))
    assert (await handle.decide("approve", by="al", digest=second.digest)).accepted
    assert (await handle.result()).outcome == "completed"
    assert WORLD.state[document["plan_id"]] == {"a": 1, "b": 1}
    run = airlock.client.get_workflow_handle(handle.workflow.id, run_id=described.run_id)
    assert (await run.describe()).status is WorkflowExecutionStatus.CONTINUED_AS_NEW
    monkeypatch.setattr(plan_stages, "HISTORY", budget)
    await replayer().replay_workflow(await run.fetch_history())


async def _accepted(handle: Any, number: int) -> bool:
    kinds = [event.event_type async for event in handle.workflow.fetch_history_events()]
    return kinds.count(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED) >= number
