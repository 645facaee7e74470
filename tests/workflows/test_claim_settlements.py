"""Settlements of claims that no worker has read: waited for, then in doubt, and never free by mistake."""

import asyncio
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.worker import Worker

from airlock.base import names
from airlock.gates.protocol import AcquireRequest, ClaimOutcome
from airlock.temporal import claims
from airlock.temporal.claims import settle, take
from airlock.worker.roles import patient, runner
from airlock.workflows.gates.claim import ClaimWorkflow
from airlock.workflows.interceptors import SafeSignals
from tests.running import running
from tests.workflows.claimed_calls import NUMBERS, a_call, a_holder, leaves, wants
from tests.workflows.conftest import namespace


async def test_no_worker_closes_the_claim_in_time(dev_server, monkeypatch):
    monkeypatch.setattr(claims, "SETTLE_SECONDS", 0.2)
    client = await namespace(dev_server.client, f"claims{next(NUMBERS)}")
    holder = await a_holder(client)
    digest = a_call()
    await take(client, wants(holder.id, ("send", digest)))
    await holder.terminate("test")
    with pytest.raises(claims.ClaimUnsettled, match="no worker has closed it yet"):
        await take(client, wants("plan-x", ("mine", digest)))


@pytest.fixture
async def unread(dev_server, monkeypatch):
    """Let a holder settle a claim and end, where no worker reads that; its history would leave its call in doubt."""

    async def yes(*asked: Any) -> bool:
        return True

    monkeypatch.setattr(claims, "may_have_called", yes)
    client = await namespace(dev_server.client, f"claims{next(NUMBERS)}")

    async def settled(outcome: ClaimOutcome) -> tuple[Client, Any, AcquireRequest]:
        holder, digest = await a_holder(client), a_call()
        await take(client, wants(holder.id, ("send", digest)))
        await settle(client, leaves(holder.id, "send", digest, outcome))
        await holder.terminate("it has ended")
        return client, holder, wants("plan-x", ("mine", digest))

    return settled


@pytest.mark.parametrize("outcome", [ClaimOutcome.DONE, ClaimOutcome.FREE])
async def test_a_settlement_that_no_worker_has_read_yet_is_no_doubt(unread, monkeypatch, outcome):
    monkeypatch.setattr(claims, "READ_SECONDS", 60.0)
    client, holder, wanted = await unread(outcome)
    asking = asyncio.create_task(take(client, wanted))
    worker = Worker(
        client, task_queue=names.WORKFLOW_QUEUE, workflows=[ClaimWorkflow], workflow_runner=runner(),
        interceptors=[SafeSignals()],
    )  # fmt: skip
    async with running([patient(worker)]):
        claimed, duplicates = await asyncio.wait_for(asking, 90)
    if outcome is ClaimOutcome.FREE:
        assert (list(claimed), duplicates) == (["mine"], {})
    else:
        assert not claimed
        assert duplicates["mine"].startswith(f"{holder.id} made this call on"), duplicates


async def test_a_claim_that_no_worker_reads_stays_in_doubt(unread, monkeypatch):
    monkeypatch.setattr(claims, "READ_SECONDS", 0.2)
    client, _, wanted = await unread(ClaimOutcome.DONE)
    assert "it is in doubt" in (await take(client, wanted))[1]["mine"]
