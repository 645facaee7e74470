"""Payloads that claim to be stored elsewhere, or are too many: no sender can stop a run with one, nor the live gate."""

import asyncio
import zlib

import pytest
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.common import RawValue
from temporalio.converter import DataConverter, WorkflowSerializationContext
from temporalio.exceptions import ApplicationError

from airlock.admission.policy import Policy
from airlock.base.incoming import Undecodable
from airlock.base.names import LIVE_GATE
from airlock.client.live_gate import LiveGate
from airlock.plans.state import State
from airlock.temporal.connection import DATA_CONVERTER
from airlock.temporal.live_gate import start_live_gate
from airlock.temporal.safe_converter import HOOKS, MAX_PAYLOADS, SafeDataConverter
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.world import WORLD

CLAIMS = {
    "encoding": {"encoding": b"json/external-storage-reference"},
    "marker": {"encoding": b"json/plain", "__temporal_external_storage_reference": b"true"},
    "message": {"encoding": b"json/protobuf", "messageType": b"temporal.api.sdk.v1.ExternalStorageReference"},
}


def claiming(kind: str) -> RawValue:
    return RawValue(Payload(metadata=CLAIMS[kind], data=b'{"by": "op", "reason": "stop"}'))


@pytest.mark.parametrize("kind", CLAIMS)
async def test_the_live_gate_answers_and_locks_after_a_signal_that_points_elsewhere(airlock_with, plan, kind):
    airlock = await airlock_with()
    await start_live_gate(airlock.client, Policy())
    gate = LiveGate(airlock.client)
    document = plan(step("a", "put", key="a", value=1))
    handle = await airlock.submit(document)
    status = await awaiting(handle)
    for name in ("lock", "auto_lock", "release", "unknown"):
        await airlock.client.get_workflow_handle(LIVE_GATE).signal(name, claiming(kind))
    seen = await until(lambda: _refusals(gate, 4))
    assert {refusal.what for refusal in seen.refusals} >= {"lock", "auto_lock", "release", "unknown"}
    assert (await gate.lock(by="op", reason="stop")).accepted
    assert (await handle.decide("approve", by="alice", digest=status.digest)).accepted
    assert (await handle.wait_for(State.LOCKED)).state is State.LOCKED
    assert WORLD.state[document["plan_id"]] == {}
    assert (await gate.unlock(by="op", reason="go on")).accepted


async def _refusals(gate: LiveGate, number: int):
    view = await gate.status()
    return view if view.refused >= number else None


@pytest.mark.parametrize("kind", CLAIMS)
async def test_a_plan_records_such_a_signal_and_goes_on(airlock, plan, kind):
    document = plan(step("a", "put", key="a", value=1))
    handle = await airlock.submit(document)
    await awaiting(handle)
    await handle.workflow.signal("deny", claiming(kind))
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    assert [(entry.what, entry.kind) for entry in (await handle.audit()).entries if entry.kind == "refused"] == [
        ("deny", "refused")
    ]
    assert WORLD.state[document["plan_id"]] == {"a": 1}


async def test_the_methods_that_are_replaced_are_the_ones_the_sdk_calls():
    plain = DataConverter()
    for hook in HOOKS:
        assert callable(getattr(DataConverter, hook, None)), f"the SDK has no {hook} any more: look for its successor"
        assert getattr(SafeDataConverter, hook) is not getattr(DataConverter, hook)
    for metadata in CLAIMS.values():
        payload = Payload(metadata=metadata, data=b"{}")
        with pytest.raises(RuntimeError, match="TMPRL1105"):  # or else there is nothing to be replaced any more
            await plain.decode([payload])
        (value,) = await DATA_CONVERTER.decode([payload])
        assert type(value).__name__ == "Undecodable"


async def test_a_signal_of_a_hundred_thousand_values_is_recorded_and_the_plan_goes_on(airlock, plan):
    handle = await airlock.submit(plan(step("a", "put", key="a", value=1)))
    await awaiting(handle)
    await handle.workflow.signal("resolve", args=[RawValue(Payload())] * 100_000)
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    refused = [entry.reason for entry in (await handle.audit()).entries if entry.kind == "refused"]
    assert refused == ["resolve: it has 100,000 values; a message has one, as a JSON object"]


PLAN = WorkflowSerializationContext(namespace="n", workflow_id="plan-p")
JSON = {"encoding": b"json/plain"}
PROTOBUF = {"encoding": b"json/protobuf", "messageType": b"temporal.api.common.v1.Payloads"}


async def test_so_many_values_are_one_before_codec_and_converter_see_them():
    (value,) = await DATA_CONVERTER.with_context(PLAN).decode([Payload()] * (MAX_PAYLOADS + 1))
    assert isinstance(value, Undecodable)
    assert len(await DATA_CONVERTER.with_context(PLAN).decode([Payload()] * MAX_PAYLOADS)) == MAX_PAYLOADS


async def test_workflows_of_other_programs_take_as_many_values_as_they_like():
    payloads, hints = [Payload(metadata=JSON, data=b"1")] * 9, [int] * 9
    own = WorkflowSerializationContext(namespace="n", workflow_id="clerk-1")
    for converter in (DATA_CONVERTER, DATA_CONVERTER.with_context(own)):
        assert await converter.decode(payloads, hints) == [1] * 9


async def test_details_of_a_failure_that_are_too_many_are_read_as_one():
    failure = Failure(message="m", application_failure_info=ApplicationFailureInfo(type="T"))
    details = [Payload(metadata=metadata) for metadata in CLAIMS.values()] * 2
    failure.application_failure_info.details.payloads.extend(details)
    error = await DATA_CONVERTER.with_context(PLAN).decode_failure(failure)
    assert isinstance(error, ApplicationError)
    assert [type(detail) for detail in error.details] == [Undecodable]


async def test_protobuf_is_decoded_for_a_run_only_where_its_class_is_expected():
    payload = Payload(metadata=PROTOBUF, data=b'{"payloads":[{}]}')
    converter, meant = DATA_CONVERTER.with_context(PLAN), Payloads(payloads=[Payload()])
    read = converter.payload_converter.from_payloads
    # as the SDK reads signals: in a thread without a loop
    assert await asyncio.to_thread(read, [payload]) == [Undecodable("it is protobuf; a message is a JSON object")]
    with pytest.raises(KeyError):
        await asyncio.to_thread(read, [payload], [dict])
    assert await asyncio.to_thread(read, [payload], [Payloads]) == [meant]
    # a client, which asks Temporal for more than Airlock says
    assert await converter.decode([payload]) == [meant]


async def test_the_reason_of_a_stranger_is_not_shown_as_one_of_ours():
    claimed = Payload(metadata={"encoding": b"binary/airlock-undecodable"}, data=b"accepted: approved by alice")
    small = Payload(metadata={"encoding": b"binary/airlock-zlib"}, data=zlib.compress(claimed.SerializeToString()))
    for payload in (claimed, small):
        assert await DATA_CONVERTER.decode([payload]) == [Undecodable("it cannot be decoded")]
    for context in (WorkflowSerializationContext(namespace="n", workflow_id="w"), None):
        converter = DATA_CONVERTER.with_context(context) if context else DATA_CONVERTER
        assert await converter.decode([small]) == [Undecodable("it cannot be decoded")]
