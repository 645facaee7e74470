"""The system lock, end to end: what runs finishes, nothing new starts, the proof says so, and it all survives."""

import asyncio
import json
import os
import subprocess
from contextlib import aclosing
from functools import partial

import pytest

from airlock.base.names import LIVE_GATE
from airlock.client import NoAnswer
from airlock.client import live_gate as client_gate
from airlock.client.live_gate import HolderState, LiveGate, Proof
from airlock.plans.state import State
from tests.workflows.conftest import approved, awaiting, binary, namespace, step, until, working
from tests.workflows.world import WORLD


async def live(airlock, document, name="a"):
    """Return a plan that is live, in a call that waits, and what lets that call go on."""
    hold = WORLD.hold(document["plan_id"], name)
    handle = await airlock.submit(document)
    await approved(handle)
    await until(lambda: (document["plan_id"], name) in WORLD.running)
    return handle, hold


async def proven(gate: LiveGate, scope: str | None = None, within: float = 120.0) -> Proof:
    """Return the last proof of a lock."""
    proofs = [proof async for proof in gate.barrier(scope, within)]
    return proofs[-1]


async def in_state(handle, state: State):
    async def there():
        status = await handle.status()
        return status if status.state is state else None

    return await until(there)


def times(document, name):
    return WORLD.attempts[f"{document['plan_id']}/{name}"]


