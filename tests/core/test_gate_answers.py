"""Answers of gates across versions: recorded answers read, old readers read new answers, and a wrong kind is refused."""

import base64
import json
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from temporalio.converter import WorkflowSerializationContext

from airlock.activities.gates import GateActivities
from airlock.base.keyring import Channel, Demands
from airlock.base.model import WorkerMessage
from airlock.gates.answers import (
    AcquireBusy,
    AcquireClosed,
    AcquireDenied,
    AcquireGranted,
    AcquireQueued,
    AcquireRefused,
    AcquireResult,
    GateAnswer,
    GateBusy,
    GateClosed,
    OverBudget,
    SlotGranted,
    SlotQueued,
)
from airlock.gates.protocol import ClosedGate, EntryRefused, GateWait, HeldSlot
from airlock.run.live.gate_reactions import late_refusal
from airlock.temporal.proof_converter import ProofConverter, UnprovenAnswer

HISTORIES = Path(__file__).parents[1] / "replay" / "histories"
# the type that Temporal decodes with: it reads hints without extras, which strips `Annotated`
RESULTS: TypeAdapter[AcquireResult] = TypeAdapter(get_type_hints(GateActivities.acquire)["return"])
ANSWERS: TypeAdapter[GateAnswer] = TypeAdapter(GateAnswer)
ROW = HeldSlot(gate="gate-resource-1", name="row:a", fence=7)
WAIT = GateWait(gate="gate-live", name="live", position=2, holders=("plan-x",))
OLD_RESULT: dict[str, Any] = {"held": [ROW.model_dump()], "waiting": None, "busy": None, "closed": None, "refused": ""}
OLD_RESULT |= {"claimed": {}, "duplicates": {}}
DENIAL = EntryRefused(kind="never", why="the policy of live forbids it")
OLD_ANSWER = {"fence": 0, "slots": 0, "position": 0, "holders": [], "by": "", "why": ""}


class OldResult(BaseModel):
    """`AcquireResult` as a worker of version 0.1 declares it."""

    held: tuple[HeldSlot, ...] = ()
    waiting: GateWait | None = None
    busy: GateWait | None = None
    closed: ClosedGate | None = None
    refused: str = ""
    claimed: dict[str, str] = {}
    duplicates: dict[str, str] = {}


class OldAnswer(BaseModel):
    """`GateAnswer` as a worker of version 0.1 declares it."""

    status: str
    fence: int = 0
    slots: int = 0
    position: int = 0
    holders: tuple[str, ...] = ()
    by: str = ""
    why: str = ""


RESULT_OF_EACH_KIND: list[tuple[AcquireResult, dict[str, Any]]] = [
    (AcquireGranted(held=(ROW,), claimed={"a": "claim-1"}, duplicates={"b": "plan-x made it"}), {}),
    (AcquireQueued(held=(ROW,), waiting=WAIT), {"waiting": WAIT}),
    (AcquireBusy(held=(ROW,), busy=WAIT), {"busy": WAIT}),
    (
        AcquireClosed(held=(ROW,), closed=ClosedGate(by="olga", reason="stop")),
        {"closed": ClosedGate(by="olga", reason="stop")},
    ),
    (AcquireRefused(held=(ROW,), refused="over budget"), {"refused": "over budget"}),
]
ANSWER_OF_EACH_STATUS: list[tuple[GateAnswer, dict[str, Any]]] = [
    (SlotGranted(fence=9, slots=2), {"status": "granted", "fence": 9, "slots": 2}),
    (SlotQueued(position=3, holders=("plan-x",)), {"status": "queued", "position": 3, "holders": ("plan-x",)}),
    (GateBusy(holders=("plan-x",), why="full"), {"status": "busy", "holders": ("plan-x",), "why": "full"}),
    (GateClosed(by="olga", why="stop"), {"status": "closed", "by": "olga", "why": "stop"}),
    (OverBudget(why="12 calls"), {"status": "over_budget", "why": "12 calls"}),
]


def payload_of(payload: dict[str, Any]) -> Any:
    data = base64.b64decode(payload["data"])
    packed = base64.b64decode(payload["metadata"]["encoding"]) == b"binary/airlock-zlib"
    return json.loads(zlib.decompress(data) if packed else data)


def recorded_results(name: str) -> list[Any]:
    """Return the results of the activity `acquire` in a recorded history."""
    events = json.loads((HISTORIES / f"{name}.json").read_text(encoding="utf-8"))["events"]
    asked = {
        event["eventId"]
        for event in events
        if event.get("activityTaskScheduledEventAttributes", {}).get("activityType", {}).get("name") == "acquire"
    }
    ended = [event.get("activityTaskCompletedEventAttributes", {}) for event in events]
    return [payload_of(each["result"]["payloads"][0]) for each in ended if each.get("scheduledEventId") in asked]


def recorded_answers(name: str) -> list[Any]:
    """Return the answers of the update `acquire` in the recorded history of a gate."""
    events = json.loads((HISTORIES / f"{name}.json").read_text(encoding="utf-8"))["events"]
    ended = [event.get("workflowExecutionUpdateCompletedEventAttributes") for event in events]
    return [payload_of(each["outcome"]["success"]["payloads"][0]) for each in ended if each]


def test_a_recorded_wait_reads_as_queued_and_the_grant_after_it_as_granted() -> None:
    old = recorded_results("waited-at-a-gate")
    assert all("kind" not in payload for payload in old), "the history is from version 0.1"
    queued, granted = [RESULTS.validate_python(payload) for payload in old]
    assert isinstance(queued, AcquireQueued)
    assert (queued.waiting.name, queued.waiting.holders) == ("shared:replayed", ("plan-replay-waited-at-a-gate-other",))
    assert isinstance(granted, AcquireGranted)
    assert [held.name for held in granted.held] == ["shared:replayed", "narrow", "live"]


