"""Floods of signals that any client can send: the live gate answers all the same, and says what it did not do."""

import asyncio
import itertools
from typing import Any

from airlock.admission.policy import Policy
from airlock.base import names
from airlock.client.live_gate import LiveGate
from airlock.temporal.live_gate import start_live_gate
from tests.workflows.protected import Place, keyring, place

_NUMBERS = itertools.count(1)


async def flood(where: Place, workflow_id: str, signal: str, said: Any, times: int) -> None:
    """Send the same signal many times."""
    run, few = where.attacker.client.get_workflow_handle(workflow_id), asyncio.Semaphore(50)

    async def send() -> None:
        async with few:
            await run.signal(signal, said)

    await asyncio.gather(*(send() for _ in range(times)))


async def test_a_gate_answers_after_more_wishes_for_a_lock_than_temporal_allows_activities(dev_server):
    where = await place(dev_server.client, f"floods{next(_NUMBERS)}", keyring("k"))
    await start_live_gate(where.airlock.client, Policy())
    await flood(where, names.LIVE_GATE, "auto_lock", {"monitor": names.monitor_id(0)}, 2_050)
    async with where.working():
        gate = LiveGate(where.airlock.client)
        assert (await gate.lock(by="op", reason="stop")).accepted
        assert [lock.reason for lock in (await gate.status()).locks] == ["stop"]
