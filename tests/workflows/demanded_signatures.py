"""A policy that demands signatures everywhere, people with keys, and a client without one that tries everything."""

from typing import Any

from temporalio.client import Client

from airlock.client import PlanHandle
from airlock.client.signing import ToSign
from airlock.plans.state import State
from tests.replay.replay import replayer
from tests.signers import PasskeyPerson, Signer, SshPerson
from tests.workflows.conftest import awaiting, signal, until

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


async def run_id_of(handle: PlanHandle) -> str:
    return str((await handle.workflow.describe()).run_id)
