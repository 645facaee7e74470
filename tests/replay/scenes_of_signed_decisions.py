"""Scenes of signed decisions: plans, undos and the live gate under policies that demand signatures."""

from airlock.base.names import LIVE_GATE
from airlock.client import PlanHandle
from airlock.client.live_gate import LiveGate
from airlock.client.undo import undo, undo_to_sign
from airlock.plans.state import State
from tests.replay.scenes import submit
from tests.replay.scenes_with_keys import Runs, asked_again, ended, scene, this_run, under
from tests.signers import PasskeyPerson, Signer, SshPerson
from tests.workflows.conftest import awaiting, signal, step, until
from tests.workflows.protected import Place

ALICE, BOB, PAULA = SshPerson("alice"), SshPerson("bob"), PasskeyPerson("paula")
EVERY = ("approve", "deny", "lock", "unlock", "rollback", "abort", "resolve")


@scene
async def signed(where: Place, plan_id: str) -> Runs:
    """Refused unsigned, locked, unlocked by two people, approved with a passkey, and a system lock and unlock."""
    rules = {name: {"evidence": "signed", "people": 2 if name == "unlock" else 1} for name in EVERY}
    strict = under(
        where, authorized_keys=[ALICE.line, BOB.line], passkeys=[PAULA.registered], decisions=rules
    )  # fmt: skip
    handle = await submit(strict.airlock, plan_id, step("a", "put", key="a", value=1))
    await signal(handle, "abort", {"by": "mallory", "reason": "before its admission"})
    async with strict.working():
        await awaiting(handle)
        await signal(handle, "lock", {"by": "mallory", "reason": "unsigned"})

        async def refused() -> bool:
            return (await handle.status()).refused == 2

        await until(refused)
        await say(handle, "lock", ALICE)
        await say(handle, "unlock", PAULA)
        await say(handle, "unlock", BOB)
        await say(handle, "approve", PAULA, digest=(await awaiting(handle)).digest)
        await ended(handle, "completed")
        gate = LiveGate(strict.airlock.client)
        for decision, by in (("lock", ALICE), ("unlock", PAULA), ("unlock", BOB)):
            made = await gate.to_sign(decision, by.name, "drill")
            assert (await gate.decide_signed(made, by.evidence(made.statement))).accepted
    return {"signed": handle.workflow, "signed-gate": strict.airlock.client.get_workflow_handle(LIVE_GATE)}


@scene
async def signed_amendment(where: Place, plan_id: str) -> Runs:
    """Amended with a key and refused without one, then amended by a key that only today's policy has."""
    rules = {"amend": {"evidence": "signed"}}
    strict = under(where, authorized_keys=[ALICE.line], decisions=rules)
    handle = await submit(strict.airlock, plan_id, step("a", "put", key="a", value=1))
    async with strict.working():
        before = (await awaiting(handle)).digest or ""
        await signal(handle, "amend", {"by": "rita", "reason": "unsigned", "steps": [step("a", "put", key="a", value=6)]})
        await say(handle, "amend", ALICE, steps=[step("a", "put", key="a", value=2)])
        await asked_again(handle, before)
        before = (await awaiting(handle)).digest or ""
    later = under(where, authorized_keys=[BOB.line], decisions=rules)
    async with later.working():
        await say(handle, "amend", BOB, steps=[step("b", "put", key="b", value=3)])
        await asked_again(handle, before)
        digest = (await awaiting(handle)).digest
        assert (await handle.decide("approve", by="carl", digest=digest)).accepted
        await ended(handle, "completed")
    return {"signed-amendment": handle.workflow}


@scene
async def signed_undo(where: Place, plan_id: str) -> Runs:
    """An undo whose unsigned request is refused, and one whose request is signed (epoch 10)."""
    rules = {name: {"evidence": "signed"} for name in EVERY}
    strict = under(where, authorized_keys=[ALICE.line, BOB.line], decisions=rules)
    handle = await submit(strict.airlock, plan_id, step("a", "put", key="a", value=1))
    client, wanted = strict.airlock.client, {"by": "alice", "reason": "wrong"}
    async with strict.working():
        await say(handle, "approve", BOB, digest=(await awaiting(handle)).digest)
        await ended(handle, "completed")
        refused = await undo(client, handle.plan_id, **wanted)
        await ended(refused, "aborted")
        first = await this_run(where, refused.workflow.id)
        made = await undo_to_sign(client, handle.plan_id, **wanted)
        asked = await undo(client, handle.plan_id, **wanted, evidence=ALICE.evidence(made.statement))
        await say(asked, "approve", BOB, digest=(await awaiting(asked)).digest)
        await ended(asked, "aborted")
    return {"unsigned-undo": first, "signed-undo": asked.workflow}


@scene
async def proved_lock(where: Place, plan_id: str) -> Runs:
    """A plan that finds the live gate locked, and is told of its unlock, both signed (epoch 10)."""
    rules = {"lock": {"evidence": "signed"}, "unlock": {"evidence": "signed"}}
    strict = under(where, authorized_keys=[ALICE.line, BOB.line], decisions=rules)
    gate = LiveGate(strict.airlock.client)
    handle = await submit(strict.airlock, plan_id, step("a", "put", key="a", value=1))
    async with strict.working():
        digest = (await awaiting(handle)).digest
        for decision, by in (("lock", ALICE), ("unlock", BOB)):
            made = await gate.to_sign(decision, by.name, "drill")
            assert (await gate.decide_signed(made, by.evidence(made.statement))).accepted
            if decision == "lock":
                assert (await handle.decide("approve", by="carl", digest=digest)).accepted
                await handle.wait_for(State.LOCKED)
        await asked_again(handle, digest or "")
        assert (await handle.decide("approve", by="carl", digest=(await awaiting(handle)).digest)).accepted
        await ended(handle, "completed")
    return {"proved-lock": handle.workflow, "proved-lock-gate": strict.airlock.client.get_workflow_handle(LIVE_GATE)}


@scene
async def asked_by_risk(where: Place, plan_id: str) -> Runs:
    """Approved by one person, it waits with all its steps until the people of the highest risk have approved (epoch 10)."""
    rules = {"approve": {"by_risk": {"HIGH": {"people": 2, "evidence": "ssh"}}}}
    strict = under(where, authorized_keys=[ALICE.line, BOB.line], decisions=rules)
    handle = await submit(
        strict.airlock, plan_id, step("put", "put", key="a", value=1), step("send", "send", to="jo@acme.test", body="hi")
    )
    async with strict.working():
        digest = (await awaiting(handle)).digest
        await say(handle, "approve", ALICE, digest=digest)
        assert (await handle.status()).state is State.AWAITING_APPROVAL
        await say(handle, "approve", BOB, digest=digest)
        await ended(handle, "completed")
    return {"asked-by-risk": handle.workflow}


async def say(handle: PlanHandle, decision: str, by: Signer, **fields: object) -> None:
    made = await handle.to_sign(decision, by=by.name, reason="because", **fields)
    verdict = await handle.decide_signed(made, by.evidence(made.statement))
    assert verdict.accepted, verdict
