"""What a plan costs in Temporal: events and billable actions, counted from the history, never in seconds."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle

from activities.gates import start_live_gate
from airlock import names
from airlock_client import Airlock
from tests.workflows.conftest import POLICY, step, until
from tests.workflows.world import WORLD

N = 20
# what Temporal Cloud bills, as far as the history shows it
BILLED = (
    "WORKFLOW_EXECUTION_STARTED", "ACTIVITY_TASK_SCHEDULED", "TIMER_STARTED", "WORKFLOW_EXECUTION_SIGNALED",
    "WORKFLOW_EXECUTION_UPDATE_ACCEPTED", "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES", "MARKER_RECORDED",
)  # fmt: skip


async def history(workflow: WorkflowHandle[Any, Any]) -> Counter[str]:
    found: Counter[str] = Counter()
    async for event in workflow.fetch_history_events():
        found[EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")] += 1
    return found


async def cost(airlock: Airlock, document: dict[str, Any], gates: list[asyncio.Event]) -> tuple[Counter[str], Counter[str]]:
    """The events of one plan, and what it caused meanwhile in the live gate; it is the only plan there."""
    live = airlock.client.get_workflow_handle(names.LIVE_GATE)
    await start_live_gate(airlock.client, POLICY)  # a worker does, when it starts
    before = await history(live)
    handle = await airlock.submit(document)
    status = await handle.wait_for("AWAITING_APPROVAL")
    await handle.workflow.signal("approve", {"by": "alice", "digest": status.digest})
    # all at the same time, so that the count does not depend on how busy the machine is
    await until(lambda: not gates or len({place for place in WORLD.running if place[0] == handle.plan_id}) == len(gates))
    for gate in gates:
        gate.set()
    assert (await handle.result()).outcome == "completed"
    return await history(handle.workflow), await history(live) - before


def actions(events: Counter[str]) -> int:
    return sum(events[name] for name in BILLED)


@pytest.mark.parametrize("shape", ["parallel", "sequential"])
async def test_events_and_actions_of_a_plan_of_20_live_steps(airlock_with, plan, shape):
    airlock = await airlock_with()
    steps = [
        step(f"s{n:02d}", "put", (f"s{n - 1:02d}",) if shape == "sequential" and n else (), key=f"k{n}", value=n)
        for n in range(N)
    ]
    document = plan(*steps)
    gates = [WORLD.hold(document["plan_id"], made["id"]) for made in steps] if shape == "parallel" else []
    own, at_the_gate = await cost(airlock, document, gates)
    assert actions(own) + actions(at_the_gate) <= N + 16, (own, at_the_gate)
    assert sum(own.values()) <= 3 * N + 80, own


async def test_a_resource_and_a_claim_add_at_most_three_actions_each(airlock_with, plan):
    airlock = await airlock_with()
    plain, _ = await cost(airlock, plan(step("a", "put", key="k"), step("b", "put", ("a",), key="l")), [])
    guarded = plan(step("a", "share", key="cost"), step("b", "send", ("a",), to="jo"))
    own, _ = await cost(airlock, guarded, [])
    client = airlock.client
    beside = 0
    async for run in client.list_workflows("WorkflowType = 'ClaimWorkflow' OR WorkflowId STARTS_WITH 'gate-resource-'"):
        beside += actions(await history(client.get_workflow_handle(run.id, run_id=run.run_id)))
    # an irreversible call is never in a chain: an activity of its own that has nothing to do with gates
    assert actions(own) - actions(plain) <= 1, (own, plain)
    assert 4 <= beside <= 6
