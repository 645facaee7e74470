"""The `decide` update: the sender learns whether a decision counted, and why not."""

import asyncio
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from temporalio.client import WorkflowUpdateFailedError

from airlock.base.errors import AirlockError
from airlock.base.keys import read_private_key
from airlock.client import NoSuchPlan, PlanEnded
from airlock.plans.state import State
from airlock.run.decisions.signature import sign
from airlock.run.messages import Approve
from tests.workflows.conftest import approved, awaiting, binary, events, step, until
from tests.workflows.decision_outcomes import completes, refusal
from tests.workflows.nonsense import RAW, bombs
from tests.workflows.world import WORLD


async def test_refused_with_the_reason_and_accepted(airlock, document):
    handle = await airlock.submit(document)
    status = await awaiting(handle)
    digest = status.digest
    assert "not the digest" in await refusal(handle, "approve", by="alice", digest="0" * 64)
    assert "at least its first 12" in await refusal(handle, "approve", by="alice", digest=digest[:11])
    assert "at least its first 12" in await refusal(handle, "approve", by="alice", digest="")
    assert "not the digest" in await refusal(handle, "approve", by="alice", digest=digest[:-1] + "g")
    assert "requested this plan" in await refusal(handle, "approve", by="rita", digest=digest)
    assert "requested this plan" in await refusal(handle, "approve", by="rita", digest=digest, steps=["one"])
    assert "agents propose" in await refusal(handle, "approve", by="agent", digest=digest)
    assert "no step 'nowhere'" in await refusal(handle, "approve", by="alice", digest=digest, steps=["one", "nowhere"])
    assert "steps is empty" in await refusal(handle, "approve", by="alice", digest=digest, steps=[])
    assert "no authorized key" in await refusal(handle, "approve", by="alice", digest=digest, signature="AAAA")
    assert "not the digest" in await refusal(handle, "deny", by="alice", digest="f" * 64, reason="no")
    assert "use abort" in await refusal(handle, "rollback", by="alice", reason="back")
    assert "unlock is not possible" in await refusal(handle, "unlock", by="alice", reason="go")
    assert "does not wait" in await refusal(
        handle, "resolve", by="alice", step="one", outcome="happened", reason="I saw it"
    )  # fmt: skip
    verdict = await handle.decide("approve", by="alice", digest=f" {digest[:12].upper()} ")
    assert verdict.accepted
    assert verdict.reason == "approval 1 of 1 counted"
    await completes(handle, 14)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "by: is missing"),
        ({"by": "alice"}, "digest: is missing"),
        ({"by": 1, "digest": "x"}, "by: is a whole number, not a text"),
        ({"by": " ", "digest": "x"}, "by: is empty"),
        ({"by": "alice", "digest": "x", "steps": "one"}, "steps: is a text, not a list"),
        ({"by": "policy", "digest": "x"}, "not people"),
        ({"by": " Airlock ", "digest": "x"}, "not people"),
    ],
)
async def test_what_is_malformed_is_turned_away_before_it_is_in_the_history(airlock, document, fields, told):
    handle = await airlock.submit(document)
    status = await awaiting(handle)
    before = await events(handle)
    with pytest.raises(AirlockError, match=told):
        await handle.decide("approve", **fields)
    assert await events(handle) == before
    assert (await handle.status()) == status
    await approved(handle)
    await completes(handle, 0)


async def test_raw_nonsense_is_turned_away_before_it_is_in_the_history(airlock, document):
    handle = await airlock.submit(document)
    status = await awaiting(handle)
    before = await events(handle)
    sent: list[list[Any]] = [[value] for value in (RAW | bombs()).values()]
    sent += [[], [{}, {}], [{}], [{"decision": "Approve"}], [{"decision": ["approve"]}], [{"decision": None}], ["approve"]]
    sent += [[{"decision": "lock", "by": "alice", "reason": "x"}, None], [{"decision": "lock", "by": "alice"}]]
    for arguments in sent:
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.workflow.execute_update("decide", args=arguments)
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.workflow.execute_update("no_such_update", {})
    assert await events(handle) == before
    assert (await handle.status()) == status
    await approved(handle)
    await completes(handle, 0)


async def test_through_the_temporal_cli_an_update_id_counts_once(airlock, document):
    handle = await airlock.submit(document)
    status = await awaiting(handle)

    async def cli(update_id: str, message: dict[str, Any]) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            binary("temporal"), "workflow", "update", "execute", "--workflow-id", handle.workflow.id, "--name", "decide",
            "--address", handle.workflow_client.service_client.config.target_host, "--update-id", update_id,
            "--input", json.dumps(message), "--output", "json",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        return process.returncode, said.decode()

    code, said = await cli("bad", {"decision": "approve", "by": "alice"})
    assert (code, "digest: is missing" in said) == (1, True)
    message = {"decision": "approve", "by": "alice", "digest": "0" * 12}
    answers = [await cli("click-1", message) for _ in range(2)]
    assert all(code == 0 and '"accepted": false' in said for code, said in answers), answers
    assert (await handle.status()).refused == 1
    message["digest"] = status.digest
    answers = [await cli("click-2", message) for _ in range(2)]
    assert all(code == 0 and '"accepted": true' in said for code, said in answers), answers
    await completes(handle, 1)


