"""Answers of a few kilobytes that become megabytes: one that does not count is neither kept nor decoded."""

import asyncio
import itertools

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.converter import ActivitySerializationContext, DataConverter

from airlock.client.live_gate import LiveGate
from airlock.plans.outcome import CallSucceeded
from airlock.run.live.call_messages import ChainResult
from airlock.temporal.connection import data_converter
from airlock.temporal.live_gate import start_live_gate
from airlock.temporal.proof import Stamp
from airlock.temporal.proof_converter import ProofConverter, Unproven, _Question
from tests.workflows.protected import LONG_AGO, keyring, place
from tests.workflows.test_proof_bombs import compressed

_NUMBERS = itertools.count(1)
CONTEXT = ActivitySerializationContext(
    namespace="bombs", workflow_id="plan-p", workflow_type="PlanWorkflow", activity_id="a:live", activity_type="call",
    activity_task_queue="airlock-live", is_local=False,
)  # fmt: skip


def of_lists(count: int, **metadata: bytes) -> Payload:
    inner = Payload(metadata={"encoding": b"json/plain"}, data=b"[" + b",".join([b"[]"] * count) + b"]")
    for name, value in metadata.items():
        inner.metadata["airlock-" + name] = value
    return compressed(inner)


def of_an_activity() -> DataConverter:
    """The converter that a worker makes for the answer to a question of a workflow."""
    return data_converter(keyring("k")).with_context(CONTEXT)


@pytest.mark.parametrize("metadata", [{}, {"proof": b"k.k", "by": b"activity", "ask": b"1:1"}], ids=["plain", "forged"])
async def test_what_answers_become_is_not_kept(metadata):
    sent = of_lists(1_000_000, **metadata)
    codec = of_an_activity().payload_codec
    assert codec is not None
    kept = [payload for _ in range(20) for payload in await codec.decode([sent])]
    assert sum(payload.ByteSize() for payload in kept) < 1_000_000
    assert not any(Stamp.of(payload).proven for payload in kept)


async def test_a_genuine_answer_is_read_however_large_it_is():
    output = {"text": "x" * 300_000}
    said = ChainResult(attempts=(CallSucceeded(step="a", output=output, seconds=0.1),))
    (payload,) = await of_an_activity().encode([said])
    converter = of_an_activity()
    assert converter.payload_codec is not None
    (received,) = await converter.payload_codec.decode([payload])
    (read,) = converter.payload_converter.from_payloads([received], [ChainResult])
    assert Stamp.of(received).proven
    assert read == said


@pytest.mark.parametrize("hints", [[ChainResult], None], ids=["an answer", "details of a failure"])
async def test_an_answer_that_does_not_count_is_not_decoded(hints):
    codec, converter = of_an_activity().payload_codec, ProofConverter(keyring("k").demands).with_context(CONTEXT)
    converter._questions.latest["a:live"] = _Question(ask="1:1", asked_at=LONG_AGO)
    assert codec is not None
    (received,) = await codec.decode([of_lists(1_000)])
    (read,) = converter.from_payloads([received], hints)
    assert read == Unproven("it carries no proof"), "why it cannot be decoded must not even be known"


async def test_a_gate_that_was_answered_with_what_becomes_large_is_replayed_and_locked(dev_server):
    where = await place(dev_server.client, f"answers{next(_NUMBERS)}", keyring("k"))
    gate, bomb = LiveGate(where.airlock.client), of_lists(7_000_000)
    async with where.working():
        await start_live_gate(where.workers, where.policy)
        for _ in range(3):
            where.holding.hold("policy_now")
            asked = asyncio.create_task(gate.lock("olga", "stop"))
            await where.answered_for("policy_now", bomb)
            await asyncio.wait_for(asked, 60)
    async with where.working():  # without what the workers before remember
        view = await asyncio.wait_for(gate.status(), 60)
        assert view is not None
        assert view.locks
