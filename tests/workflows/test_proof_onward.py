"""A workflow task that a client completes with an end of its own: no call, no claim and no holder is forgotten."""

import itertools
from typing import Any

import pytest
from temporalio.api.command.v1 import (
    Command,
    CompleteWorkflowExecutionCommandAttributes,
    ContinueAsNewWorkflowExecutionCommandAttributes,
)
from temporalio.api.common.v1 import WorkflowType
from temporalio.api.enums.v1 import CommandType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.client import WorkflowExecutionStatus

from airlock.base import names
from airlock.client.errors import NoAnswer
from airlock.client.live_gate import LiveGate
from airlock.gates.lock_proof import Proved
from airlock.plans.state import State
from airlock.temporal.live_gate import start_live_gate
from airlock.temporal.standing_claims import standing_claims
from tests.workflows.attacker import plain, wrapped
from tests.workflows.attacker_starts import plainly
from tests.workflows.conftest import approved, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.test_lock import proven
from tests.workflows.test_proof_deputies import of_type, running
from tests.workflows.test_proof_gates import left_out
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)


def onward(kind: str, given: Any) -> Command:
    """Continue as new, with what a client made up."""
    return Command(
        command_type=CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
        continue_as_new_workflow_execution_command_attributes=ContinueAsNewWorkflowExecutionCommandAttributes(
            workflow_type=WorkflowType(name=kind),
            task_queue=TaskQueue(name=names.WORKFLOW_QUEUE),
            input=wrapped(plain(given)),
        ),
    )


def over(kind: str, given: Any) -> Command:
    """Complete, as if there were nothing left to do."""
    return Command(
        command_type=CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
        complete_workflow_execution_command_attributes=CompleteWorkflowExecutionCommandAttributes(),
    )


async def taken(where: Place, workflow_id: str, command: Command) -> None:
    """End a workflow by a task of it that a client takes, while no worker serves it."""
    await where.attacker.client.get_workflow_handle(workflow_id).signal("junk", 1)
    await where.attacker.complete_task(names.WORKFLOW_QUEUE, workflow_id, [command])


async def failed(where: Place, workflow_id: str) -> bool:
    found = await where.attacker.client.get_workflow_handle(workflow_id).describe()
    return found.status is WorkflowExecutionStatus.FAILED


async def test_a_plan_that_a_client_continues_does_not_make_its_call_again(dev_server, plan):
    where = await place(dev_server.client, f"onward{next(_NUMBERS)}", keyring("k"))
    document = plan(step("a", "send", to="x"))
    workflow_id = names.plan_workflow_id(document["plan_id"])
    async with where.working("live"):
        async with where.working("orchestrate", "rehearse"):
            handle, hold = await running(where, document)
        hold.set()
        await until(lambda: not WORLD.running)
        await taken(where, workflow_id, onward(names.PLAN_WORKFLOW, {"plan": document}))
    async with where.working():
        await until(lambda: _moved_on(handle))
        assert await failed(where, workflow_id)
    assert WORLD.attempts[f"{document['plan_id']}/a"] == 1


async def _moved_on(handle: Any) -> bool:
    try:
        return (await handle.status()).state is State.AWAITING_APPROVAL
    except NoAnswer:  # the run has failed at its start
        return True


async def test_a_plan_that_a_client_completes_in_its_call_is_not_proved_to_have_stopped(dev_server, plan):
    where = await place(dev_server.client, f"onward{next(_NUMBERS)}", keyring("k"))
    document = plan(step("a", "once", key="a", value=1))
    async with where.working("live"):
        async with where.working("orchestrate", "rehearse"):
            hold = (await running(where, document))[1]
        await taken(where, names.plan_workflow_id(document["plan_id"]), over(names.PLAN_WORKFLOW, {}))
        async with where.working("orchestrate", "rehearse"):
            gate = LiveGate(where.airlock.client)
            assert (await gate.lock("olga", "stop")).accepted
            proofs = [await proven(gate, within=within) for within in (0, 25)]
            hold.set()
            await until(lambda: not WORLD.running)
    assert not any(isinstance(proof.value, Proved) for proof in proofs), proofs
    assert WORLD.attempts[f"{document['plan_id']}/a"] == 1


