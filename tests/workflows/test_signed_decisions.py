"""Signatures demanded everywhere, on a real server: a client that has signals and no key achieves nothing."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from airlock.client import Airlock, NoAnswer
from airlock.client.plan_history import read_plan
from airlock.export.hiding import Openings
from airlock.export.lines import AuditEvent
from airlock.export.seal_check import SealReport, check_seals
from airlock.export.signed_check import signed_faults
from airlock.plans.state import State
from airlock.run.audit import AuditKind
from airlock.signing.statement import moment
from tests.signers import PasskeyPerson
from tests.workflows.conftest import awaiting, namespace, signal, step, until, working
from tests.workflows.demanded_signatures import (
    ALICE,
    BOB,
    KEYS,
    PAULA,
    SIGNED,
    approve,
    bombard,
    in_state,
    replays,
    run_id_of,
    say,
)
from tests.workflows.signed_exports import signed_events
from tests.workflows.world import WORLD


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
            with suppress(NoAnswer):  # a busy machine has more to do than to answer in time
                return (await handle.status()).refused == 1_000
            return False

        await until(refused)
        assert (await approve(handle)).accepted
        assert (await handle.result()).outcome == "completed"
    await replays(client, handle.workflow.id)


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
