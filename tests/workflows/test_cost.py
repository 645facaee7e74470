"""The cost of a plan in Temporal: events and billable actions, counted from the histories, never in seconds."""

from collections import Counter

import pytest
from temporalio.api.enums.v1 import EventType

from airlock.base import names
from tests.workflows.conftest import step, until
from tests.workflows.world import WORLD

N = 20
# what Temporal Cloud bills, as far as the history shows it
BILLED = (
    "WORKFLOW_EXECUTION_STARTED", "ACTIVITY_TASK_SCHEDULED", "TIMER_STARTED", "WORKFLOW_EXECUTION_SIGNALED",
    "WORKFLOW_EXECUTION_UPDATE_ACCEPTED", "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES", "MARKER_RECORDED",
)  # fmt: skip
OTHERS = (names.LIVE_GATE, names.monitor_id(0))
"""The other workflows that a plan makes work for. A signal one of them sends is billed once, where it arrives."""


async def history(workflow) -> Counter[str]:
    found: Counter[str] = Counter()
    async for event in workflow.fetch_history_events():
        found[EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")] += 1
    return found


async def others(client) -> Counter[str]:
    """Return the actions billed at the live gate and the monitor up to now."""
    found: Counter[str] = Counter()
    for workflow_id in OTHERS:
        events = await history(client.get_workflow_handle(workflow_id))
        found += Counter({f"{workflow_id} {name}": events[name] for name in BILLED})
    return found


async def carry_out(airlock, document, gates=()):
    handle = await airlock.submit(document)
    status = await handle.wait_for("AWAITING_APPROVAL")
    await handle.workflow.signal("approve", {"by": "alice", "digest": status.digest})
    # all at the same time, so that the count does not depend on how busy the machine is
    await until(lambda: not gates or len({place for place in WORLD.running if place[0] == handle.plan_id}) == len(gates))
    for gate in gates:
        gate.set()
    assert (await handle.result()).outcome == "completed"
    return handle


@pytest.mark.parametrize("shape", ["parallel", "sequential"])
async def test_events_and_actions_of_a_plan_of_20_live_steps(airlock_with, plan, shape):
    airlock = await airlock_with()  # the only plans there are
    await carry_out(airlock, plan(step("first", "put", key="k")))  # what there is once for ever is there now
    before = await others(airlock.client)
    steps = [
        step(f"s{n:02d}", "put", (f"s{n - 1:02d}",) if shape == "sequential" and n else (), key=f"k{n}", value=n)
        for n in range(N)
    ]
    document = plan(*steps)
    gates = [WORLD.hold(document["plan_id"], made["id"]) for made in steps] if shape == "parallel" else []
    handle = await carry_out(airlock, document, gates)
    events, caused = await history(handle.workflow), await others(airlock.client) - before
    own = sum(events[name] for name in BILLED)
    assert caused[f"{names.monitor_id(0)} WORKFLOW_EXECUTION_SIGNALED"] == 1, caused
    assert caused[f"{names.LIVE_GATE} WORKFLOW_EXECUTION_UPDATE_ACCEPTED"] == 1, caused
    assert own + caused.total() <= N + 16, (events, caused)
    assert sum(events.values()) <= 3 * N + 80, events
    # far below what is promised: a tighter bound of what it is now, so that it does not creep up
    assert own <= N + 12, events
    assert sum(events.values()) <= 3 * N + 60, events


async def test_a_resource_and_a_claim_add_at_most_three_actions_each(airlock_with, plan):
    airlock = await airlock_with()
    client = airlock.client
    plain = await carry_out(airlock, plan(step("a", "put", key="k"), step("b", "put", ("a",), key="l")))
    guarded = await carry_out(airlock, plan(step("a", "share", key="cost"), step("b", "send", ("a",), to="jo")))
    histories = [await history(handle.workflow) for handle in (plain, guarded)]
    own = [sum(events[name] for name in BILLED) for events in histories]
    beside = 0
    async for run in client.list_workflows("WorkflowType = 'ClaimWorkflow' OR WorkflowId STARTS_WITH 'gate-resource-'"):
        events = await history(client.get_workflow_handle(run.id, run_id=run.run_id))
        beside += sum(events[name] for name in BILLED)
    # an irreversible call is never in a chain: an activity of its own that has nothing to do with gates; a stay that
    # lasts for a second is told by the search attribute
    assert own[1] - own[0] <= 2, own
    assert 4 <= beside <= 6
