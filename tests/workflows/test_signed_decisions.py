"""Signatures demanded everywhere, on a real server: a client that has signals and no key achieves nothing."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import Client

from airlock.base.names import LIVE_GATE, PLAN_WORKFLOW, WORKFLOW_QUEUE
from airlock.client import Airlock, PlanHandle, UndoRefused
from airlock.client.live_gate import LiveGate
from airlock.client.plan_history import read_plan
from airlock.client.signing import ToSign
from airlock.client.undo import previewed, undo, undo_to_sign
from airlock.export.authority_check import authority_faults
from airlock.export.hiding import Openings
from airlock.export.lines import AuditEvent
from airlock.export.seal_check import SealReport, check_seals
from airlock.export.signed_check import signed_faults
from airlock.plans.state import State
from airlock.run.audit import AuditKind
from airlock.signing.statement import moment
from tests.replay.replay import replayer
from tests.signers import PasskeyPerson, Signer, SshPerson
from tests.workflows.conftest import awaiting, namespace, signal, step, until, working
from tests.workflows.signed_exports import signed_events
from tests.workflows.world import WORLD

ALICE, BOB, EVE, PAULA = SshPerson("alice"), SshPerson("bob"), SshPerson("alice"), PasskeyPerson("paula")
KEYS: dict[str, Any] = {"authorized_keys": [ALICE.line, BOB.line], "passkeys": [PAULA.registered]}
EVERY = ("approve", "deny", "lock", "unlock", "rollback", "abort", "resolve")
SIGNED = {**KEYS, "decisions": {name: {"evidence": "signed"} for name in EVERY}}


async def say(handle: PlanHandle, decision: str, by: Signer = ALICE, **fields: Any) -> Any:
    fields = {"by": by.name, "reason": "because", **fields}
    signed = await handle.to_sign(decision, **fields)
    return await handle.decide_signed(signed, by.evidence(signed.statement))


async def approve(handle: PlanHandle, by: Signer = ALICE) -> Any:
    status = await awaiting(handle)
    return await say(handle, "approve", by, digest=status.digest)


async def in_state(handle: PlanHandle, state: State) -> None:
    async def there() -> bool:
        return (await handle.status()).state is state

    await until(there)


async def bombard(handle: PlanHandle, stolen: list[ToSign]) -> None:
    """Send every decision unsigned, by a stranger's key, and with evidence of other decisions, until all are refused."""
    status = await handle.status()
    before = status.refused
    sent = 0
    for decision in EVERY:
        fields: dict[str, Any] = {"by": "alice", "reason": "mine"}
        if decision == "approve":
            fields["digest"] = status.digest or "0" * 64
        if decision == "resolve":
            fields |= {"step": "one", "outcome": "happened"}
        forged = await handle.to_sign(decision, **fields) if status.digest or decision != "approve" else None
        await signal(handle, decision, fields)
        sent += 1
        if forged is not None:
            evidence = EVE.evidence(forged.statement).model_dump(mode="json")
            await signal(handle, decision, {**fields, "evidence": evidence})
            sent += 1
        for other in stolen:  # what honest people sent, which every client reads in the history
            evidence = ALICE.evidence(other.statement).model_dump(mode="json")
            await signal(handle, decision, {**fields, "evidence": evidence})
            sent += 1

    async def refused() -> bool:
        return (await handle.status()).refused >= before + sent

    await until(refused)
    after = await handle.status()
    assert after.state is status.state, after
    assert after.digest == status.digest


async def replays(client: Client, workflow_id: str) -> None:
    """Replay a run in its own namespace, which every statement names."""
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    await replayer(namespace=client.namespace).replay_workflow(history)


async def test_who_has_signals_alone_achieves_nothing_and_people_with_keys_everything(airlock_with, plan):
    airlock = await airlock_with(**SIGNED)
    document = plan(step("one", "put", key="a", value=1), step("two", "put", ("one",), key="b", value=2))
    hold = WORLD.hold(document["plan_id"], "two")
    handle = await airlock.submit(document)
    status = await awaiting(handle)
    stolen = [await handle.to_sign("lock", by="alice", reason="drill")]
    assert (await handle.decide_signed(stolen[0], ALICE.evidence(stolen[0].statement))).accepted
    await in_state(handle, State.LOCKED)
    await bombard(handle, stolen)
    assert (await say(handle, "unlock", PAULA)).accepted
    renewed = await awaiting(handle)
    assert renewed.digest != status.digest
    await bombard(handle, stolen)
    assert (await approve(handle, BOB)).accepted
    await until(lambda: (document["plan_id"], "two") in WORLD.running)
    await bombard(handle, stolen)
    assert (await say(handle, "rollback", PAULA)).accepted
    hold.set()
    result = await handle.result()
    assert (result.outcome, result.live, result.undone) == ("aborted", (), ("one", "two"))
    await replays(handle.workflow_client, handle.workflow.id)
    audit = {entry.what: entry for entry in (await handle.audit()).entries if entry.signed is not None}
    assert audit["rollback"].signed.key.startswith("passkey ")
    assert audit["approve"].signed.key == BOB.line


