"""Large plans: continue-as-new between calls, bounded histories, payloads that are too large."""

import pytest
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause

from airlock.plans.state import State
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.test_cost import history
from tests.workflows.world import WORLD, noise


async def chain_of_runs(handle):
    """Return every run of a workflow that continued as new, oldest first, with its event counts."""
    client = handle.workflow._client
    runs = [found async for found in client.list_workflows(f"WorkflowId = '{handle.workflow.id}'")]
    return sorted(runs, key=lambda run: run.start_time)


async def failed_tasks(handle, run_id):
    """Return the causes for which workflow tasks failed; not that a message came while one was being answered."""
    run = handle.workflow._client.get_workflow_handle(handle.workflow.id, run_id=run_id)
    failed = [
        event.workflow_task_failed_event_attributes
        async for event in run.fetch_history_events()
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
    ]
    return [
        (WorkflowTaskFailedCause.Name(each.cause), each.failure.message)
        for each in failed
        if each.cause != WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_large_plan_continues_as_new_and_makes_every_call_once(airlock, plan):
    count, width = 2_500, 30
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
    await each_of_many_runs_is_short(handle)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_wide_plan_makes_every_call_once_and_is_rolled_back_to_its_root(airlock, plan):
    """All calls are ready at once, and so are all of their compensations."""
    count = 1_500
    document = plan(
        step("root", "put", key="root", value=1),
        *(step(f"s{n:04d}", "put", ("root",), key=f"k{n}", value=n) for n in range(count)),
        step("hold", "once", tuple(f"s{n:04d}" for n in range(count)), key="hold"),
    )
    plan_id = document["plan_id"]
    gate = WORLD.hold(plan_id, "hold")
    handle = await airlock.submit(document)
    await approved(handle)
    await until(lambda: (plan_id, "hold") in WORLD.running, seconds=400.0)
    assert set(WORLD.state[plan_id]) >= {f"k{n}" for n in range(count)}
    assert all(WORLD.attempts[f"{plan_id}/s{n:04d}"] == 1 for n in range(count))
    assert (await handle.decide("rollback", by="op", reason="undo", to_step="root")).accepted
    gate.set()
    assert (await handle.result()).outcome == "aborted"
    assert WORLD.state[plan_id] == {}
    await each_of_many_runs_is_short(handle)


async def each_of_many_runs_is_short(handle):
    runs = await until(lambda: chain_of_runs(handle))
    assert len(runs) > 1
    assert all(run.history_length < 2000 for run in runs), [run.history_length for run in runs]
    assert [await failed_tasks(handle, run.run_id) for run in runs] == [[]] * len(runs)


async def test_many_steps_read_one_large_output(airlock, plan):
    """Together their requests are more than the 4 MiB that one workflow task may command, and Temporal ends such a run."""
    readers = [step(f"r{n:03}", "put", key=f"k{n}", value={"$ref": "a.found"}) for n in range(120)]
    document = plan(step("a", "vast"), *readers)
    WORLD.state[document["plan_id"]]["output"] = 60_000
    handle = await airlock.submit(document)
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    assert WORLD.state[handle.plan_id]["k119"] == noise("output of a", 60_000)
    assert all(WORLD.attempts[f"{handle.plan_id}/{made['id']}"] == 1 for made in readers)


async def test_undo_tokens_that_no_run_can_carry_on_stop_the_plan_and_are_used(airlock, plan):
    document = plan(*[step(f"s{n:03}", "vast") for n in range(150)])
    WORLD.state[document["plan_id"]]["token"] = 60_000
    handle = await airlock.submit(document)
    await approved(handle)
    result = await handle.result()
    assert result.outcome == "aborted"
    assert "are too large together" in result.why
    assert "split the plan" in result.why
    called = {made for kind, plan_id, made in WORLD.log if plan_id == handle.plan_id and kind == "live"}
    assert len(called) > 100
    assert set(result.undone) == called


async def test_previews_that_no_run_can_carry_end_the_rehearsal_with_the_reason(airlock, plan):
    document = plan(*[step(f"s{n:04}", "look", key=f"k{n}") for n in range(1_100)])
    WORLD.state[document["plan_id"]] |= {f"k{n}": noise(f"{n}", 1_500) for n in range(1_100)}
    handle = await airlock.submit(document)
    result = await handle.result()
    assert result.outcome == "rehearsed"
    assert "previews and texts of this plan are too large together" in result.why


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
