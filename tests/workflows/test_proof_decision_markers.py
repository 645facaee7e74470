"""The task of a decision that a client completes as older code would have, which took every decision: it does not count."""

import itertools
from typing import Any

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetStickyTaskQueueRequest

from airlock.base import names
from airlock.client.live_gate import LiveGate
from airlock.plans.state import State
from airlock.temporal.live_gate import start_live_gate
from tests.workflows.conftest import signal, step, until
from tests.workflows.demanded_signatures import ALICE, KEYS, SIGNED
from tests.workflows.protected import Place, keyring, place

_NUMBERS = itertools.count(1)
SIGNED_UNLOCK = {**KEYS, "decisions": {"unlock": {"evidence": "signed"}}}
UNLOCKED = {"by": "alice", "reason": "go on"}


@pytest.mark.parametrize("given", [{}, {"epoch": 0}, {"epoch": 6}], ids=["nothing", "no epoch", "an old epoch"])
async def test_an_unsigned_unlock_does_not_count_in_a_task_that_a_client_completes(dev_server, given):
    where = await place(
        dev_server.client,
        f"markers-gate{next(_NUMBERS)}",
        keyring("k"),
        **KEYS,
        decisions={"unlock": {"evidence": "signed"}},
    )
    gate, client = LiveGate(where.airlock.client), where.attacker.client
    async with where.working():
        await start_live_gate(where.workers, where.policy)
        assert (await gate.lock("olga", "stop")).accepted
        await client.get_workflow_handle(names.LIVE_GATE).terminate("mine")
        await client.start_workflow(names.GATE_WORKFLOW, given, id=names.LIVE_GATE, task_queue=names.WORKFLOW_QUEUE)
        assert (await until(lambda: locked(gate))).locks
    # no worker of Airlock is there for a moment; a client can also pin the gate to a build of its own
    run = WorkflowExecution(workflow_id=names.LIVE_GATE)
    await client.workflow_service.reset_sticky_task_queue(
        ResetStickyTaskQueueRequest(namespace=client.namespace, execution=run)
    )
    await client.get_workflow_handle(names.LIVE_GATE).signal("unlock", UNLOCKED)
    await where.attacker.complete_task(names.WORKFLOW_QUEUE, names.LIVE_GATE, [])
    async with where.working():
        view = await until(lambda: answered(gate))
        assert view.locks, "unlocked without the signature that the policy demands"


@pytest.mark.parametrize("decision", ["abort", "unlock"])
async def test_an_unsigned_decision_before_the_admission_does_not_count_either(dev_server, plan, decision):
    where = await place(dev_server.client, f"markers-gate{next(_NUMBERS)}", keyring("k"), **SIGNED)
    handle = await where.airlock.submit(plan(step("one", "put", key="x", value=1)))
    before = State.MOCK
    if decision == "unlock":
        await signal(handle, "lock", {"by": "olga", "reason": "stop"})
        before = State.LOCKED
    await signal(handle, decision, {"by": "alice", "reason": "mine"})
    await where.attacker.complete_task(names.WORKFLOW_QUEUE, handle.workflow.id, [])
    async with where.working():
        status = await handle.status()
        assert (status.state, status.outcome) == (before, None), status
        await where.attacker.client.get_workflow_handle(handle.workflow.id).terminate("its history fits no worker")


async def locked(gate: LiveGate) -> Any:
    view = await gate.status()
    return view if view is not None and view.ready and view.locks else None


async def answered(gate: LiveGate) -> Any:
    return await gate.status()


async def test_people_with_keys_unlock_a_gate_that_a_client_has_started(dev_server):
    where: Place = await place(
        dev_server.client,
        f"markers-gate{next(_NUMBERS)}",
        keyring("k"),
        **KEYS,
        decisions={"unlock": {"evidence": "signed"}},
    )
    gate, client = LiveGate(where.airlock.client), where.attacker.client
    async with where.working():
        await client.start_workflow(names.GATE_WORKFLOW, {}, id=names.LIVE_GATE, task_queue=names.WORKFLOW_QUEUE)
        assert (await gate.lock("olga", "stop")).accepted
        assert "must be signed" in (await gate.unlock("alice", "go on")).reason
        signed = await gate.to_sign("unlock", by="alice", reason="go on")
        assert (await gate.decide_signed(signed, ALICE.evidence(signed.statement))).accepted
