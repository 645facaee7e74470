"""A workflow task that a client lets fail as a reset does: Temporal's SDK then gives every run the same seed."""

import itertools
from typing import Any

import pytest
from temporalio import workflow
from temporalio.worker import Worker

from airlock.base import names
from airlock.temporal.seeds import FEIGNED
from tests.workflows.attacker import Attacker
from tests.workflows.attacker_starts import finished_tasks, history, set_back
from tests.workflows.conftest import awaiting, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.test_proof_replayed import PUBLIC, approved_and_rolled_back, made, signed

_NUMBERS = itertools.count(1)


@workflow.defn(name="Seeded", sandboxed=False)
class Seeded:
    """Tells the seed that it has at its end."""

    @workflow.run
    async def run(self) -> int:
        return workflow.random_seed()


async def test_the_seed_of_a_feigned_reset_is_the_one_that_is_looked_for(dev_server):
    """If not, the SDK makes seeds in another way now: look for what it makes of an empty run id."""
    client = dev_server.client
    handle = await client.start_workflow("Seeded", id=f"seeded-{next(_NUMBERS)}", task_queue="seeded")
    await Attacker(client).fail_task("seeded", handle.id)
    async with Worker(client, task_queue="seeded", workflows=[Seeded]):
        assert await handle.result() == FEIGNED


async def feign(where: Place, workflow_id: str) -> None:
    """Let a workflow task fail as if the run had been reset, while no worker serves it."""
    await where.attacker.client.get_workflow_handle(workflow_id).signal("junk", 1)
    await where.attacker.fail_task(names.WORKFLOW_QUEUE, workflow_id)


@pytest.mark.parametrize("early", [True, False], ids=["first task", "later task"])
async def test_a_signed_approval_does_not_count_again_after_feigned_resets(dev_server, plan, early):
    where = await place(
        dev_server.client, f"seeds{next(_NUMBERS)}", keyring("k"), signature_required="always", authorized_keys=[PUBLIC]
    )
    document = plan(step("a", "once", key="a", value=1), step("b", "linger", ("a",), key="b", value=2))
    plan_id, workflow_id = document["plan_id"], names.plan_workflow_id(document["plan_id"])
    handle = await where.airlock.submit(document)
    if early:
        await where.attacker.fail_task(names.WORKFLOW_QUEUE, workflow_id)
    async with where.only_workflows():
        await until(lambda: _tasks(where, workflow_id))
    await feign(where, workflow_id)
    async with where.working():
        said = await approved_and_rolled_back(handle)
    before, asked = made(plan_id), await _asked(where, workflow_id)
    found = await history(where.attacker.client, workflow_id)
    await set_back(where.attacker.client, workflow_id, finished_tasks(found)[1], forget=True)
    await feign(where, workflow_id)
    async with where.working():
        status = await awaiting(handle)
        await where.attacker.client.get_workflow_handle(workflow_id).signal("approve", said)
        assert "digest" in await until(lambda: _refusal(handle))
        assert made(plan_id) == before, "a call was made that was approved for another life of the run"
        again = await _asked(where, workflow_id)
        assert (await handle.decide("approve", **signed(plan_id, status.digest))).accepted
        assert (await handle.result()).outcome == "completed"
    # what is the same was asked before the point of the reset: else an old answer would fit a new question
    assert len(again & asked) == 1 < len(again), again & asked


async def _tasks(where: Place, workflow_id: str) -> list[int]:
    return finished_tasks(await history(where.attacker.client, workflow_id))


async def _asked(where: Place, workflow_id: str) -> set[tuple[str, bytes]]:
    """The activities of the current run, with the marks of their questions."""
    found = [event.activity_task_scheduled_event_attributes for event in await where.attacker.events(workflow_id)]
    return {(each.activity_id, each.input.payloads[0].metadata["airlock-ask"]) for each in found if each.activity_id}


async def _refusal(handle: Any) -> str:
    return next((entry.reason for entry in (await handle.audit()).entries if entry.what == "approve"), "")
