"""Signed amendments on a server: who has signals and no key changes no plan, and an export proves who did."""

from typing import Any

import pytest

from airlock.client import PlanHandle
from airlock.export.signed_check import signed_faults
from airlock.mcp.amendments import NotAmended
from airlock.mcp.amendments import amend as amend_as_agent
from airlock.plans.state import State
from tests.replay.replay import replayer
from tests.signers import PasskeyPerson, Signer, SshPerson
from tests.workflows.conftest import awaiting, namespace, signal, step, until, working
from tests.workflows.signed_exports import signed_events
from tests.workflows.world import WORLD

ALICE, BOB, EVE, PAULA = SshPerson("alice"), SshPerson("bob"), SshPerson("alice"), PasskeyPerson("paula")
SIGNED: dict[str, Any] = {
    "authorized_keys": [ALICE.line, BOB.line],
    "passkeys": [PAULA.registered],
    "decisions": {"amend": {"evidence": "signed"}},
}


def put(name: str, value: int) -> dict[str, Any]:
    return step(name, "put", key=name, value=value)


async def amended(handle: PlanHandle, by: Signer, *steps: dict[str, Any]) -> Any:
    before = await awaiting(handle)
    signed = await handle.to_sign("amend", by=by.name, reason="because", steps=list(steps))
    verdict = await handle.decide_signed(signed, by.evidence(signed.statement))

    async def sealed_again() -> Any:
        status = await handle.status()
        return status if status.state is State.AWAITING_APPROVAL and status.digest != before.digest else None

    if verdict.accepted:
        await until(sealed_again)
    return signed, verdict


async def test_who_has_signals_alone_changes_no_plan_and_who_has_a_key_does(airlock_with, plan, tmp_path):
    airlock = await airlock_with(**SIGNED)
    handle = await airlock.submit(plan(put("one", 1), put("two", 2), requested_by="agent"))
    before = await awaiting(handle)
    bad = {"by": "alice", "reason": "because", "steps": [put("two", 666)]}
    with pytest.raises(NotAmended, match=r"^it must be signed with an SSH key"):
        await amend_as_agent(handle, "agent", [step("two", "put", key="two", value=666)], [], "mine", None)
    forged = await handle.to_sign("amend", **bad)
    honest = await handle.to_sign("amend", **{**bad, "steps": [put("two", 22)]})
    evidence = ALICE.evidence(honest.statement).model_dump(mode="json")
    for sent in (
        bad,
        {**bad, "by": "agent"},
        {**bad, "evidence": EVE.evidence(forged.statement).model_dump(mode="json")},
        {**bad, "evidence": evidence},
        {**bad, "steps": [put("two", 22)], "remove": ["one"], "evidence": evidence},
        {**bad, "steps": [put("two", 22)], "by": "bob", "evidence": evidence},
    ):
        await signal(handle, "amend", sent)

    async def refused() -> bool:
        return (await handle.status()).refused == 7

    await until(refused)
    after = await handle.status()
    assert (after.state, after.digest) == (before.state, before.digest)

    assert (await handle.decide_signed(honest, ALICE.evidence(honest.statement))).accepted

    async def sealed_again() -> bool:
        status = await handle.status()
        return status.state is State.AWAITING_APPROVAL and status.digest != before.digest

    await until(sealed_again)
    again = await handle.decide_signed(honest, ALICE.evidence(honest.statement))
    assert not again.accepted
    assert "has been used" in again.reason
    assert (await amended(handle, PAULA, put("three", 3)))[1].accepted
    digest = (await awaiting(handle)).digest
    assert (await handle.decide("approve", by="bob", digest=digest)).accepted
    assert (await handle.result()).outcome == "completed"
    assert WORLD.state[handle.plan_id] == {"one": 1, "two": 22, "three": 3}
    history = await handle.workflow.fetch_history()
    await replayer(namespace=airlock.client.namespace).replay_workflow(history)
    signed = await signed_events(airlock, tmp_path / "out", signatures=2)
    where = (handle.plan_id, handle.workflow.id)
    assert [event.what for event in signed if event.kind == "decision"] == ["amend", "amend"]
    for event in signed:
        assert event.signed is not None
        other = event.signed.statement.model_copy(update={"amendment": "0" * 64})
        altered = event.model_copy(update={"signed": event.signed.model_copy(update={"statement": other})})
        assert [fault for fault, wrong in signed_faults(where, [altered], (), []) if wrong]
        assert [fault for fault, wrong in signed_faults(where, [event], (), []) if wrong] == []


async def test_the_key_of_today_counts_where_the_policy_has_changed(dev_server, plan):
    client = await namespace(dev_server.client, f"amend-key-{plan()['plan_id']}")
    async with working(client, **SIGNED) as airlock:
        handle = await airlock.submit(plan(put("one", 1)))
        await awaiting(handle)
    async with working(client, **{**SIGNED, "authorized_keys": [BOB.line]}):
        _, refused = await amended(handle, ALICE, put("one", 2))
        assert "no authorized key" in refused.reason
        assert (await amended(handle, BOB, put("one", 3)))[1].accepted
        digest = (await awaiting(handle)).digest
        assert (await handle.decide("approve", by="alice", digest=digest)).accepted
        assert (await handle.result()).outcome == "completed"
    await replayer(namespace=client.namespace).replay_workflow(await handle.workflow.fetch_history())
