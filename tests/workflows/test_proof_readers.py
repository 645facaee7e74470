"""People read everything as before, workers believe only workers, and proofs cost nothing."""

import itertools
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import SerializationContext, WorkflowSerializationContext
from temporalio.worker import Worker

from airlock.base import names
from airlock.base.keyring import Keyring
from airlock.gates.protocol import Release
from airlock.temporal import proof
from airlock.temporal.connection import data_converter
from airlock.temporal.proof_converter import Progress, SentObject
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)


@pytest.fixture
async def made_place(dev_server) -> Callable[..., Awaitable[Place]]:
    async def make(keys: Keyring, **policy: object) -> Place:
        return await place(dev_server.client, f"readers{next(_NUMBERS)}", keys, **policy)

    return make


async def carried_out(where: Place, document: dict[str, Any]):
    handle = await where.airlock.submit(document)
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    return handle


async def test_what_people_read_carries_no_proof_and_what_workers_say_does(made_place, plan):
    """The Temporal CLI shows a payload as JSON only where `encoding` is all its metadata."""
    where = await made_place(keyring("k"))
    document = plan(step("a", "put", key="a", value=1))
    async with where.working():
        handle = await carried_out(where, document)
        raw = where.attacker.client.get_workflow_handle(handle.workflow.id)
        for query in ("status", "preview", "audit"):
            seen: RawValue = await raw.query(query, result_type=RawValue)
            assert dict(seen.payload.metadata) == {"encoding": b"json/plain"}, query
        seen = await raw.query("carry", result_type=RawValue)
        assert seen.payload.metadata["airlock-kind"] == b"Run"
        assert seen.payload.metadata["airlock-by"] == b"workflow"
        assert (await checked(where, handle.workflow.id, seen.payload)).proven
        assert not (await checked(where, "plan-other", seen.payload)).proven
    events = await where.attacker.events(handle.workflow.id)
    for event in events:
        started = event.workflow_execution_started_event_attributes
        scheduled = event.activity_task_scheduled_event_attributes
        answered = event.activity_task_completed_event_attributes
        signalled = event.workflow_execution_signaled_event_attributes
        people = [*started.input.payloads, *signalled.input.payloads]
        people += event.workflow_execution_completed_event_attributes.result.payloads
        assert all(set(payload.metadata) == {"encoding"} for payload in people)
        for payload in [*scheduled.input.payloads, *answered.result.payloads]:
            assert {"airlock-proof", "airlock-by", "airlock-ask", "airlock-run", "airlock-kind"} <= set(payload.metadata)
            assert payload.metadata["encoding"] == b"json/plain"
            json.loads(payload.data)


async def checked(where: Place, workflow_id: str, payload: Payload) -> proof.Stamp:
    """Return the stamp that a worker finds on a payload, as one of that workflow."""
    context: SerializationContext = WorkflowSerializationContext(where.workers.namespace, workflow_id)
    codec = where.workers.data_converter.with_context(context).payload_codec
    assert codec is not None
    return proof.Stamp.of((await codec.decode([payload]))[0])


async def test_without_keys_nothing_carries_more_than_before(made_place, plan):
    where = await made_place(Keyring())
    async with where.working():
        handle = await carried_out(where, plan(step("a", "put", key="a", value=1)))
    for event in await where.attacker.events(handle.workflow.id):
        for payload in [
            *event.activity_task_scheduled_event_attributes.input.payloads,
            *event.activity_task_completed_event_attributes.result.payloads,
        ]:
            assert set(payload.metadata) == {"encoding"}


async def test_proofs_cost_no_event(made_place, plan):
    found = []
    for keys in (Keyring(), keyring("k")):
        where = await made_place(keys)
        async with where.working():
            handle = await carried_out(where, plan(step("a", "put", key="a", value=1), step("b", "send", ("a",), to="jo")))
        events = await where.attacker.events(handle.workflow.id)
        found.append(Counter(EventType.Name(event.event_type) for event in events))
    billed = ("ACTIVITY_TASK_SCHEDULED", "TIMER_STARTED", "MARKER_RECORDED", "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES")
    without, with_keys = ([each[f"EVENT_TYPE_{name}"] for name in billed] for each in found)
    assert with_keys == without
    assert found[1].total() <= found[0].total() + 3  # a workflow task more or less, as answers happen to come together


