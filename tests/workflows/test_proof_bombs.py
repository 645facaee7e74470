"""Messages of a few kilobytes that become megabytes: what a worker's codec keeps of them in one workflow task."""

import zlib

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.converter import DataConverter, WorkflowSerializationContext

from airlock.base.incoming import Undecodable
from airlock.base.keyring import Channel, Keyring
from airlock.temporal.connection import data_converter
from airlock.temporal.proof import CHECKED, MAX_CHECKED, MAX_METADATA, PROOF, Stamp
from airlock.temporal.proof_converter import SentObject
from airlock.wire import PlanStart
from tests.workflows.attacker import plain
from tests.workflows.conftest import step
from tests.workflows.protected import keyring

CONTEXT = WorkflowSerializationContext(namespace="bombs", workflow_id="plan-p")


def of_a_task() -> DataConverter:
    """The converter that a worker makes for one workflow task."""
    return data_converter(keyring("k")).with_context(CONTEXT)


def compressed(payload: Payload) -> Payload:
    return Payload(metadata={"encoding": b"binary/airlock-zlib"}, data=zlib.compress(payload.SerializeToString(), 9))


def bomb(characters: int, **metadata: bytes) -> Payload:
    inner = plain({"by": "m", "reason": " " * characters})
    for name, value in metadata.items():
        inner.metadata["airlock-" + name] = value
    return compressed(inner)


@pytest.mark.parametrize("characters", [400_000, 20_000_000], ids=["as a message may be", "larger"])
@pytest.mark.parametrize("metadata", [{}, {"proof": b"k.k", "kind": b"Release", "by": b"worker"}], ids=["plain", "forged"])
async def test_what_signals_become_is_not_kept_all_at_once(characters, metadata):
    codec = of_a_task().payload_codec
    assert codec is not None
    sent = bomb(characters, **metadata)
    kept = [payload for _ in range(20) for payload in await codec.decode([sent])]
    # the first may be the input of the run, which is large
    assert sum(payload.ByteSize() for payload in kept[1:]) < 1_000_000
    assert not any(Stamp.of(payload).proven for payload in kept)


async def test_the_input_of_a_run_is_read_whatever_signals_come_with_it():
    sender, receiver = data_converter(keyring("k")).with_context(CONTEXT), of_a_task()
    document = {
        "plan_id": "p",
        "goal": "g",
        "requested_by": "r",
        "steps": [step("a", "put", key="k", value="x" * 3_000_000)],
    }
    sent = await sender.encode([PlanStart.model_validate({"plan": document})])
    assert receiver.payload_codec is not None
    (start,) = await receiver.payload_codec.decode(sent)
    (signal,) = await receiver.payload_codec.decode([bomb(20_000_000)])
    (value,) = receiver.payload_converter.from_payloads([start], [object])
    assert Stamp.of(start).proven
    assert len(value["plan"]["steps"][0]["args"]["value"]) == 3_000_000
    (refused,) = receiver.payload_converter.from_payloads([signal])
    assert isinstance(refused, Undecodable)


async def test_a_compressed_message_says_what_its_content_proves_and_not_what_its_cover_claims():
    sender, receiver = data_converter(keyring("k")).with_context(CONTEXT), of_a_task()
    document = {"plan_id": "p", "goal": "g", "requested_by": "r", "steps": [step("a", "put", key="k", value="x" * 90_000)]}
    start = PlanStart.model_validate({"plan": document})
    assert receiver.payload_codec is not None
    (genuine,) = await receiver.payload_codec.decode(await sender.encode([start]))
    cover = bomb(100_000, checked=b"ok", proof=genuine.metadata[PROOF])
    cover.metadata[CHECKED] = b"ok"
    (forged,) = await receiver.payload_codec.decode([cover])
    believed, refused = receiver.payload_converter.from_payloads([genuine, forged])
    assert isinstance(believed, SentObject)
    assert isinstance(refused, SentObject)
    assert (believed.stamp.proven, refused.stamp.proven) == (True, False)


@pytest.mark.parametrize("keys", [keyring("k"), Keyring()], ids=["keys", "no keys"])
@pytest.mark.parametrize("cover", [lambda payload: payload, compressed], ids=["plain", "compressed"])
async def test_metadata_of_thousands_of_entries_are_not_read_and_prove_nothing(keys, cover):
    codec = data_converter(keys).with_context(CONTEXT).payload_codec
    assert codec is not None
    sent = plain({"by": "m"})
    for number in range(MAX_METADATA + 1):
        sent.metadata[f"airlock-{number}"] = b"x"
    (kept,) = await codec.decode([cover(sent)])
    assert not Stamp.of(kept).proven
    assert Stamp.of(kept).unchecked == (not keys.of(Channel.RUN))
    assert len(kept.metadata) <= 2


async def test_of_thousands_of_compressed_messages_in_one_task_a_bounded_number_is_inflated():
    codec = of_a_task().payload_codec
    assert codec is not None
    kept = await codec.decode([bomb(400_000)] * (MAX_CHECKED + 5))
    told = [Stamp.of(payload).checked for payload in kept]
    assert [why for why in told if "not checked" in why] == told[MAX_CHECKED:]
    assert len(told[MAX_CHECKED:]) == 5
    (read,) = of_a_task().payload_converter.from_payloads([kept[-1]])
    assert read["by"] == "m"
    assert not read.stamp.proven
