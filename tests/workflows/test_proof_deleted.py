"""Runs that a client deletes: no call is made twice or without an approval, and a lock is never taken for lifted."""

import itertools
from typing import Any

import pytest

from airlock.base import names
from airlock.client import PlanHandle
from airlock.client.live_gate import LiveGate, Proof
from airlock.client.undo import undo as airlock_undo
from airlock.gates.lock_proof import Proved
from airlock.plans.state import State
from airlock.temporal.live_gate import start_live_gate
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.test_lock import proven
from tests.workflows.test_proof_calls import running, times
from tests.workflows.test_proof_deputies import of_type
from tests.workflows.test_proof_gates import left_out
from tests.workflows.test_proof_replayed import PUBLIC, made, signed
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)


@pytest.fixture
async def where(dev_server) -> Place:
    return await place(dev_server.client, f"deleted{next(_NUMBERS)}", keyring("k"))


async def gone(where: Place, document: dict[str, Any]) -> None:
    await where.attacker.delete(names.plan_workflow_id(document["plan_id"]))


async def completed(where: Place, document: dict[str, Any]) -> PlanHandle:
    handle = await where.airlock.submit(document)
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    return handle


async def standing(handle: PlanHandle) -> Any:
    status = await handle.status()
    return status if status.state in (State.LOCKED, State.COMPLETED, State.ABORTED) else None


# the live gate


@pytest.mark.parametrize("restarted", ["by the next plan", "by a worker", "by a client"])
async def test_a_live_gate_that_is_deleted_does_not_open_a_system_that_is_locked(where, plan, restarted):
    client = where.attacker.client
    async with where.working():
        await completed(where, plan(step("a", "once", key="a", value=1)))
        document, gate = plan(step("a", "once", key="a", value=1)), LiveGate(where.airlock.client)
        handle = await where.airlock.submit(document)
        status = await awaiting(handle)
        assert (await gate.lock("olga", "stop")).accepted
        await until(lambda: listed(where))
        await where.attacker.delete(names.LIVE_GATE)
        if restarted == "by a worker":
            await start_live_gate(where.workers, where.policy)
        elif restarted == "by a client":
            await client.start_workflow(names.GATE_WORKFLOW, {}, id=names.LIVE_GATE, task_queue=names.WORKFLOW_QUEUE)
        await handle.decide("approve", by="alice", digest=status.digest)
        status = await until(lambda: standing(handle))
        assert status.state is State.LOCKED, status
        view = await gate.status()
        assert view is not None
        assert "it was deleted" in view.locks[0].reason, view
        assert times(document, "a") == 0


async def listed(where: Place) -> bool:
    """Return True once visibility shows the plan that was live."""
    query = f"{names.ATTRIBUTE_OUTCOME} = 'completed'"
    return (await where.attacker.client.count_workflows(query)).count > 0


async def test_the_holders_of_a_live_gate_that_is_deleted_are_not_proved_to_have_stopped(where, plan):
    async with where.working():
        await completed(where, plan(step("a", "once", key="a", value=1)))
        await until(lambda: listed(where))
        document, gate = plan(step("a", "once", key="a", value=1)), LiveGate(where.airlock.client)
        _, hold = await running(where, document, "a")
        await where.attacker.delete(names.LIVE_GATE)
        await start_live_gate(where.workers, where.policy)
        await until(lambda: is_locked(gate))
        proof = await proven(gate, within=0)
        assert not isinstance(proof.value, Proved), proof
        hold.set()
    assert times(document, "a") == 1


async def is_locked(gate: LiveGate) -> bool:
    view = await gate.status()
    return view is not None and view.ready and bool(view.locks)


# plans


async def test_the_first_live_gate_of_a_namespace_is_open(where, plan):
    async with where.working():
        await completed(where, plan(step("a", "once", key="a", value=1)))


@pytest.mark.parametrize("again", [False, True], ids=["gone", "started again"])
async def test_a_plan_that_is_deleted_while_it_is_live_is_not_proved_to_have_stopped(where, plan, again):
    async with where.working():
        document, gate = plan(step("a", "once", key="a", value=1)), LiveGate(where.airlock.client)
        _, hold = await running(where, document, "a")
        await gone(where, document)
        if again:
            await awaiting(await where.airlock.submit(document))
        assert (await gate.lock("olga", "stop")).accepted
        proofs: list[Proof] = [await proven(gate, within=within) for within in (0, 25)]
        hold.set()
        assert not any(isinstance(proof.value, Proved) for proof in proofs), proofs
    assert times(document, "a") == 1