@workflow.defn(name=names.GATE_WORKFLOW, sandboxed=False)
class FakeGate:
    """An attacker's own gate on the attacker's own worker: it lets everybody in, whatever is locked."""

    @workflow.run
    async def run(self, start: Any) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.update
    async def acquire(self, wanted: Any) -> Any:
        return {"status": "granted", "fence": 1, "slots": 1}


@pytest.mark.parametrize("keys", [keyring("k"), Keyring()], ids=["keys", "no keys"])
async def test_the_word_of_a_gate_that_is_not_airlocks_opens_nothing(made_place, plan, keys):
    where = await made_place(keys)
    document = plan(step("a", "put", key="a", value=1))
    attacker: Client = await Client.connect(
        where.workers.service_client.config.target_host, namespace=where.workers.namespace,
        data_converter=pydantic_data_converter,
    )  # fmt: skip
    await attacker.start_workflow(names.GATE_WORKFLOW, {}, id=names.LIVE_GATE, task_queue="mallory")
    async with Worker(attacker, task_queue="mallory", workflows=[FakeGate]), where.working():
        handle = await where.airlock.submit(document)
        status = await awaiting(handle)
        assert (await handle.decide("approve", by="alice", digest=status.digest)).accepted
        if not keys.keys:  # what the keys are for
            assert (await handle.result()).outcome == "completed"
            return
        failure = await until(lambda: acquire_failure(where, handle.workflow.id))
        assert "no worker of Airlock is known to have made this answer" in failure
        assert WORLD.attempts[f"{document['plan_id']}/a"] == 0
        await attacker.get_workflow_handle(names.LIVE_GATE).terminate()
        await handle.workflow.terminate()


async def acquire_failure(where: Place, workflow_id: str) -> str:
    found = await where.attacker.client.get_workflow_handle(workflow_id).describe()
    pending = [each for each in found.raw_description.pending_activities if each.activity_type.name == "acquire"]
    return pending[0].last_failure.message if pending else ""


async def test_a_workflow_knows_what_a_worker_sent_from_what_a_person_sent():
    """Gates and claims will go by this: the value that the SDK hands them says what is proved about it."""
    workers, people = data_converter(keyring("k")), data_converter()
    context = WorkflowSerializationContext("default", "gate-x")
    inside = workers.with_context(context)
    release = Release(holder="plan-x", request="1")
    for sender, proven in ((workers.with_context(context), True), (people, False)):
        (payload,) = await sender.encode([release])
        assert inside.payload_codec is not None
        (value,) = inside.payload_converter.from_payloads(await inside.payload_codec.decode([payload]))
        assert isinstance(value, SentObject)
        assert value == release.model_dump(mode="json")
        assert value.stamp.proven is proven
        if proven:
            assert (value.stamp.by, value.stamp.kind) == ("worker", "Release")
    other = workers.with_context(WorkflowSerializationContext("default", "gate-y"))
    (payload,) = await workers.with_context(context).encode([release])
    assert other.payload_codec is not None
    (value,) = other.payload_converter.from_payloads(await other.payload_codec.decode([payload]))
    assert not value.stamp.proven


async def test_a_raw_payload_is_not_proved_in_the_words_of_its_sender():
    converter = data_converter(keyring("k")).with_context(WorkflowSerializationContext("default", "gate-x"))
    metadata = {"encoding": b"json/plain", "airlock-kind": b"GateAnswer", "airlock-by": b"activity"}
    sent = Payload(metadata=metadata, data=b"{}")
    (passed_on,) = await converter.encode([RawValue(sent)])
    assert set(passed_on.metadata) == {"encoding"}


async def test_progress_is_a_list_on_the_wire():
    (payload,) = await data_converter(keyring("k")).encode([Progress([{"step": "a"}])])
    assert payload.data == b'[{"step":"a"}]'
    assert payload.metadata["airlock-kind"] == b"Progress"
    (value,) = await data_converter().decode([payload])
    assert value == [{"step": "a"}]
