"""Compensations and reads that a client pauses, resets and sends to a queue without workers: no account of them is false."""

import itertools
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import UnpauseActivityRequest, UpdateActivityOptionsRequest

from airlock.base import names
from airlock.plans.state import State
from tests.workflows.attacker import IDENTITY
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.test_proof_unbegun import pause
from tests.workflows.test_read_lane import LANE, calls_of, read_then_put
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)


async def unpause(where: Place, workflow_id: str, activity_id: str) -> None:
    client = where.attacker.client
    await client.workflow_service.unpause_activity(
        UnpauseActivityRequest(
            namespace=client.namespace, execution=WorkflowExecution(workflow_id=workflow_id), id=activity_id,
            identity=IDENTITY, reset_attempts=True, reset_heartbeat=True,
        )
    )  # fmt: skip


async def starve(where: Place, workflow_id: str, activity_id: str) -> None:
    """Send an activity to a queue without workers, where it must begin within a second."""
    client = where.attacker.client
    options = ActivityOptions(task_queue=TaskQueue(name="nobody"), schedule_to_start_timeout=Duration(seconds=1))
    await client.workflow_service.update_activity_options(
        UpdateActivityOptionsRequest(
            namespace=client.namespace, execution=WorkflowExecution(workflow_id=workflow_id), id=activity_id,
            identity=IDENTITY, activity_options=options,
            update_mask=FieldMask(paths=["task_queue.name", "schedule_to_start_timeout"]),
        )
    )  # fmt: skip


@pytest.mark.parametrize("starved", [True, False], ids=["starved", "reset"])
async def test_a_compensation_that_is_paused_is_not_told_to_be_done_before_it_is(dev_server, plan, starved):
    where = await place(dev_server.client, f"paused{next(_NUMBERS)}", keyring("k"))
    document = plan(step("z", "linger", key="z", value=1))
    plan_id = document["plan_id"]
    hold = WORLD.hold(plan_id, "z")
    async with where.working():
        where.holding.hold("compensate")
        handle = await where.airlock.submit(document)
        await approved(handle)
        await until(lambda: (plan_id, "z") in WORLD.running)
        assert (await handle.decide("rollback", by="olga", reason="wrong customer")).accepted
        hold.set()
        place_of_undo = await where.holding.begun("compensate")
        await pause(where, *place_of_undo)
        await where.attacker.fail_by_id(*place_of_undo)
        if starved:
            await starve(where, *place_of_undo)
        else:
            await where.attacker.reset_activity(*place_of_undo)
        await unpause(where, *place_of_undo)
        status = await until(lambda: settled(handle))
        told = {each.id: each.status for each in status.steps}["z"]
        assert told == ("undone" if "z" not in WORLD.state[plan_id] else "undo_failed"), status
        assert (told == "undo_failed") is starved
        where.holding.let_go("compensate")
        if told == "undo_failed":
            assert (await handle.decide("resolve", by="olga", step="z", outcome="retry", reason="again")).accepted
            await handle.wait_for(State.ABORTED)
        assert "z" not in WORLD.state[plan_id]


async def settled(handle: Any) -> Any:
    status = await handle.status()
    return status if not status.in_flight and (status.parked or status.state.closed) else None


async def test_a_read_that_is_paused_and_reset_is_read_by_a_worker_of_airlock_or_not_at_all(dev_server, plan):
    where = await place(dev_server.client, f"paused{next(_NUMBERS)}", keyring("k"), **LANE)
    document = read_then_put(plan)
    plan_id, workflow_id = document["plan_id"], names.plan_workflow_id(document["plan_id"])
    hold = WORLD.hold(plan_id, "see")
    async with where.working():
        handle = await where.airlock.submit(document)
        await until(lambda: (plan_id, "see") in WORLD.running)
        await pause(where, workflow_id, "read:1")
        await where.attacker.fail_by_id(workflow_id, "read:1")
        await unpause(where, workflow_id, "read:1")
        hold.set()
        await awaiting(handle)
        by_id = {each.id: each for each in (await handle.preview()).sealed.steps}
        assert by_id["see"].read is None or by_id["set"].preview.args["value"] == "seen"
        assert calls_of(document, "set") == 0
        await approved(handle)
        assert (await handle.result()).outcome == "completed"
    assert WORLD.state[plan_id]["copy"] == "seen"