async def test_deny_and_abort_are_signed_too(airlock_with, plan):
    airlock = await airlock_with(**SIGNED)
    for decision, outcome in (("deny", "denied"), ("abort", "aborted")):
        handle = await airlock.submit(plan(step("one", "put", key=decision, value=1)))
        await awaiting(handle)
        assert "must be signed" in (await handle.decide(decision, by="alice", reason="no")).reason
        assert (await say(handle, decision)).accepted
        assert (await handle.result()).outcome == outcome


async def test_nobody_without_a_key_ends_a_plan_before_its_admission(dev_server, plan):
    client = await namespace(dev_server.client, f"early-{plan()['plan_id']}")
    handle = await Airlock(client).submit(plan(step("one", "put", key="x", value=1)))
    await signal(handle, "abort", {"by": "alice", "reason": "mine"})  # before any worker saw the plan
    async with working(client, **SIGNED):
        await awaiting(handle)
        (refused,) = (await handle.status()).refusals
        assert refused.reason.startswith("it must be signed")
        await replays(client, handle.workflow.id)


async def test_a_lock_before_the_admission_stops_unproved_and_only_a_signed_unlock_lifts_it(dev_server, plan, tmp_path):
    client = await namespace(dev_server.client, f"stopped-{plan()['plan_id']}")
    handle = await Airlock(client).submit(plan(step("one", "put", key="x", value=1)))
    await signal(handle, "lock", {"by": "mallory", "reason": "mine"})  # before any worker saw the plan
    await signal(handle, "unlock", {"by": "alice", "reason": "mine"})
    async with working(client, **SIGNED):
        await in_state(handle, State.LOCKED)

        async def refused() -> bool:
            return bool((await handle.status()).refusals)

        await until(refused)
        (refusal,) = (await handle.status()).refusals
        assert refusal.reason.startswith("it must be signed")
        assert (await handle.status()).state is State.LOCKED
        (locked,) = [one for one in (await handle.audit()).entries if one.what == "lock" and one.kind is AuditKind.DECISION]
        assert locked.signed is None
        assert locked.reason == "mine; nothing proves who locked it: no policy was known before the admission"
        assert (await say(handle, "unlock")).accepted
        await awaiting(handle)
        # once it is admitted, the policy is known, and demands a signature of a lock too
        assert "must be signed" in (await handle.decide("lock", by="mallory", reason="mine")).reason
        assert (await say(handle, "lock", BOB)).accepted
        assert (await say(handle, "abort", PAULA)).accepted
        await handle.result()
        record = (await read_plan(client, handle.workflow.id, await run_id_of(handle))).record
        report = SealReport()
        assert check_seals(record, Openings(), report) is None
        (note,) = report.notes
        assert "lock by 'mallory' is not signed, and the sealed policy demands it; the policy before the first" in note
        await replays(client, handle.workflow.id)


async def test_an_export_holds_what_was_signed_and_verify_checks_it_again(airlock_with, plan, tmp_path):
    airlock = await airlock_with(**SIGNED)
    handle = await airlock.submit(plan(step("one", "put", key="v", value=1)))
    await awaiting(handle)
    assert (await say(handle, "lock", PAULA)).accepted
    assert (await say(handle, "unlock")).accepted
    assert (await approve(handle, PAULA)).accepted
    assert (await handle.result()).outcome == "completed"
    signed = await signed_events(airlock, tmp_path / "out", signatures=3)
    assert [event.what for event in signed] == ["lock", "unlock", "approve"]
    where = (handle.plan_id, handle.workflow.id)
    assert [fault for fault, wrong in signed_faults(where, signed, (), []) if wrong] == []
    for event in signed:
        for changed in altered(event):
            assert [fault for fault, wrong in signed_faults(where, [changed], (), []) if wrong], changed


def altered(event: AuditEvent) -> Iterator[AuditEvent]:
    """The event with one thing changed: bytes of the evidence in turn, the decision, its person, its subject."""
    assert event.signed is not None
    evidence = event.signed.evidence.model_dump(mode="json")
    for name, text in evidence.items():
        if name in ("kind", "expires"):
            continue
        for at in range(0, len(text), 7):
            other = "0" if text[at] != "0" else "1"
            new = {**evidence, name: text[:at] + other + text[at + 1 :]}
            yield event.model_copy(update={"signed": event.signed.model_copy(update={"evidence": type(
                event.signed.evidence).model_validate(new)})})  # fmt: skip
    for update in ({"by": "bob"}, {"what": "abort"}, {"digest": "0" * 64}, {"reason": "another"}):
        if event.what != "lock" or "digest" not in update:
            yield event.model_copy(update=update)
    key = event.signed.model_copy(update={"key": BOB.line, "passkey": None})
    yield event.model_copy(update={"signed": key})