def shell(client, *arguments: str) -> str:
    """Return the output of the Temporal CLI, on the server and namespace of a client."""
    where = {"TEMPORAL_ADDRESS": client.service_client.config.target_host, "TEMPORAL_NAMESPACE": client.namespace}
    done = subprocess.run(
        [binary("temporal"), *arguments], env={**os.environ, **where}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_calls_in_flight_finish_no_other_starts_and_the_proof_says_when(airlock_with, plan):
    airlock = await airlock_with()
    gate = LiveGate(airlock.client)
    first = plan(step("a", "put", key="x", value=1), step("b", "put", ("a",), key="y", value=2))
    second = plan(step("a", "put", key="x", value=1), step("b", "put", ("a",), key="y", value=2))
    (one, hold_one), (two, hold_two) = await live(airlock, first), await live(airlock, second)
    verdict = await gate.lock("olga", "maintenance")
    assert verdict.accepted, verdict
    for handle in (one, two):
        assert (await in_state(handle, State.LOCKED)).in_flight
    seen: list[Proof] = []
    async with aclosing(gate.barrier(within=120, every=0.05)) as proofs:
        async for proof in proofs:
            seen.append(proof)
            standing = {row.plan_id: row.standing for row in proof.rows}
            if len(seen) == 1:
                # calls in a row share an activity: `b` is in it, but not called any more
                assert [(row.standing, row.calls[0]) for row in proof.rows] == [(HolderState.FINISHING, "a")] * 2
                hold_one.set()
            if standing[first["plan_id"]] is HolderState.QUIESCED and not hold_two.is_set():
                assert standing[second["plan_id"]] is HolderState.FINISHING
                assert not proof.quiesced
                hold_two.set()
    assert seen[-1].quiesced
    assert not WORLD.running & {(first["plan_id"], "a"), (second["plan_id"], "a")}
    for handle, document in ((one, first), (two, second)):
        status = await in_state(handle, State.LOCKED)
        assert (status.locked_by_gate, status.gates) == (True, ())
        assert "maintenance" in status.why
        assert (WORLD.effects[f"{document['plan_id']}/a"], times(document, "b")) == (1, 0)


async def test_plans_that_come_meanwhile_are_rehearsed_and_wait_and_unlock_repeats_nothing(airlock_with, plan):
    airlock = await airlock_with()
    gate = LiveGate(airlock.client)
    early = plan(step("a", "put", key="x", value=1), step("b", "put", ("a",), key="y", value=2))
    late = plan(step("a", "put", key="x", value=1))
    was_live, hold = await live(airlock, early)
    assert (await gate.lock("olga", "stop")).accepted
    await in_state(was_live, State.LOCKED)
    hold.set()
    assert (await proven(gate)).quiesced
    newcomer = await airlock.submit(late)
    await approved(newcomer)
    status = await in_state(newcomer, State.LOCKED)
    assert status.locked_by_gate
    assert "airlock unlock" in status.waits_for
    assert (times(late, "a"), times(early, "b")) == (0, 0)
    view = await gate.status()
    assert view is not None
    since = view.locks[0].at
    assert (await gate.unlock("olga", "done")).accepted
    for handle in (was_live, newcomer):
        await in_state(handle, State.AWAITING_APPROVAL)
        moved = [entry.to_state for entry in (await handle.audit()).entries if entry.kind == "transition"]
        assert moved[-3:] == ["MOCK", "DRY_RUN", "AWAITING_APPROVAL"]
        await approved(handle)
        assert (await handle.result()).outcome == "completed"
    assert [times(early, "a"), times(early, "b"), times(late, "a")] == [1, 1, 1]

    async def listed():
        changed = await gate.meanwhile(since)
        return {plan.plan_id for plan in changed.ended} == {early["plan_id"], late["plan_id"]} and not changed.submitted

    await until(listed)


@pytest.mark.parametrize("scope", ["agent:crm", "agent:\uff23RM\u200b", "tool:share", "resource:shared:scoped"])
async def test_a_scoped_lock_stops_only_plans_in_its_scope(airlock_with, plan, scope):
    airlock = await airlock_with()
    gate = LiveGate(airlock.client)
    inside = plan(step("a", "share", agent="crm", key="scoped", value=1), step("b", "put", ("a",), agent="crm", key="y"))
    outside = plan(step("a", "put", key="x", value=1), step("b", "put", ("a",), key="y"))
    (stopped, hold), (free, other_hold) = await live(airlock, inside), await live(airlock, outside)
    assert (await gate.lock("olga", "this only", scope)).accepted
    await in_state(stopped, State.LOCKED)
    hold.set()
    proof = await proven(gate, scope)
    assert proof.quiesced
    assert [row.plan_id for row in proof.rows] == [inside["plan_id"]]
    other_hold.set()
    assert (await free.result()).outcome == "completed"
    assert (await in_state(stopped, State.LOCKED)).locked_by_gate
    assert times(inside, "b") == 0
    refused = await gate.unlock("olga", "not this one")
    assert not refused.accepted
    assert scope in refused.reason
    assert (await gate.unlock("olga", "done", scope)).accepted
    await awaiting(stopped)


async def test_the_lock_outlives_the_workers_and_the_gate_s_own_run(dev_server, plan):
    client = await namespace(dev_server.client, "lock-outlives")
    before, between = plan(step("a", "put", key="x")), plan(step("a", "put", key="x"))
    async with working(client) as airlock:
        assert (await LiveGate(client).lock("olga", "over night")).accepted
    async with working(client) as airlock:
        first = await airlock.submit(before)
        await approved(first)
        await in_state(first, State.LOCKED)
        await client.get_workflow_handle(LIVE_GATE).terminate("by mistake")
        second = await airlock.submit(between)
        await approved(second)
        assert "over night" in (await in_state(second, State.LOCKED)).why
        view = await LiveGate(client).status()
        assert view is not None
        assert [(lock.by, lock.reason) for lock in view.locks] == [("olga", "over night")]
        assert (await LiveGate(client).unlock("olga", "morning")).accepted
        for handle, document in ((first, before), (second, between)):
            assert times(document, "a") == 0
            await approved(handle)
            assert (await handle.result()).outcome == "completed"


async def test_signals_from_the_temporal_cli_lock_and_unlock_everything(airlock_with, plan):
    airlock = await airlock_with()
    gate = LiveGate(airlock.client)
    document = plan(step("a", "put", key="x"), step("b", "put", ("a",), key="y"))
    handle, hold = await live(airlock, document)
    signal = ["workflow", "signal", "--workflow-id", LIVE_GATE, "--name"]
    # the gate exists since the first plan went live; nonsense is stored all the same, and changes nothing
    await asyncio.to_thread(shell, airlock.client, *signal, "lock", "--input", '{"reason": "nobody"}')
    await asyncio.to_thread(shell, airlock.client, *signal, "lock", "--input", json.dumps({"by": "olga", "reason": "stop"}))

    async def locked():
        view = await gate.status()
        return view if view is not None and view.locks else None

    assert (await until(locked)).refused == 1
    await in_state(handle, State.LOCKED)
    hold.set()
    assert (await proven(gate)).quiesced
    assert times(document, "b") == 0
    await asyncio.to_thread(shell, airlock.client, *signal, "unlock", "--input", '{"by": "olga", "reason": "go on"}')
    await awaiting(handle)


async def test_a_batch_signal_from_the_temporal_cli_locks_the_plans_it_finds(airlock_with, plan):
    airlock = await airlock_with()
    document = plan(step("a", "put", key="x"), step("b", "put", ("a",), key="y"))
    handle, hold = await live(airlock, document)
    await until(partial(airlock.plans, state=State.LIVE))  # within seconds: a short stay in LIVE is not written there
    query = "WorkflowType = 'PlanWorkflow' AND ExecutionStatus = 'Running' AND AirlockState = 'LIVE'"
    said = await asyncio.to_thread(
        shell, airlock.client, "workflow", "signal", "--query", query, "--name", "lock",
        "--input", '{"by": "olga", "reason": "stop"}', "--reason", "stop", "--yes",
    )  # fmt: skip
    assert "Started batch" in said
    status = await in_state(handle, State.LOCKED)
    assert not status.locked_by_gate
    hold.set()
    later = await airlock.submit(plan(step("a", "put", key="x")))
    await approved(later)
    assert (await later.result()).outcome == "completed", "the batch knows nothing of plans that come later"
    assert times(document, "b") == 0


async def test_a_plan_that_is_gone_is_unreachable_and_its_place_is_not_believed_free(airlock_with, plan):
    airlock = await airlock_with()
    gate = LiveGate(airlock.client)
    document = plan(step("a", "put", key="x"))
    handle, hold = await live(airlock, document)
    await handle.workflow.terminate("gone")
    assert (await gate.lock("olga", "stop")).accepted
    async with aclosing(gate.barrier(within=120, every=0.05)) as proofs:
        proof = await anext(proof async for proof in proofs if proof.rows)
    (row,) = proof.rows
    assert (proof.quiesced, row.standing) == (False, HolderState.UNREACHABLE)
    assert row.why
    hold.set()


async def test_without_a_worker_there_is_no_answer_and_no_proof(dev_server, monkeypatch):
    client = await namespace(dev_server.client, "lock-alone")
    monkeypatch.setattr(client_gate, "DECISION_TIMEOUT", 0.5)
    monkeypatch.setattr(client_gate, "QUERY_TIMEOUT", 0.5)
    gate = LiveGate(client)
    assert await gate.status(within=0.5) is None
    with pytest.raises(NoAnswer, match="no worker answered"):
        await gate.lock("olga", "stop")
    proof = await proven(gate, within=0.2)
    assert not proof.quiesced
    assert "cannot be read" in proof.problem


async def test_whoever_lifts_the_lock_ends_the_proof(airlock_with, plan):
    airlock = await airlock_with()
    gate = LiveGate(airlock.client)
    _, hold = await live(airlock, plan(step("a", "put", key="x")))
    assert (await gate.lock("olga", "stop")).accepted
    async with aclosing(gate.barrier(within=120, every=0.05)) as proofs:
        assert not (await anext(proofs)).quiesced
        assert (await gate.unlock("paul", "no need")).accepted
        last = [proof async for proof in proofs][-1]
    assert (last.quiesced, last.lifted) == (False, True)
    assert "lifted" in last.problem
    hold.set()
