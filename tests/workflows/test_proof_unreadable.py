"""Histories that hold what no SDK can decode: any client can let an activity fail with a hundred causes."""

import itertools

import pytest
from temporalio.api.common.v1 import WorkflowType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest

from airlock.admission.call_digest import call_digest
from airlock.base import names
from airlock.plans.state import State
from tests.workflows.attacker import bottomless
from tests.workflows.attacker_starts import finished_tasks, latest_run, set_back
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.protected import keyring, place
from tests.workflows.test_proof_calls import running, times
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)


@pytest.fixture
async def where(dev_server):
    return await place(dev_server.client, f"unreadable{next(_NUMBERS)}", keyring("k"))


async def test_a_call_in_a_run_that_cannot_be_read_is_not_made_again_by_another_reset(where, plan):
    """A run does not name the runs that were reset from the same one: visibility does."""
    document = plan(step("a", "once", key="a", value=1))
    workflow_id, client = names.plan_workflow_id(document["plan_id"]), where.attacker.client
    async with where.working():
        handle = await where.airlock.submit(document)
        await awaiting(handle)
        first = await latest_run(client, workflow_id)
        (asked, *_) = finished_tasks(await where.attacker.events(workflow_id, first))
        await set_back(client, workflow_id, asked, first, forget=True)
        hold = WORLD.hold(document["plan_id"], "a")
        await approved(handle)
        await until(lambda: (document["plan_id"], "a") in WORLD.running)
        await where.attacker.fail_unreadably(workflow_id, "a:live")
        hold.set()
        await until(lambda: not WORLD.running)
        await set_back(client, workflow_id, asked, first, forget=True)
        await approved(handle)
        status = await handle.wait_for(State.LOCKED, State.COMPLETED)
        assert times(document, "a") == 1
        assert status.parked == ("a",)
        await handle.workflow.terminate()


async def test_a_plan_that_no_worker_can_carry_on_goes_on_once_it_is_reset(where, plan):
    """The way out that the guide names: nothing is made again, and what was never begun can still be made."""
    document = plan(step("a", "once", key="a", value=1), step("mail", "send", ("a",), to="x"))
    workflow_id, client = names.plan_workflow_id(document["plan_id"]), where.attacker.client
    async with where.working():
        handle, hold = await running(where, document, "a")
        last = finished_tasks(await where.attacker.events(workflow_id))[-1]
        await where.attacker.fail_unreadably(workflow_id, "a:live")
        hold.set()
        await until(lambda: not WORLD.running)
        await set_back(client, workflow_id, last)
        await approved(handle)
        assert (await handle.wait_for(State.LOCKED)).parked == ("a",)
        assert (await handle.decide("resolve", by="op", step="a", outcome="happened", reason="it is there")).accepted
        status = await handle.wait_for(State.COMPLETED, State.LOCKED, State.AWAITING_APPROVAL)
        assert status.state is State.COMPLETED, status
    assert (times(document, "a"), times(document, "mail")) == (1, 1)


async def test_a_claim_whose_holder_cannot_be_read_is_in_doubt(where, plan):
    first, second = (plan(step("mail", "send", to="x@acme.test", body="the same, unread")) for _ in range(2))
    workflow_id = names.plan_workflow_id(first["plan_id"])
    async with where.working():
        other = await where.airlock.submit(second)
        await awaiting(other)
        handle, hold = await running(where, first, "mail")
        await where.attacker.fail_unreadably(workflow_id, "mail:live")
        hold.set()
        await until(lambda: not WORLD.running)
        await handle.workflow.terminate()
        await approved(other)
        await other.wait_for(State.COMPLETED, State.LOCKED, State.ABORTED)
        assert (times(first, "mail"), times(second, "mail")) == (1, 0)


async def test_a_workflow_that_cannot_be_read_under_the_id_of_a_claim_is_no_claim(where, plan):
    document = plan(step("mail", "send", to="x@acme.test") | {"dedupe_key": "squatted"})
    claim = names.claim_id("send", call_digest("send", {}, "squatted"))
    async with where.working():
        handle = await where.airlock.submit(document)
        await awaiting(handle)
        request = StartWorkflowExecutionRequest(
            namespace=where.attacker.client.namespace,
            workflow_id=claim,
            request_id="squat",
            workflow_type=WorkflowType(name=names.CLAIM_WORKFLOW),
            task_queue=TaskQueue(name=names.WORKFLOW_QUEUE),
            continued_failure=bottomless(),
        )
        await where.attacker.client.workflow_service.start_workflow_execution(request)
        await where.attacker.client.get_workflow_handle(claim).terminate()
        await approved(handle)
        assert (await handle.result()).outcome == "completed"
    assert times(document, "mail") == 1