async def test_a_new_preview_says_what_changed_since_the_old_one(airlock, document):
    handle = await airlock.submit(document)
    old = (await awaiting(handle)).digest
    WORLD.state[handle.plan_id]["a"] = "somebody else's"
    assert (await handle.decide("approve", by="alice", digest=old)).accepted

    async def new_seal() -> Any:
        found = await handle.status()
        return found if found.state is State.AWAITING_APPROVAL and found.digest != old else None

    status = await until(new_seal)
    verdict = await handle.decide("approve", by="alice", digest=old)
    assert not verdict.accepted
    assert "has been replaced" in verdict.reason
    assert "'one' was not called" in verdict.reason
    assert "a has changed" in verdict.reason
    assert "steps.one.preview.observed.was" in verdict.changed
    assert not any(path.startswith("steps.one.args") for path in verdict.changed)
    denial = await handle.decide("deny", by="alice", digest=old, reason="about the old one")
    assert not denial.accepted
    assert denial.changed == verdict.changed
    assert (await handle.decide("approve", by="alice", digest=status.digest)).accepted
    await completes(handle, 2)


async def test_lock_and_unlock_while_it_waits_needs_a_new_approval(airlock_with, document):
    airlock = await airlock_with(approvals_required=2)
    handle = await airlock.submit(document)
    old = (await awaiting(handle)).digest
    assert (await handle.decide("approve", by="alice", digest=old)).accepted
    assert (await handle.decide("lock", by="lena", reason="wait a moment")).accepted
    assert (await handle.status()).state is State.LOCKED
    assert "is in LOCKED" in await refusal(handle, "approve", by="bob", digest=old)
    assert "is in LOCKED" in await refusal(handle, "deny", by="bob", digest=old, reason="no")
    assert (await handle.decide("unlock", by="lena", reason="go on")).accepted
    status = await awaiting(handle)
    moved = [(e.from_state, e.to_state) for e in (await handle.audit()).entries if e.kind == "transition"]
    assert moved[-3:] == [("LOCKED", "MOCK"), ("MOCK", "DRY_RUN"), ("DRY_RUN", "AWAITING_APPROVAL")]
    assert status.digest != old
    assert status.approvals == ()  # what alice said was about the seal that is gone
    assert "has been replaced" in await refusal(handle, "approve", by="bob", digest=old)
    for by in ("alice", "bob"):
        assert (await handle.decide("approve", by=by, digest=status.digest)).accepted
    await completes(handle, 3)


async def test_too_late_and_never_there(airlock, document):
    handle = await airlock.submit(document)
    await approved(handle)
    await completes(handle)
    for decision in ("approve", "deny", "lock", "abort", "rollback"):
        with pytest.raises(PlanEnded):
            await handle.decide(decision, by="alice", digest="0" * 12, reason="late")
    with pytest.raises(NoSuchPlan):
        await airlock.plan("never-submitted").decide("abort", by="alice", reason="?")


@pytest.fixture(scope="module")
def keys() -> dict[str, tuple[bytes, str]]:
    """Key files as `ssh-keygen -t ed25519` makes them: the private file, and the line for `authorized_keys`."""
    made = {}
    for name in ("alice", "mallory"):
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        made[name] = (key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), f"{public} {name}")
    return made


async def test_signed_approvals(airlock_with, document, plan, keys):
    airlock = await airlock_with(signature_required="always", authorized_keys=[keys["alice"][1], keys["mallory"][1]])
    handle = await airlock.submit(document)
    digest = (await awaiting(handle)).digest
    private, other = keys["alice"][0], keys["mallory"][0]

    def signed(key: bytes = private, plan_id: str = handle.plan_id, over: str = digest, **fields: Any) -> dict[str, Any]:
        said = {"by": "alice", "digest": digest, **fields}
        return {**said, "signature": sign(read_private_key(key), plan_id, Approve.model_validate(said), over)}

    assert "requires a signature" in await refusal(handle, "approve", by="alice", digest=digest)
    assert "does not fit" in await refusal(handle, "approve", **signed(key=other))
    assert "does not fit" in await refusal(handle, "approve", **signed(plan_id="another-plan"))
    assert "does not fit" in await refusal(handle, "approve", **signed(over="0" * 64))
    assert "does not fit" in await refusal(handle, "approve", **(signed(steps=["one"]) | {"steps": ["two"]}))
    assert "does not fit" in await refusal(handle, "approve", **(signed() | {"by": "mallory"}))
    assert "no authorized key" in await refusal(handle, "approve", **signed(by="bob"))
    assert "not base64" in await refusal(handle, "approve", **(signed() | {"signature": "!"}))
    assert "requires a signature" in await refusal(handle, "approve", by="alice", digest=digest[:12])
    assert "requested this plan" in await refusal(handle, "approve", **signed(by="rita"))
    assert (await handle.decide("approve", **(signed() | {"digest": digest[:12]}))).accepted
    await completes(handle, 10)
    # the same signature says nothing about another plan with the same steps
    second = await airlock.submit({**document, "plan_id": plan()["plan_id"]})
    newer = (await awaiting(second)).digest
    assert "does not fit" in await refusal(second, "approve", **(signed() | {"digest": newer}))
    assert (await second.decide("approve", **signed(plan_id=second.plan_id, over=newer) | {"digest": newer})).accepted
    await completes(second, 1)


async def test_high_risk_alone_needs_a_signature(airlock_with, plan, keys):
    airlock = await airlock_with(signature_required="high", authorized_keys=[keys["alice"][1]])
    document = plan(step("one", "put", key="a", value=1), step("mail", "send", to="x@acme.test"))
    handle = await airlock.submit(document)
    digest = (await awaiting(handle)).digest
    assert "requires a signature" in await refusal(handle, "approve", by="bob", digest=digest)
    assert "requires a signature" in await refusal(handle, "approve", by="bob", digest=digest, steps=["mail"])
    assert (await handle.decide("approve", by="bob", digest=digest, steps=["one"])).accepted
    result = await handle.result()
    assert (result.outcome, result.live) == ("partial", ("one",))
    assert WORLD.state[handle.plan_id] == {"a": 1}
