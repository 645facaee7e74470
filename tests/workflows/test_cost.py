"""What a plan costs in Temporal: events and billable actions, counted from the history, never in seconds."""

from collections import Counter

import pytest
from temporalio.api.enums.v1 import EventType

from tests.workflows.conftest import step, until
from tests.workflows.world import WORLD

N = 20
# what Temporal Cloud bills, as far as the history shows it
BILLED = (
    "WORKFLOW_EXECUTION_STARTED", "ACTIVITY_TASK_SCHEDULED", "TIMER_STARTED", "WORKFLOW_EXECUTION_SIGNALED",
    "WORKFLOW_EXECUTION_UPDATE_ACCEPTED", "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES", "MARKER_RECORDED",
)  # fmt: skip


async def history(handle) -> Counter[str]:
    found: Counter[str] = Counter()
    async for event in handle.workflow.fetch_history_events():
        found[EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")] += 1
    return found


@pytest.mark.parametrize("shape", ["parallel", "sequential"])
async def test_events_and_actions_of_a_plan_of_20_live_steps(airlock, plan, shape):
    steps = [
        step(f"s{n:02d}", "put", (f"s{n - 1:02d}",) if shape == "sequential" and n else (), key=f"k{n}", value=n)
        for n in range(N)
    ]
    document = plan(*steps)
    gates = [WORLD.hold(document["plan_id"], made["id"]) for made in steps] if shape == "parallel" else []
    handle = await airlock.submit(document)
    status = await handle.wait_for("AWAITING_APPROVAL")
    await handle.workflow.signal("approve", {"by": "alice", "digest": status.digest})
    # all at the same time, so that the count does not depend on how busy the machine is
    await until(lambda: not gates or len({place for place in WORLD.running if place[0] == handle.plan_id}) == N)
    for gate in gates:
        gate.set()
    assert (await handle.result()).outcome == "completed"
    events = await history(handle)
    actions = sum(events[name] for name in BILLED)
    assert actions <= N + 12, events
    assert sum(events.values()) <= 3 * N + 60, events