async def test_a_key_that_is_withdrawn_counts_no_more_at_once(dev_server, plan):
    client = await namespace(dev_server.client, f"withdrawn-{plan()['plan_id']}")
    async with working(client, **SIGNED) as airlock:
        handle = await airlock.submit(plan(step("one", "put", key="w", value=1)))
        await awaiting(handle)
    async with working(client, **{**SIGNED, "authorized_keys": [BOB.line]}):
        assert "no authorized key" in (await approve(handle)).reason
        refused = await say(handle, "abort")
        assert not refused.accepted
        assert "no authorized key" in refused.reason
        assert (await approve(handle, BOB)).accepted
        assert (await handle.result()).outcome == "completed"
    await replays(handle.workflow_client, handle.workflow.id)


async def test_an_expired_approval_does_not_count(airlock_with, plan):
    airlock = await airlock_with(**SIGNED)
    handle = await airlock.submit(plan(step("one", "put", key="e", value=1)))
    status = await awaiting(handle)
    made = await handle.to_sign("approve", by="alice", digest=status.digest)
    over = made.statement.model_copy(update={"expires": moment(datetime.now(UTC) - timedelta(seconds=1))})
    assert "signed to count until" in (await handle.decide_signed(made, ALICE.evidence(over))).reason


async def test_a_thousand_forged_passkeys_keep_nothing_from_going_on(dev_server, plan):
    client = await namespace(dev_server.client, f"flood-{plan()['plan_id']}")
    async with working(client, **SIGNED) as airlock:
        handle = await airlock.submit(plan(step("one", "put", key="f", value=1)))
        await awaiting(handle)
        made = await handle.to_sign("abort", by="paula", reason="mine")
    evidence = PasskeyPerson("paula").evidence(made.statement).model_dump(mode="json")
    turns = asyncio.Semaphore(50)

    async def forged() -> None:
        async with turns:
            await signal(handle, "abort", {"by": "paula", "reason": "mine", "evidence": evidence})

    await asyncio.gather(*(forged() for _ in range(1_000)))  # no worker is there: they come in one workflow task
    async with working(client, **SIGNED):

        async def refused() -> bool:
            return (await handle.status()).refused == 1_000

        await until(refused)
        assert (await approve(handle)).accepted
        assert (await handle.result()).outcome == "completed"
    await replays(client, handle.workflow.id)


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


async def test_the_undo_of_a_plan_is_approved_with_a_signature(airlock_with, plan):
    airlock = await airlock_with(**SIGNED)
    handle = await airlock.submit(plan(step("one", "put", key="u", value=1)))
    assert (await approve(handle)).accepted
    assert (await handle.result()).outcome == "completed"
    asked = await asked_for(airlock, handle, ALICE)
    assert await previewed(asked) is State.AWAITING_APPROVAL
    await bombard(asked, [await handle.to_sign("approve", by="alice", digest=(await handle.status()).digest)])
    assert (await approve(asked, PAULA)).accepted
    assert (await asked.result()).undone == ("one",)
    await replays(asked.workflow_client, asked.workflow.id)


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


async def asked_for(airlock: Airlock, handle: PlanHandle, by: Signer) -> PlanHandle:
    """Ask for an undo, signed."""
    wanted = {"by": by.name, "reason": "wrong"}
    made = await undo_to_sign(airlock.client, handle.plan_id, **wanted)
    return await undo(airlock.client, handle.plan_id, **wanted, evidence=by.evidence(made.statement))


async def completed(airlock: Airlock, document: dict[str, Any]) -> PlanHandle:
    handle = await airlock.submit(document)
    assert (await approve(handle)).accepted
    assert (await handle.result()).outcome == "completed"
    return handle


async def test_the_request_for_an_undo_is_refused_unsigned_and_without_the_role(airlock_with, plan):
    rules = {**SIGNED, "roles": {"ops": ["alice"]}}
    rules["decisions"] = {**SIGNED["decisions"], "rollback": {"evidence": "signed", "roles": ["ops"]}}
    airlock = await airlock_with(**rules)
    handle = await completed(airlock, plan(step("one", "put", key="r", value=1)))
    with pytest.raises(UndoRefused, match=f"airlock rollback {handle.plan_id} --reason ... --sign-key FILE"):
        await previewed(await undo(airlock.client, handle.plan_id, by="alice", reason="wrong"))
    with pytest.raises(UndoRefused, match="rollback: 'bob' has not the role ops"):
        await previewed(await asked_for(airlock, handle, BOB))
    with pytest.raises(UndoRefused, match="the signature was made by none of the keys"):
        await previewed(await asked_for(airlock, handle, EVE))
    asked = await asked_for(airlock, handle, ALICE)
    assert await previewed(asked) is State.AWAITING_APPROVAL
    (entry,) = [one for one in (await asked.audit()).entries if one.what == "rollback"]
    assert (entry.by, entry.signed.key, entry.signed.statement.undo) == ("alice", ALICE.line, handle.plan_id)
    await replays(asked.workflow_client, asked.workflow.id)


