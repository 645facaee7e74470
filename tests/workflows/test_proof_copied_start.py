"""Gates that a client starts with a copy of what a worker once started them with: none forgets who is in."""

import asyncio
import itertools

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WithStartWorkflowOperation
from temporalio.common import RawValue, WorkflowIDConflictPolicy

from airlock.base import names
from tests.workflows.attacker import plain
from tests.workflows.attacker_starts import plainly
from tests.workflows.attacker_updates import accept_update
from tests.workflows.conftest import approved, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.test_proof_deputies import of_type, running
from tests.workflows.test_proof_onward import _told
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)


async def started_with_a_copy(where: Place) -> str:
    """End the gate of a resource and start it again with what a worker started it with. Return its workflow id."""
    (gate,) = await until(lambda: resource_gates(where))
    await plainly(where.attacker.client, names.GATE_WORKFLOW, gate, await ended_start(where, gate))
    return gate


async def ended_start(where: Place, gate: str) -> Payload:
    """End a gate, and return what a worker started it with."""
    given = (await where.attacker.events(gate))[0].workflow_execution_started_event_attributes.input.payloads[0]
    await where.attacker.client.get_workflow_handle(gate).terminate("test")
    return given


async def resource_gates(where: Place) -> list[str]:
    return [each for each in await of_type(where, names.GATE_WORKFLOW) if each.startswith(names.RESOURCE_GATE_PREFIX)]


@pytest.mark.parametrize("first_task", [False, True], ids=["started", "and its first task completed"])
async def test_a_gate_that_a_client_starts_with_a_copy_does_not_forget_who_is_in(dev_server, plan, first_task):
    where, key = await place(dev_server.client, f"copied{next(_NUMBERS)}", keyring("k")), f"copied{next(_NUMBERS)}"
    first, second = (plan(step("a", "share", key=key, value=number)) for number in (1, 2))
    async with where.working("live"):
        async with where.working("orchestrate", "rehearse"):
            hold = (await running(where, first))[1]
        gate = await started_with_a_copy(where)
        if first_task:  # as older code would have, which did not ask
            await where.attacker.complete_task(names.WORKFLOW_QUEUE, gate, [])
        async with where.working("orchestrate", "rehearse"):
            other = await where.airlock.submit(second)
            await approved(other)
            assert (await until(lambda: _told(other))).startswith("its turn at")
            hold.set()
            assert (await other.result()).outcome == "completed"
    assert all(len(together) == 1 for together in WORLD.together[key]), WORLD.together[key]


async def test_nor_does_one_whose_first_request_the_client_answers_in_the_place_of_a_worker(dev_server, plan):
    where, key = await place(dev_server.client, f"copied{next(_NUMBERS)}", keyring("k")), f"copied{next(_NUMBERS)}"
    first, second = (plan(step("a", "share", key=key, value=number)) for number in (1, 2))
    async with where.working("live"):
        async with where.working("orchestrate", "rehearse"):
            hold = (await running(where, first))[1]
            other = await where.airlock.submit(second)
            await approved(other)
            assert (await until(lambda: _told(other))).startswith("its turn at")
        (gate,) = await until(lambda: resource_gates(where))
        asked = [each.workflow_execution_update_accepted_event_attributes for each in await where.attacker.events(gate)]
        (copied,) = [each.accepted_request.input.args.payloads[0] for each in asked if each.accepted_request.input.name][-1:]
        client, given = where.attacker.client, await ended_start(where, gate)
        start = WithStartWorkflowOperation(  # so that the first task brings the request
            names.GATE_WORKFLOW, RawValue(given), id=gate, task_queue=names.WORKFLOW_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
        )  # fmt: skip
        update = client.execute_update_with_start_workflow("acquire", RawValue(copied), start_workflow_operation=start)
        asking = asyncio.ensure_future(update)
        await accept_update(client, names.WORKFLOW_QUEUE, gate, plain({"status": "granted", "fence": 1}))
        await asking
        async with where.working("orchestrate", "rehearse"):
            await other.workflow.signal("granted", {"gate": gate, "request": "any"})
            await until(lambda: asked_or_in(where, gate, key, second["plan_id"]))
            hold.set()
            assert (await other.result()).outcome == "completed"
    assert all(len(together) == 1 for together in WORLD.together[key]), WORLD.together[key]


async def asked_or_in(where: Place, gate: str, key: str, plan_id: str) -> bool:
    """Return True once the gate has asked for its earlier run, or a plan was in without that."""
    asked = [each.activity_task_scheduled_event_attributes.activity_type.name for each in await where.attacker.events(gate)]
    return "recall" in asked or any(plan_id in together for together in WORLD.together[key])