async def test_a_claim_that_a_client_continues_is_not_free(dev_server, plan):
    where = await place(dev_server.client, f"onward{next(_NUMBERS)}", keyring("k"))
    first, second = (plan(step("a", "send", to="jo", body="onward")) for _ in range(2))
    async with where.working("live"):
        async with where.working("orchestrate", "rehearse"):
            handle, hold = await running(where, first)
            (claim,) = await until(lambda: of_type(where, names.CLAIM_WORKFLOW))
        await taken(where, claim, onward(names.CLAIM_WORKFLOW, {"x": 1}))
        async with where.working("orchestrate", "rehearse"):
            await until(lambda: failed(where, claim))
            assert [found.claimed.plan_id for found in await standing_claims(where.workers, claim)] == [first["plan_id"]]
            other = await where.airlock.submit(second)
            assert "this call" in await until(lambda: left_out(other))
            hold.set()
            assert (await handle.result()).outcome == "completed"
    assert [WORLD.attempts[f"{document['plan_id']}/a"] for document in (first, second)] == [1, 0]


@pytest.mark.parametrize("end", [onward, over])
async def test_gates_that_a_client_ends_do_not_forget_who_is_in(dev_server, plan, end):
    where, key = await place(dev_server.client, f"onward{next(_NUMBERS)}", keyring("k")), f"onward{next(_NUMBERS)}"
    first, second = (plan(step("a", "share", key=key, value=number)) for number in (1, 2))
    async with where.working("live"):
        async with where.working("orchestrate", "rehearse"):
            hold = (await running(where, first))[1]
        gates = await of_type(where, names.GATE_WORKFLOW)
        assert len(gates) == 2
        for gate in gates:
            await taken(where, gate, end(names.GATE_WORKFLOW, {"capacity": 1}))
        async with where.working("orchestrate", "rehearse"):
            await until(lambda: ended(where, gates))
            await start_live_gate(where.workers, where.policy)
            live = await until(lambda: _ready(where))
            assert live.locks, "it would say that no call is under way"
            assert (await LiveGate(where.airlock.client).unlock(by="op", reason="only the other gate is asked")).accepted
            other = await where.airlock.submit(second)
            await approved(other)
            waits = await until(lambda: _waits(other))
            assert names.RESOURCE_GATE_PREFIX in waits, waits
            hold.set()
            await until(lambda: not WORLD.running)
    assert WORLD.together[key] == [frozenset({first["plan_id"]})]


async def test_a_gate_that_a_client_starts_again_does_not_forget_who_is_in(dev_server, plan):
    where, key = await place(dev_server.client, f"onward{next(_NUMBERS)}", keyring("k")), f"onward{next(_NUMBERS)}"
    first, second = (plan(step("a", "share", key=key, value=number)) for number in (1, 2))
    async with where.working():
        hold = (await running(where, first))[1]
        (gate,) = [each for each in await of_type(where, names.GATE_WORKFLOW) if each != names.LIVE_GATE]
        await where.attacker.client.get_workflow_handle(gate).terminate("test")
        await plainly(where.attacker.client, names.GATE_WORKFLOW, gate, plain({"capacity": 1}))
        other = await where.airlock.submit(second)
        await approved(other)
        assert (await until(lambda: _told(other))).startswith("its turn at")
        hold.set()
        assert (await other.result()).outcome == "completed"
    assert all(len(together) == 1 for together in WORLD.together[key]), WORLD.together[key]


async def _told(handle: Any) -> str:
    status = await handle.status()
    return (
        "it has ended" if status.outcome is not None else status.waits_for if status.waits_for.startswith("its turn") else ""
    )


async def ended(where: Place, workflow_ids: list[str]) -> bool:
    found = [await where.attacker.client.get_workflow_handle(each).describe() for each in workflow_ids]
    return all(each.status is not WorkflowExecutionStatus.RUNNING for each in found)


async def _ready(where: Place) -> Any:
    live = await LiveGate(where.airlock.client).status()
    return live if live.ready else None


async def _waits(handle: Any) -> str:
    status = await handle.status()
    return status.waits_for if status.outcome is not None or "cannot be read" in status.waits_for else ""
