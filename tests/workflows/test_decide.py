"""The `decide` update: the sender learns whether a decision counted, and why not."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from temporalio.client import WorkflowUpdateFailedError

from airlock.base.errors import AirlockError
from airlock.base.keys import read_private_key
from airlock.client import NoSuchPlan, PlanEnded, PlanHandle
from airlock.plans.state import State
from airlock.run.decisions.signature import sign
from airlock.run.messages import Approve
from tests.workflows.conftest import approved, awaiting, binary, chain, count, events, signal, step, until
from tests.workflows.nonsense import RAW, bombs
from tests.workflows.world import WORLD


@pytest.fixture
def document(plan: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return plan(step("one", "put", key="a", value=1), step("two", "put", key="b", value=2))


async def completes(handle: PlanHandle, refusals: int | None = None) -> Any:
    result = await asyncio.wait_for(handle.result(), 120)
    assert result.outcome == "completed", result
    assert refusals is None or result.refused == refusals
    assert WORLD.state[handle.plan_id] == {"a": 1, "b": 2}
    assert not (await count(handle))["WORKFLOW_TASK_FAILED"]
    return result


async def refusal(handle: PlanHandle, decision: str, **fields: Any) -> str:
    """Decide, see it refused and recorded, and the plan where it was; returns the reason."""
    before = await handle.status()
    verdict = await handle.decide(decision, **fields)
    after = await handle.status()
    assert not verdict.accepted, verdict
    assert (after.state, after.digest, after.approvals) == (before.state, before.digest, before.approvals)
    assert after.refused == before.refused + 1
    entry = after.refusals[-1]
    assert (entry.what, entry.by, entry.reason) == (decision, fields["by"], verdict.reason)
    return str(verdict.reason)


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


async def test_two_approvers_at_once_count_once_each(airlock_with, document):
    airlock = await airlock_with(approvals_required=2)
    handle = await airlock.submit(document)
    digest = (await awaiting(handle)).digest
    clicks = await asyncio.gather(*(handle.decide("approve", by="alice", digest=digest) for _ in range(3)))
    assert sorted(verdict.accepted for verdict in clicks) == [False, False, True]
    status = await handle.status()
    assert (status.state, status.approvals) == (State.AWAITING_APPROVAL, ("alice",))
    assert "1 approval until " in status.waits_for
    others = await asyncio.gather(*(handle.decide("approve", by=by, digest=digest) for by in ("bob", "carol")))
    assert sorted(verdict.accepted for verdict in others) == [False, True]
    await completes(handle, 3)
    decided = [entry.by for entry in (await handle.audit()).entries if entry.kind == "decision"]
    assert decided[0] == "alice"
    assert len(decided) == 2


async def test_two_approvers_of_a_quorum_of_two_both_count(airlock_with, document):
    airlock = await airlock_with(approvals_required=2)
    handle = await airlock.submit(document)
    digest = (await awaiting(handle)).digest
    verdicts = await asyncio.gather(*(handle.decide("approve", by=by, digest=digest) for by in ("alice", "bob")))
    assert sorted(verdict.reason for verdict in verdicts) == ["approval 1 of 2 counted", "approval 2 of 2 counted"]
    await completes(handle, 0)


async def test_twenty_at_once_and_exactly_one_counts(airlock, document):
    gates = [WORLD.hold(document["plan_id"], made["id"]) for made in document["steps"]]
    handle = await airlock.submit(document)
    digest = (await awaiting(handle)).digest
    verdicts = await asyncio.gather(*(handle.decide("approve", by=f"a{n}", digest=digest) for n in range(20)))
    assert sum(verdict.accepted for verdict in verdicts) == 1
    for gate in gates:
        gate.set()
    await completes(handle, 19)


async def test_signal_and_update_at_once_count_once_each(airlock_with, document):
    airlock = await airlock_with(approvals_required=3)
    handle = await airlock.submit(document)
    digest = (await awaiting(handle)).digest
    await asyncio.gather(
        signal(handle, "approve", {"by": "alice", "digest": digest}),
        signal(handle, "approve", {"by": "alice", "digest": digest}),
        handle.decide("approve", by="alice", digest=digest),
        handle.decide("approve", by="bob", digest=digest),
    )
    status = await until(lambda: two_refused(handle))
    assert sorted(status.approvals) == ["alice", "bob"]
    assert (await handle.decide("approve", by="carol", digest=digest)).accepted
    await completes(handle, 2)


async def two_refused(handle: PlanHandle) -> Any:
    status = await handle.status()
    return status if status.refused == 2 else None


async def test_deny_ends_the_plan_and_nothing_goes_live(airlock_with, document):
    airlock = await airlock_with(approvals_required=2)
    handle = await airlock.submit(document)
    digest = (await awaiting(handle)).digest
    assert (await handle.decide("approve", by="alice", digest=digest)).accepted
    with pytest.raises(AirlockError, match="reason"):
        await handle.decide("deny", by="bob")
    assert (await handle.decide("deny", by="bob", digest=digest[:20], reason="not today")).accepted
    result = await handle.result()
    assert (result.outcome, result.state, result.why) == ("denied", State.MOCK, "not today")
    assert not WORLD.state[handle.plan_id]
    with pytest.raises(PlanEnded):
        await handle.decide("approve", by="carol", digest=digest)


async def test_too_late_and_never_there(airlock, document):
    handle = await airlock.submit(document)
    await approved(handle)
    await completes(handle)
    for decision in ("approve", "deny", "lock", "abort", "rollback"):
        with pytest.raises(PlanEnded):
            await handle.decide(decision, by="alice", digest="0" * 12, reason="late")
    with pytest.raises(NoSuchPlan):
        await airlock.plan("never-submitted").decide("abort", by="alice", reason="?")


async def test_partial_approval_by_step(airlock, plan):
    document = plan(
        step("one", "put", key="a", value=1),
        step("child", "put", ("one",), key="b", value=2),
        step("unsure", "put", confidence=0.7, key="c", value=3),
        step("behind", "put", ("unsure",), key="d", value=4),
        step("mail", "send", to="x@acme.test"),
    )
    handle = await airlock.submit(document)
    digest = (await awaiting(handle)).digest
    both = {"by": "alice", "digest": digest}
    assert "depends on one: approve that too" in await refusal(handle, "approve", steps=["child"], **both)
    assert "cannot go live: confidence 0.70" in await refusal(handle, "approve", steps=["one", "unsure"], **both)
    assert "depends on 'unsure'" in await refusal(handle, "approve", steps=["behind"], **both)
    assert (await handle.decide("approve", steps=["child", "one"], **both)).accepted
    result = await handle.result()
    assert (result.outcome, result.live) == ("partial", ("one", "child"))
    assert WORLD.state[handle.plan_id] == {"a": 1, "b": 2}
    ceilings = {view.id: view.ceiling for view in result.steps}
    assert ceilings == {"one": "LIVE", "child": "LIVE", "unsure": "DRY_RUN", "behind": "DRY_RUN", "mail": "LIVE"}


async def test_a_quorum_counts_step_by_step(airlock_with, plan):
    airlock = await airlock_with(approvals_required=2)
    document = plan(*(step(name, "put", key=name, value=1) for name in ("one", "two", "three")))
    handle = await airlock.submit(document)
    digest = (await awaiting(handle)).digest
    assert (await handle.decide("approve", by="alice", digest=digest, steps=["one", "two"])).accepted
    assert (await handle.decide("approve", by="bob", digest=digest, steps=["three"])).accepted
    assert (await handle.status()).state is State.AWAITING_APPROVAL  # two voices, but no step has both
    assert (await handle.decide("approve", by="carol", digest=digest, steps=["two", "three"])).accepted
    result = await handle.result()
    assert (result.outcome, result.live) == ("partial", ("two", "three"))
    assert WORLD.state[handle.plan_id] == {"two": 1, "three": 1}


async def test_only_the_approvers_of_the_policy_count(airlock_with, document):
    airlock = await airlock_with(approvers=["alice", "rita"])
    handle = await airlock.submit(document)
    digest = (await awaiting(handle)).digest
    assert "not among the approvers (alice, rita)" in await refusal(handle, "approve", by="mallory", digest=digest)
    assert "not among the approvers" in await refusal(handle, "approve", by="alicia", digest=digest)
    assert "not among the approvers" in await refusal(handle, "deny", by="mallory", reason="no")
    assert "requested this plan" in await refusal(handle, "approve", by="rita", digest=digest)
    assert (await handle.decide("approve", by="ALICE", digest=digest)).accepted
    await completes(handle, 4)


async def test_a_policy_that_waives_approval_is_recorded_as_the_approver(airlock_with, plan):
    airlock = await airlock_with(approval_waived_for=["LOW", "MEDIUM"])
    handle = await airlock.submit(plan(step("look", "look", key="a"), step("one", "put", ("look",), key="a", value=1)))
    result = await handle.result()
    assert (result.outcome, result.live) == ("completed", ("look", "one"))
    decided = [entry for entry in (await handle.audit()).entries if entry.kind == "decision"]
    assert [(entry.what, entry.by, entry.digest) for entry in decided] == [("approve", "policy", result.digest)]


async def test_what_is_waived_needs_no_voice_but_does_not_go_ahead_of_the_rest(airlock_with, plan):
    airlock = await airlock_with(approval_waived_for=["LOW"])
    document = plan(
        step("look", "look", key="a"),
        step("one", "put", ("look",), key="a", value=1),
        step("after", "look", ("one",), key="a"),
        step("mail", "send", to="x@acme.test"),
    )
    handle = await airlock.submit(document)
    status = await awaiting(handle)
    waived = {shown.id for shown in (await handle.preview()).sealed.steps if shown.approval_waived}
    assert waived == {"look", "after"}
    assert not WORLD.attempts[f"{handle.plan_id}/look"]
    assert (await handle.decide("approve", by="alice", digest=status.digest, steps=["one"])).accepted
    result = await handle.result()
    assert (result.outcome, result.live) == ("partial", ("look", "one", "after"))
    assert WORLD.state[handle.plan_id] == {"a": 1}


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


async def test_many_refused_updates_do_not_fill_a_run(airlock, document):
    handle = await airlock.submit(document)
    status = await awaiting(handle)
    for _ in range(80):
        verdicts = await asyncio.gather(*(handle.decide("approve", by="mallory", digest="0" * 12) for _ in range(8)))
        assert not any(verdict.accepted for verdict in verdicts)
    after = await handle.status()
    assert (after.refused, after.digest, after.expires_at) == (640, status.digest, status.expires_at)
    await approved(handle)
    result = await handle.result()
    assert (result.outcome, result.refused) == ("completed", 640)
    runs = await chain(handle)
    assert len(runs) > 1
    assert max(map(len, runs)) < 2_000


async def test_denying_what_is_left_ends_the_plan_and_says_what_is_live(airlock, document):
    handle = await airlock.submit(document)
    old = (await awaiting(handle)).digest
    WORLD.state[handle.plan_id]["a"] = "somebody else's"
    assert (await handle.decide("approve", by="alice", digest=old)).accepted

    async def new_seal() -> Any:
        found = await handle.status()
        return found if found.state is State.AWAITING_APPROVAL and found.digest != old else None

    status = await until(new_seal)
    assert (await handle.decide("deny", by="bob", digest=status.digest, reason="somebody works on it")).accepted
    result = await handle.result()
    assert (result.outcome, result.live) == ("denied", ("two",))
    assert WORLD.state[handle.plan_id] == {"a": "somebody else's", "b": 2}
