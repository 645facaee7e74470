"""The system lock with keys: who locks and unlocks, and how the record of a stopped plan proves it."""

from typing import Any

from airlock.base.names import LIVE_GATE
from airlock.client import Airlock
from airlock.client.live_gate import LiveGate
from airlock.client.plan_history import read_plan
from airlock.export.hiding import Openings
from airlock.export.seal_check import SealReport, check_seals
from airlock.plans.state import State
from airlock.run.audit import AuditKind
from tests.signers import Signer
from tests.workflows.conftest import awaiting, step, until
from tests.workflows.demanded_signatures import ALICE, BOB, EVE, KEYS, PAULA, in_state, replays, run_id_of
from tests.workflows.world import WORLD


async def test_the_system_lock_takes_two_people_with_keys(airlock_with):
    rules = {"lock": {"evidence": "signed"}, "unlock": {"evidence": "signed", "people": 2}}
    airlock = await airlock_with(**{**KEYS, "decisions": rules})
    gate, handle = LiveGate(airlock.client), airlock.client.get_workflow_handle(LIVE_GATE)
    assert "must be signed" in (await gate.lock("alice", "mine")).reason

    async def say_to_gate(decision: str, by: Signer) -> Any:
        signed = await gate.to_sign(decision, by.name, "drill")
        return signed, await gate.decide_signed(signed, by.evidence(signed.statement))

    assert (await say_to_gate("lock", ALICE))[1].accepted
    signed, verdict = await say_to_gate("unlock", ALICE)
    assert "1 of 2 people" in verdict.reason
    again = await gate.decide_signed(signed, ALICE.evidence(signed.statement))
    assert "has been used" in again.reason
    assert "another person" in (await say_to_gate("unlock", ALICE))[1].reason
    refused = (await gate.status()).refused
    for evidence in ({}, {"evidence": EVE.evidence(signed.statement).model_dump(mode="json")}):
        await handle.signal("unlock", {"by": "paula", "reason": "mine", **evidence})

    async def both_refused() -> bool:
        return (await gate.status()).refused == refused + 2

    await until(both_refused)
    assert (await gate.status()).locks
    assert (await say_to_gate("unlock", PAULA))[1].accepted
    assert not (await gate.status()).locks
    await replays(airlock.client, LIVE_GATE)


async def say_to_gate(airlock: Airlock, decision: str, by: Signer) -> Any:
    gate = LiveGate(airlock.client)
    signed = await gate.to_sign(decision, by.name, "drill")
    verdict = await gate.decide_signed(signed, by.evidence(signed.statement))
    assert verdict.accepted, verdict
    return verdict


async def test_the_record_of_a_plan_proves_the_system_lock_that_stopped_it_and_the_unlock(airlock_with, plan):
    rules = {"lock": {"evidence": "signed"}, "unlock": {"evidence": "signed", "people": 2}}
    airlock = await airlock_with(**{**KEYS, "decisions": rules})
    document = plan(step("one", "put", key="a", value=1), step("two", "put", ("one",), key="b", value=2))
    hold = WORLD.hold(document["plan_id"], "one")
    inside, outside = await airlock.submit(document), await airlock.submit(plan(step("one", "put", key="c", value=3)))
    await awaiting(outside)
    status = await awaiting(inside)
    assert (await inside.decide("approve", by="carl", digest=status.digest)).accepted
    await until(lambda: (document["plan_id"], "one") in WORLD.running)
    await say_to_gate(airlock, "lock", ALICE)
    # one is told of the lock, the other one finds the gate locked
    digest = (await awaiting(outside)).digest
    assert (await outside.decide("approve", by="carl", digest=digest)).accepted
    for handle in (inside, outside):
        await in_state(handle, State.LOCKED)
    hold.set()
    await say_to_gate(airlock, "unlock", PAULA)
    await say_to_gate(airlock, "unlock", BOB)
    for handle in (inside, outside):
        digest = (await awaiting(handle)).digest
        assert (await handle.decide("approve", by="carl", digest=digest)).accepted
        assert (await handle.result()).outcome == "completed"
        record = (await read_plan(airlock.client, handle.workflow.id, await run_id_of(handle))).record
        told = [event for event in record.execution.events if event.gate and event.kind is AuditKind.DECISION]
        assert [(event.what, event.by, event.signed.key) for event in told] == [
            ("lock", "alice", ALICE.line), ("unlock", "bob", BOB.line),
        ]  # fmt: skip
        assert [one.statement.by for one in told[1].also] == ["paula"]
        report = SealReport()
        assert check_seals(record, Openings(), report) is None
        assert (report.signatures, report.notes) == (3, [])
        await replays(handle.workflow_client, handle.workflow.id)
    await replays(airlock.client, LIVE_GATE)
