"""The list of decisions at the live gate: from its histories, with the answer and the key of each, which is checked."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from airlock.base.names import LIVE_GATE
from airlock.client import Airlock
from airlock.client.gate_decisions import GateDecisionLine, GateDecisions, gate_decisions
from airlock.client.live_gate import LiveGate
from airlock.signing.signature_words import fingerprint
from tests.signers import PasskeyPerson, Signer, SshPerson
from tests.workflows.conftest import namespace, until, working

ALICE, EVE, PAULA = SshPerson("alice"), SshPerson("alice"), PasskeyPerson("paula")
KEYS: dict[str, Any] = {
    "authorized_keys": [ALICE.line],
    "passkeys": [PAULA.registered],
    "decisions": {"unlock": {"evidence": "signed"}},
}
Make = Callable[..., Awaitable[Airlock]]


async def message(gate: LiveGate, decision: str, by: Signer, reason: str, scope: str | None = None) -> dict[str, Any]:
    to_sign = await gate.to_sign(decision, by.name, reason, scope)
    evidence = by.evidence(to_sign.statement)
    return {**to_sign.fields, "evidence": evidence.model_dump(mode="json")}


async def listed(airlock: Airlock, number: int, **more: Any) -> dict[str, GateDecisionLine]:
    """Return the decisions by their reasons, once so many have been sent."""
    found = GateDecisions()

    async def there() -> bool:
        nonlocal found
        found = await gate_decisions(airlock.client, **more)
        return len(found.decisions) >= number

    await until(there)
    assert not found.more
    assert [line.at for line in found.decisions] == sorted((line.at for line in found.decisions), reverse=True)
    return {line.reason or line.answer: line for line in found.decisions}


async def test_each_decision_is_listed_with_its_answer_and_its_key(airlock_with: Make) -> None:
    airlock = await airlock_with(**KEYS)
    gate = LiveGate(airlock.client)
    workflow = airlock.client.get_workflow_handle(LIVE_GATE)
    assert (await gate.lock("olga", "unsigned lock")).accepted
    assert not (await gate.unlock("olga", "unsigned unlock")).accepted
    unlock = await message(gate, "unlock", ALICE, "signed unlock")
    assert (await gate.send("unlock", unlock)).accepted
    assert not (await gate.send("unlock", {**unlock, "reason": "signed unlock"})).accepted
    locked = await message(gate, "lock", PAULA, "signed lock", "tool:mail")
    assert (await gate.send("lock", locked)).accepted
    forged = await message(gate, "unlock", EVE, "forged unlock", "tool:mail")
    assert not (await gate.send("unlock", forged)).accepted
    # a lock that needs no evidence counts although its signature is none
    assert (await gate.send("lock", {**(await message(gate, "lock", EVE, "forged lock")), "scope": "tool:pay"})).accepted
    await workflow.signal("lock", {"by": "olga", "reason": "lock by signal", "scope": "agent:a\u202eb"})
    await workflow.signal("lock", {"reason": "no name"})
    await workflow.signal("auto_lock", {"monitor": "monitor-1"})

    found = await listed(airlock, 10)
    plain = found["unsigned lock"]
    assert (plain.decision, plain.by, plain.scope, plain.accepted, plain.signature) == (
        "lock", "olga", None, True, "not signed",
    )  # fmt: skip
    assert found["unsigned unlock"].accepted is False
    assert "it must be signed" in found["unsigned unlock"].answer
    both = [line for line in (await gate_decisions(airlock.client)).decisions if line.reason == "signed unlock"]
    replayed, signed = both
    assert (signed.accepted, signed.signature) == (True, f"signed with the SSH key {fingerprint(ALICE.line)} of 'alice'")
    assert (replayed.accepted, replayed.signed) == (False, None)
    assert "had been used before" in replayed.signature
    assert found["signed lock"].signature.startswith("signed with the passkey ")
    assert found["signed lock"].scope == "tool:mail"
    for name in ("forged unlock", "forged lock"):
        assert found[name].signature.startswith("not signed: the signature was made by none of the keys"), found[name]
        assert found[name].signed is None
    by_signal = found["lock by signal"]
    assert (by_signal.scope, by_signal.accepted) == ("agent:a\u202eb", True), by_signal
    assert any(line.answer.startswith("refused: lock: by") for line in found.values())
    assert any((line.decision, line.by, line.accepted) == ("auto_lock", "monitor-1", None) for line in found.values())
    json.dumps([line.model_dump(mode="json") for line in found.values()])


async def test_the_list_outlives_the_runs_of_the_gate_and_needs_no_worker(dev_server: Any) -> None:
    client = await namespace(dev_server.client, "gatedecisions")
    async with working(client, **KEYS) as airlock:
        gate, workflow = LiveGate(client), client.get_workflow_handle(LIVE_GATE)
        assert (await gate.send("lock", await message(gate, "lock", ALICE, "long ago"))).accepted
        first = (await workflow.describe()).run_id
        for _ in range(10):
            if (await workflow.describe()).run_id != first:
                break
            for number in range(50):  # each is an event or more: the run continues before its history is too long
                await workflow.signal("nonsense", {"number": number})
            await asyncio.gather(*(gate.status() for _ in range(3)))
        assert (await workflow.describe()).run_id != first
        assert (await gate.send("unlock", await message(gate, "unlock", PAULA, "just now"))).accepted

        async def all_listed() -> bool:
            return len((await gate_decisions(client)).decisions) == 2

        await until(all_listed)
        latest = await gate_decisions(client, limit=1)
        assert ([line.reason for line in latest.decisions], latest.more) == (["just now"], True)
        newest = await gate_decisions(client, runs=1)
        assert ([line.reason for line in newest.decisions], newest.more) == (["just now"], True)
    found = await gate_decisions(airlock.client)
    assert [(line.reason, line.signature.split(" of ")[0].rpartition(" ")[0]) for line in found.decisions] == [
        ("just now", "signed with the passkey"),
        ("long ago", "signed with the SSH key"),
    ]
    assert found.runs > 1


async def test_a_namespace_without_a_gate_has_no_decisions(dev_server: Any) -> None:
    client = await namespace(dev_server.client, "nogate")
    assert await gate_decisions(client) == GateDecisions()
