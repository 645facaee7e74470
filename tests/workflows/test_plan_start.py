"""Starting a plan: what a person with access to Temporal cannot start."""

import asyncio

import pytest
from temporalio.client import WorkflowFailureError

from airlock.base import names
from airlock.plans.plan import parse_plan
from airlock.plans.state import State
from airlock.run.state import Run
from tests.workflows.conftest import approved, awaiting, step
from tests.workflows.world import WORLD


async def start(airlock, document, **more):
    return await airlock.client.start_workflow(
        names.PLAN_WORKFLOW, document, task_queue=names.WORKFLOW_QUEUE, **{"id": "plan-door", **more}
    )


async def test_a_run_that_says_it_was_approved_is_refused(airlock, plan):
    document = plan(step("a", "put", key="a", value=1))
    handle = await airlock.submit(plan(step("a", "put", key="a", value=1)))
    await awaiting(handle)
    read = parse_plan(document)
    now = (await handle.status()).since
    forged = Run(plan=read, submitted_at=now, since=now, state=State.LIVE, approved=("a",))
    started = await start(
        airlock, {"plan": document, "run": forged.model_dump(mode="json")}, id=names.plan_workflow_id(read.plan_id)
    )
    with pytest.raises(WorkflowFailureError) as caught:
        await started.result()
    assert "only a continue-as-new" in str(caught.value.cause)
    assert WORLD.state[read.plan_id] == {}


async def test_a_client_that_has_a_worker_gets_the_first_task_with_the_start(airlock, plan):
    handle = await airlock.submit(plan(step("a", "put", key="a", value=1)))
    await awaiting(handle)
    started = await anext(aiter(handle.workflow.fetch_history_events()))
    assert started.workflow_execution_started_event_attributes.eager_execution_accepted


@pytest.mark.parametrize("junk", [None, 3, "x", [], {}, {"plan": {}}, {"plan": {"plan_id": "door"}}])
async def test_a_workflow_started_with_junk_fails_at_once_with_the_reason(airlock, junk):
    started = await start(airlock, junk)
    async with asyncio.timeout(120):
        with pytest.raises(WorkflowFailureError) as caught:
            await started.result()
    assert "the input is not a plan" in str(caught.value.cause)
    assert "input_value" not in str(caught.value.cause), "the export and every screen would show a part of the input"


async def test_a_plan_under_another_workflow_id_is_refused(airlock, plan):
    document = plan(step("a", "put", key="a", value=1))
    started = await start(airlock, {"plan": document}, id="somewhere-else")
    with pytest.raises(WorkflowFailureError) as caught:
        await started.result()
    assert "must run as workflow" in str(caught.value.cause)


async def test_a_plan_started_from_the_temporal_cli_runs_like_any_other(airlock, plan):
    document = plan(step("a", "put", key="a", value=1))
    await start(airlock, {"plan": document}, id=names.plan_workflow_id(document["plan_id"]))
    handle = airlock.plan(document["plan_id"])
    await approved(handle)
    assert (await handle.result()).outcome == "completed"


async def test_nobody_decides_in_the_name_of_the_machinery(airlock, plan):
    handle = await airlock.submit(plan(step("a", "put", key="a", value=1)))
    status = await awaiting(handle)
    await handle.workflow.signal("approve", {"by": "policy", "digest": status.digest})
    status = await handle.status()
    assert (status.state, status.refused) == (State.AWAITING_APPROVAL, 1)
    assert "are not people" in status.refusals[0].reason


async def test_a_call_started_by_hand_is_refused(airlock, plan):
    from datetime import timedelta

    from temporalio.exceptions import ApplicationError

    from airlock.run.live.call_messages import CallRequest, ChainRequest
    from tests.workflows.conftest import catalogue

    document = plan(step("a", "put", key="a", value=1))
    read = parse_plan(document)
    request = ChainRequest(
        plan_id=read.plan_id, calls=(CallRequest(step=read.steps[0], contract=catalogue().contract("put", {})),)
    )
    with pytest.raises(Exception) as caught:  # noqa: PT011  # the SDK's wrapper; what counts is the cause
        await airlock.client.execute_activity(
            "call", request, id="by-hand", task_queue=names.LIVE_QUEUE, start_to_close_timeout=timedelta(seconds=120)
        )
    cause = caught.value.__cause__
    assert isinstance(cause, ApplicationError)
    assert cause.type == "NotThePlan"
    assert WORLD.state[read.plan_id] == {}


async def test_the_same_plan_twice_is_one_run_and_other_content_is_refused(airlock, plan):
    from airlock.client import PlanConflict

    document = plan(step("a", "put", key="a", value=1))
    first = await airlock.submit(document)
    again = await airlock.submit(dict(reversed(document.items())))
    assert (first.already, again.already) == (False, True)
    with pytest.raises(PlanConflict, match="other content"):
        await airlock.submit({**document, "goal": "another"})
    await approved(first)
    assert (await first.result()).outcome == "completed"
    ended = await airlock.submit(document)
    assert ended.already
    assert (await ended.result()).outcome == "completed"
    assert WORLD.attempts[f"{document['plan_id']}/a"] == 1