async def test_a_signed_request_for_an_undo_counts_once_for_its_plan_and_its_time(airlock_with, plan):
    airlock = await airlock_with(**SIGNED)
    handle = await completed(airlock, plan(step("one", "put", key="o", value=1)))
    other = await completed(airlock, plan(step("one", "put", key="p", value=1)))
    wanted = {"by": "alice", "reason": "wrong"}
    made = await undo_to_sign(airlock.client, handle.plan_id, **wanted)
    evidence = ALICE.evidence(made.statement)
    for to, fields in ((other, {}), (handle, {"reason": "another"}), (handle, {"by": "bob"}), (handle, {"to_step": "one"})):
        with pytest.raises(UndoRefused):
            await previewed(await undo(airlock.client, to.plan_id, **{**wanted, **fields}, evidence=evidence))
    # the undos that were refused since are undos that were requested
    with pytest.raises(UndoRefused, match="an undo was requested since"):
        await previewed(await undo(airlock.client, handle.plan_id, **wanted, evidence=evidence))
    late = await undo_to_sign(airlock.client, handle.plan_id, **wanted)
    over = late.statement.model_copy(update={"expires": moment(datetime.now(UTC) - timedelta(seconds=1))})
    with pytest.raises(UndoRefused, match="signed to count until"):
        await previewed(await undo(airlock.client, handle.plan_id, **wanted, evidence=ALICE.evidence(over)))
    again = await asked_for(airlock, handle, PAULA)
    assert await previewed(again) is State.AWAITING_APPROVAL
    assert (await say(again, "deny")).accepted
    await again.result()
    sent = (await again.workflow.fetch_history()).events[0].workflow_execution_started_event_attributes.input
    (start,) = await airlock.client.data_converter.decode(sent.payloads)
    repeated = await airlock.client.start_workflow(
        PLAN_WORKFLOW, start, id=again.workflow.id, task_queue=WORKFLOW_QUEUE,
    )  # fmt: skip
    with pytest.raises(UndoRefused, match="an undo was requested since"):
        await previewed(PlanHandle(airlock.client, repeated.id))


async def test_an_export_holds_the_signed_request_for_an_undo_and_verify_checks_it(airlock_with, plan, tmp_path):
    airlock = await airlock_with(**SIGNED)
    handle = await completed(airlock, plan(step("one", "put", key="x", value=1)))
    asked = await asked_for(airlock, handle, ALICE)
    await previewed(asked)
    assert (await approve(asked, PAULA)).accepted
    await asked.result()
    record = (await read_plan(airlock.client, asked.workflow.id, await run_id_of(asked))).record
    notes: list[str] = []
    assert check_seals(record, Openings(), SealReport()) is None
    assert list(authority_faults(record, notes)) == notes == []
    (event,) = [one for one in record.execution.events if one.what == "rollback"]
    where = (handle.plan_id, asked.workflow.id)
    assert [fault for fault, wrong in signed_faults(where, [event], (), []) if wrong] == []
    unsigned = [one.model_copy(update={"signed": None}) if one is event else one for one in record.execution.events]
    bare = record.model_copy(update={"execution": record.execution.model_copy(update={"events": tuple(unsigned)})})
    (fault,) = authority_faults(bare, notes)
    assert "rollback by 'alice' is not signed" in fault
    other = event.model_copy(update={"by": "bob"})
    assert [fault for fault, wrong in signed_faults(where, [other], (), []) if wrong]


async def run_id_of(handle: PlanHandle) -> str:
    return str((await handle.workflow.describe()).run_id)


@pytest.mark.parametrize("by", [ALICE, PAULA], ids=["ssh", "passkey"])
async def test_two_people_sign_the_same_preview_at_the_same_time(airlock_with, plan, by):
    airlock = await airlock_with(**KEYS, decisions={"approve": {"evidence": "signed", "people": 2}})
    handle = await airlock.submit(plan(step("one", "put", key="q", value=1)))
    status = await awaiting(handle)
    both = [await handle.to_sign("approve", by=person.name, digest=status.digest) for person in (by, BOB)]
    assert both[0].statement.nonce == both[1].statement.nonce
    for signed, person in zip(both, (by, BOB), strict=True):
        assert (await handle.decide_signed(signed, person.evidence(signed.statement))).accepted
    assert (await handle.result()).outcome == "completed"