@pytest.mark.parametrize("moment", ["before the approval", "in its call", "after its end"])
async def test_a_signed_approval_of_a_plan_that_was_deleted_counts_for_no_other_run(dev_server, plan, moment):
    where = await place(
        dev_server.client, f"deleted{next(_NUMBERS)}", keyring("k"), signature_required="always", authorized_keys=[PUBLIC]
    )
    document = plan(step("a", "send", to="jo"))
    plan_id = document["plan_id"]
    async with where.working():
        hold = WORLD.hold(plan_id, "a")
        handle = await where.airlock.submit(document)
        vote = signed(plan_id, (await awaiting(handle)).digest)
        if moment != "before the approval":
            assert (await handle.decide("approve", **vote)).accepted
            await until(lambda: (plan_id, "a") in WORLD.running)
        if moment == "after its end":
            hold.set()
            assert (await handle.result()).outcome == "completed"
        before = made(plan_id)
        await gone(where, document)
        handle = await where.airlock.submit(document)
        await where.attacker.client.get_workflow_handle(names.plan_workflow_id(plan_id)).signal("approve", vote)
        status = await awaiting(handle)
        assert status.refused, status
        assert made(plan_id) == before
        # who approves what is shown now does not send the message again: its claim stands
        if moment != "before the approval":
            reason = await until(lambda: left_out_signed(handle, plan_id))
            assert "this call" in reason or "made" in reason, reason
        hold.set()
        await until(lambda: not WORLD.running)
        assert made(plan_id) == before


async def left_out_signed(handle: PlanHandle, plan_id: str) -> str:
    status = await handle.status()
    if status.state is State.AWAITING_APPROVAL:
        await handle.decide("approve", **signed(plan_id, status.digest or ""))
    found = [entry.reason for entry in (await handle.audit()).entries if entry.what == "DUPLICATE_ACTION"]
    return found[0] if found else ""


# claims, undos, monitors


async def test_what_a_client_gains_by_deleting_a_claim_is_one_more_call_that_a_person_approved(where, plan):
    """The claim is the only memory of a call across plans: see docs/reference/limits.md."""
    body = f"deleted {next(_NUMBERS)}"
    first, second, third = (plan(step("a", "send", to="jo", body=body)) for _ in range(3))
    async with where.working():
        await completed(where, first)
        other = await where.airlock.submit(second)
        assert "made" in await until(lambda: left_out(other))
        (claim,) = await until(lambda: of_type(where, names.CLAIM_WORKFLOW))
        await where.attacker.delete(claim)
        handle = await where.airlock.submit(third)
        await awaiting(handle)
        assert times(third, "a") == 0, "nothing goes live without an approval"
        await approved(handle)
        assert (await handle.result()).outcome == "completed"
    assert [times(document, "a") for document in (first, second, third)] == [1, 0, 1]


async def test_a_claim_that_is_deleted_while_its_call_is_made_is_not_settled_for_another_plan(where, plan):
    body = f"deleted {next(_NUMBERS)}"
    first, second = (plan(step("a", "send", to="jo", body=body)) for _ in range(2))
    async with where.working():
        handle, hold = await running(where, first, "a")
        (claim,) = await until(lambda: of_type(where, names.CLAIM_WORKFLOW))
        await where.attacker.delete(claim)
        other, other_hold = await running(where, second, "a")
        hold.set()
        assert (await handle.result()).outcome == "completed"  # its word about its call is no word about the other one
        third = await where.airlock.submit(plan(step("a", "send", to="jo", body=body)))
        assert "this call" in await until(lambda: left_out(third))
        other_hold.set()
        assert (await other.result()).outcome == "completed"


async def test_an_undo_that_is_deleted_is_approved_again_and_hides_nothing(where, plan):
    document = plan(step("a", "put", key="a", value=1))
    plan_id = document["plan_id"]
    async with where.working():
        await completed(where, document)
        undo = await airlock_undo(where.airlock.client, plan_id, by="rita", reason="wrong")
        await approved(undo)
        assert (await undo.result()).undone == ("a",)
        await where.attacker.delete(names.undo_workflow_id(plan_id))
        again = await airlock_undo(where.airlock.client, plan_id, by="rita", reason="wrong")
        status = await again.wait_for(State.AWAITING_APPROVAL, State.ABORTED)
        assert status.state is State.AWAITING_APPROVAL, status
        assert [entry for entry in WORLD.log if entry[:2] == ("undo", plan_id)] == [("undo", plan_id, "a")]
        await again.workflow.terminate()


async def test_a_monitor_that_is_deleted_keeps_no_plan_from_its_end(where, plan):
    async with where.working():
        await completed(where, plan(step("a", "once", key="a", value=1)))
        document = plan(step("a", "once", key="a", value=1))
        handle, hold = await running(where, document, "a")
        await where.attacker.delete(names.monitor_id(0))
        hold.set()
        assert (await handle.result()).outcome == "completed"
        await completed(where, plan(step("a", "once", key="a", value=1)))
