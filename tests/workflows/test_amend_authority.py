"""Amendments by authors, approvers, strangers and too late ones, and the approvals that count for their results."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from airlock.base.keys import read_private_key
from airlock.client import PlanHandle
from airlock.plans.state import State
from airlock.run.decisions.signature import sign
from airlock.run.messages import Approve
from tests.signers import SshPerson
from tests.workflows.amendments import NUMBERS, amended, approve, five, refusal, resealed
from tests.workflows.conftest import awaiting, step, until
from tests.workflows.protected import keyring, place
from tests.workflows.world import WORLD

_KEYS = {name: Ed25519PrivateKey.generate() for name in ("alice", "bob")}
PRIVATE = {name: key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()) for name, key in _KEYS.items()}
PUBLIC = [
    f"{key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()} {name}" for name, key in _KEYS.items()
]


async def test_a_stranger_amends_nothing(airlock_with, plan):
    airlock = await airlock_with(approvers=["alice", "bob"])
    handle = await airlock.submit(five(plan))
    await awaiting(handle)
    told = await refusal(handle, by="mallory", steps=[step("x", "put", key="x", value=1)])
    assert "'mallory' is not among the approvers" in told
    await approve(handle, "alice")
    await handle.result()
    assert "x" not in WORLD.state[handle.plan_id]


async def test_nothing_is_amended_once_it_is_live(airlock, plan):
    handle = await airlock.submit(plan(step("a", "put", key="a", value=1), step("b", "put", ("a",), key="b", value=2)))
    hold = WORLD.hold(handle.plan_id, "a")
    await approve(handle, "alice")
    await until(lambda: (handle.plan_id, "a") in WORLD.running)
    verdict = await handle.amend([step("b", "put", ("a",), key="b", value=3)], by="rita", reason="late")
    assert "is in LIVE" in verdict.reason
    assert (await handle.decide("lock", by="olga", reason="a look")).accepted
    hold.set()
    await until(lambda: quiet(handle))
    verdict = await handle.amend([step("b", "put", ("a",), key="b", value=3)], by="rita", reason="late")
    assert "were made already" in verdict.reason
    assert (await handle.decide("rollback", by="olga", reason="enough")).accepted
    assert (await handle.result()).outcome == "aborted"


async def quiet(handle: PlanHandle) -> bool:
    return not (await handle.status()).in_flight


async def test_an_approver_edits_a_plan_and_another_one_approves_it(airlock_with, plan):
    airlock = await airlock_with(approvers=["alice", "bob"])
    handle = await airlock.submit(five(plan))
    await amended(handle, step("c", "put", ("a", "b"), key="c", value=33), by="alice")
    preview = await handle.preview()
    assert 'amended by alice: "a wrong value"' in preview.text
    assert "proposed by alice: their approval does not count for this step" in preview.text
    verdict = await approve(handle, "alice")
    assert "it does not count for c and d, proposed by 'alice'" in verdict.reason
    status = await handle.status()
    assert status.state is State.AWAITING_APPROVAL
    assert "c and d" in status.waits_for
    await approve(handle, "bob")
    assert (await handle.result()).outcome == "completed"
    assert WORLD.state[handle.plan_id]["c"] == 33


async def test_an_injected_step_goes_live_only_with_an_approval_that_shows_it(dev_server, plan):
    """Any client can write any name: what counts is that no approval shows what was injected."""
    where = await place(dev_server.client, f"amend{next(NUMBERS)}", keyring("k"), approvals_required=2)
    evil = step("evil", "send", to="mallory@evil.test", body="the secrets")
    async with where.working():
        handle = await where.airlock.submit(five(plan))
        first = (await awaiting(handle)).digest
        await approve(handle, "alice")
        await where.attacker.client.get_workflow_handle(handle.workflow.id).signal(
            "amend", {"by": "rita", "reason": "cleaning up", "steps": [evil]}
        )
        await until(lambda: resealed(handle, first))
        assert not (await handle.decide("approve", by="bob", digest=first)).accepted
        preview = await handle.preview()
        assert "mallory@evil.test" in preview.text
        assert any(line.text == "added: step evil" for line in preview.changes)
        await approve(handle, "bob")
        assert (await handle.status()).state is State.AWAITING_APPROVAL, "one approval shows the injected step"
        await approve(handle, "carl", steps=["a", "b", "c", "d", "e"])
        assert (await handle.result()).outcome == "partial"
    assert ("live", handle.plan_id, "evil") not in WORLD.log
    assert WORLD.state[handle.plan_id] == {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}


async def test_with_keys_the_old_signed_vote_counts_on_for_what_did_not_change(dev_server, plan):
    where = await place(
        dev_server.client, f"amend{next(NUMBERS)}", keyring("k"),
        approvals_required=2, signature_required="always", authorized_keys=PUBLIC,
    )  # fmt: skip
    async with where.working():
        handle = await where.airlock.submit(five(plan))
        await sign_and_approve(handle, "alice")
        await amended(handle, step("e", "put", key="e", value=55))
        await sign_and_approve(handle, "bob")
        status = await handle.status()
        assert {view.id: view.approved_by for view in status.steps}["a"] == ("alice", "bob")
        assert status.state is State.AWAITING_APPROVAL
        await sign_and_approve(handle, "alice", steps=("e",))
        assert (await handle.result()).outcome == "completed"
        recorded = (await handle.audit()).entries
    assert WORLD.state[handle.plan_id]["e"] == 55
    assert not [entry for entry in recorded if entry.kind == "refused"], "the live worker believed the evidence at once"


async def sign_and_approve(handle: PlanHandle, by: str, steps: tuple[str, ...] | None = None) -> None:
    digest = str((await awaiting(handle)).digest)
    said = Approve(by=by, digest=digest, steps=steps)
    signature = sign(read_private_key(PRIVATE[by]), handle.plan_id, said, digest)
    verdict = await handle.decide("approve", by=by, digest=digest, steps=steps and list(steps), signature=signature)
    assert verdict.accepted, verdict


async def test_the_evidence_of_an_old_vote_is_about_the_seal_that_it_names(dev_server, plan):
    """A person signs the digest of one seal; after an amendment the live worker checks that very statement."""
    alice, bob = SshPerson("alice"), SshPerson("bob")
    where = await place(
        dev_server.client, f"amend{next(NUMBERS)}", keyring("k"), approvals_required=2,
        authorized_keys=[alice.line, bob.line], decisions={"approve": {"evidence": "signed"}},
    )  # fmt: skip
    async with where.working():
        handle = await where.airlock.submit(five(plan))
        for by, new in ((alice, step("e", "put", key="e", value=55)), (bob, None), (alice, None)):
            signed = await handle.to_sign("approve", by=by.name, digest=(await awaiting(handle)).digest)
            assert (await handle.decide_signed(signed, by.evidence(signed.statement))).accepted
            if new is not None:
                await amended(handle, new)
        assert (await handle.result()).outcome == "completed"
        recorded = (await handle.audit()).entries
    assert WORLD.state[handle.plan_id]["e"] == 55
    assert not [entry for entry in recorded if entry.kind == "refused"]
