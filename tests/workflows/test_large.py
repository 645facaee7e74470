"""Large plans: continue-as-new between calls, bounded histories, payloads that are too large."""

import pytest
from temporalio.api.enums.v1 import EventType

from airlock.plans.state import State
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.test_cost import history
from tests.workflows.world import WORLD


async def chain_of_runs(handle):
    """Return every run of a workflow that continued as new, oldest first, with its event counts."""
    client = handle.workflow._client
    runs = [found async for found in client.list_workflows(f"WorkflowId = '{handle.workflow.id}'")]
    return sorted(runs, key=lambda run: run.start_time)


async def failed_tasks(handle, run_id):
    run = handle.workflow._client.get_workflow_handle(handle.workflow.id, run_id=run_id)
    return len(
        [
            event
            async for event in run.fetch_history_events()
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
        ]
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("count", "width"), [(5000, 30), (1000, 1000)])
async def test_a_large_plan_continues_as_new_and_makes_every_call_once(airlock, plan, count, width):
    steps = [
        step(f"s{n:04d}", "put", (f"s{n - width:04d}",) if n >= width else (), key=f"k{n}", value=n) for n in range(count)
    ]
    handle = await airlock.submit(plan(*steps))
    status = await handle.wait_for(State.AWAITING_APPROVAL)
    assert (await handle.decide("approve", by="alice", digest=status.digest)).accepted
    result = await handle.result()
    assert result.outcome == "completed"
    assert len(WORLD.state[handle.plan_id]) == count
    assert all(WORLD.attempts[f"{handle.plan_id}/s{n:04d}"] == 1 for n in range(count))
    runs = await until(lambda: chain_of_runs(handle))
    assert len(runs) > 1
    assert all(run.history_length < 2000 for run in runs), [run.history_length for run in runs]
    assert sum([await failed_tasks(handle, run.run_id) for run in runs]) == 0


async def test_an_output_that_is_too_large_fails_its_step_and_is_undone(airlock, plan):
    document = plan(step("a", "put", key="a", value=1), step("big", "look", ("a",), key="big"))
    WORLD.state[document["plan_id"]]["big"] = "x" * 10
    handle = await airlock.submit(document)
    await awaiting(handle)
    WORLD.state[document["plan_id"]]["big"] = "x" * 100_000
    await approved(handle)
    result = await handle.result()
    assert result.outcome == "aborted"
    assert "bytes, more than the 65,536 allowed" in result.why
    assert "a" not in WORLD.state[document["plan_id"]]
    assert (await history(handle.workflow))["WORKFLOW_TASK_FAILED"] == 0