def test_a_recorded_duplicate_reads_as_granted_with_the_reason() -> None:
    (old,) = recorded_results("left-out-as-a-duplicate")
    result = RESULTS.validate_json(json.dumps(old))
    assert isinstance(result, AcquireGranted)
    assert "made this call" in result.duplicates["mail"]


@pytest.mark.parametrize(("name", "kinds"), [("gate-resource", {SlotGranted, SlotQueued}), ("gate-live", {SlotGranted})])
def test_recorded_answers_of_a_gate_read(name: str, kinds: set[type]) -> None:
    old = recorded_answers(name)
    assert {type(ANSWERS.validate_python(payload)) for payload in old} == kinds
    assert all(OLD_ANSWER.keys() <= payload.keys() for payload in old), "the history is from version 0.1"


@pytest.mark.parametrize(("result", "fields"), RESULT_OF_EACH_KIND)
def test_an_old_result_reads_as_its_kind_and_a_new_one_comes_back(result: AcquireResult, fields: dict[str, Any]) -> None:
    old = OLD_RESULT | {field: getattr(value, "model_dump", lambda value=value: value)() for field, value in fields.items()}
    if isinstance(result, AcquireGranted):
        old |= {"claimed": result.claimed, "duplicates": result.duplicates}
    assert RESULTS.validate_python(old) == result
    assert RESULTS.validate_json(json.dumps(old)) == result
    assert RESULTS.validate_json(RESULTS.dump_json(result)) == result


@pytest.mark.parametrize(("result", "fields"), RESULT_OF_EACH_KIND)
def test_an_old_workflow_worker_takes_no_new_answer_for_a_grant(result: AcquireResult, fields: dict[str, Any]) -> None:
    old = OldResult.model_validate_json(RESULTS.dump_json(result))
    read = {name: value for name in ("waiting", "busy", "closed", "refused") if (value := getattr(old, name))}
    assert read == fields
    assert old.held == (ROW,)
    assert (old.claimed, old.duplicates) == (getattr(result, "claimed", {}), getattr(result, "duplicates", {}))


@pytest.mark.parametrize(("answer", "fields"), ANSWER_OF_EACH_STATUS)
def test_an_answer_crosses_versions_in_both_directions(answer: GateAnswer, fields: dict[str, Any]) -> None:
    assert ANSWERS.validate_json(json.dumps(OLD_ANSWER | fields)) == answer
    assert OldAnswer.model_validate_json(ANSWERS.dump_json(answer)) == OldAnswer.model_validate(OLD_ANSWER | fields)
    assert ANSWERS.validate_json(ANSWERS.dump_json(answer)) == answer


def test_a_denial_reads_back_and_locks_the_run_on_an_old_worker() -> None:
    denied = AcquireDenied(held=(ROW,), refusal=DENIAL)
    assert RESULTS.validate_json(RESULTS.dump_json(denied)) == denied
    assert OldResult.model_validate_json(RESULTS.dump_json(denied)).refused == "the policy of live forbids it"
    unsaid = AcquireDenied(refusal=EntryRefused(kind="stale", why=""))
    assert OldResult.model_validate_json(RESULTS.dump_json(unsaid)).refused, "an empty reason must not read as a grant"


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "unheard-of"}, {"kind": "queued"}, {"kind": "refused", "refused": ""}, {"kind": None}, "granted", None],
)
def test_a_result_of_no_known_kind_is_never_a_grant(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        RESULTS.validate_python(wrong)


@pytest.mark.parametrize("wrong", [{}, {"status": "unheard-of"}, {"status": "granted"}, {"status": "closed", "by": "olga"}])
def test_an_answer_of_no_known_status_is_never_a_grant(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        ANSWERS.validate_python(wrong)


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (AcquireGranted(held=(ROW,)), ""),
        (AcquireQueued(waiting=WAIT), "it needs live, and is in the queue for it"),
        (AcquireBusy(busy=WAIT), "it needs live, which plan-x holds at the moment"),
        (AcquireClosed(closed=ClosedGate(by="olga", reason="stop")), "it needs a gate that olga closed: stop"),
        (AcquireRefused(refused="over budget"), "over budget"),
        (AcquireDenied(refusal=DENIAL), "the policy of live forbids it"),
    ],
)
def test_a_late_call_is_made_only_when_all_was_granted(result: AcquireResult, why: str) -> None:
    assert late_refusal(result) == why


@pytest.mark.parametrize("hint", [GateAnswer, AcquireResult, SlotGranted])
def test_an_unproven_answer_of_a_gate_is_refused_where_proofs_are_demanded(hint: Any) -> None:
    context = WorkflowSerializationContext(namespace="default", workflow_id="gate-live")
    payloads = ProofConverter().with_context(context).to_payloads([SlotGranted(fence=1, slots=1)])
    demanding = Demands(channels=frozenset({Channel.RUN}), since=datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(UnprovenAnswer):
        ProofConverter(demanding).with_context(context).from_payloads(payloads, [hint])
    if hint is not AcquireResult:
        assert ProofConverter().with_context(context).from_payloads(payloads, [hint]) == [SlotGranted(fence=1, slots=1)]


def test_every_member_of_both_unions_is_a_message_of_workers() -> None:
    members = (*get_args(AcquireResult), *get_args(get_args(GateAnswer)[0]))
    assert len(members) == 11
    assert all(issubclass(member, WorkerMessage) for member in members)
