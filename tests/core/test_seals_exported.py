"""`approvals.jsonl`: every digest can be computed again from the line alone, and every lie about a decision is named."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from airlock.base.canonical import canonical_json
from airlock.export.approvals import SealLine
from airlock.export.first_version import as_first_version
from airlock.export.ledger import line_text
from airlock.export.plan_lines import plan_record
from airlock.export.seal_traces import MAX_MESSAGE, stored_message
from airlock.export.verification import read_line
from airlock.run.audit import AuditKind
from airlock.run.sealing.kept_seals import MAX_SEALS
from tests.core.build import NOW, awaiting, live, live_run, plan, rehearse, say, step
from tests.core.build import call as made_call
from tests.core.export_build import PUBLIC_KEY, RUNS, completed, denied, records, resealed, rolled_back, trace
from tests.core.exported_seals import LIES, _decision, checked, places, relinked


@pytest.mark.parametrize("make", [*RUNS, resealed])
def test_the_digest_is_the_sha256_of_the_content_as_it_stands_in_the_line(make: Any) -> None:
    record = plan_record(trace(make()))
    message, report = checked(record)
    assert message is None
    assert report.recomputed == len(record.seals) == record.execution.seals
    for seal in record.seals:
        line = line_text(seal)
        assert read_line(line.encode(), SealLine) == seal
        told = json.loads(line)
        text = json.dumps(told["content"], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        assert hashlib.sha256(text.encode()).hexdigest() == told["digest"]
        policy = json.dumps(told["policy"], sort_keys=True, separators=(",", ":"))
        assert hashlib.sha256(policy.encode()).hexdigest() == told["content"]["policy_hash"]
        assert {one["contract_hash"] for one in told["content"]["steps"]} == told["contracts"].keys()


def test_a_plan_that_was_sealed_twice_has_both_seals_and_the_signed_approval_of_the_second() -> None:
    record = plan_record(trace(resealed()))
    first, second = record.seals
    assert (first.replaced, second.replaced) == ("the plan was locked", None)
    assert second.content is not None
    assert second.content["replaces"] == first.digest
    (refused,), (approval,) = first.decisions, second.decisions
    assert (refused.counted, refused.decision, refused.steps, refused.key) == (False, "approve", (), PUBLIC_KEY)
    assert (approval.counted, approval.by, approval.steps, approval.key) == (True, "boss", ("a", "b"), PUBLIC_KEY)
    assert approval.stored_at is not None
    assert approval.stored_at < approval.recorded_at
    assert [(one.step, one.approved_by) for one in second.by_step] == [("a", ("boss",)), ("b", ("boss",))]
    assert checked(record)[1].signatures == 2


def test_every_entry_has_both_phase_ids_and_every_call_its_seal() -> None:
    record = plan_record(trace(resealed()))
    lines = (record.execution, *record.events, *record.seals)
    assert len(lines) > 10
    assert {(line.phase21_plan_id, line.phase22_validation_id) for line in lines} == {("21-a", "22-b")}
    calls = [event for event in record.execution.events if event.kind in (AuditKind.CALL, AuditKind.DRIFT)]
    assert {event.seal for event in calls} == {record.seals[1].digest}
    assert len(calls) == 2
    undone = plan_record(trace(rolled_back()))
    assert {line.seal for line in undone.rollbacks} == {undone.seals[0].digest}
    assert "phase21_plan_id" not in line_text(undone.execution)


def test_votes_and_denials_are_counted_for_each_step() -> None:
    run = awaiting(plan(step("a"), step("b", "read")))
    say(run, "approve", steps=["b"])
    made_call(run, live("b"))
    source = trace(run)
    told = [(one.step, one.votes, one.denials) for one in plan_record(source).execution.result.tool_results]
    assert told == [("a", 1, 0), ("b", 1, 0)]  # the message of the trace names no steps: it approves all
    entries = [
        one.model_copy(update={"stored": one.stored.model_copy(update={"content": {**one.stored.content, "steps": ["b"]}})})
        if one.stored is not None and isinstance(one.stored.content, dict)
        else one
        for one in source.entries
    ]
    record = plan_record(source.model_copy(update={"entries": tuple(entries)}))
    assert [(one.step, one.votes) for one in record.execution.result.tool_results] == [("a", 0), ("b", 1)]
    assert checked(record)[0] is None
    refused = plan_record(trace(denied()))
    assert [(one.votes, one.denials) for one in refused.execution.result.tool_results] == [(0, 1)]
    assert [one.denied_by for one in refused.seals[0].by_step] == [("boss",)]


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_that_was_hashed_again_is_named_with_its_field(lie: str) -> None:
    record = plan_record(trace(resealed()))
    change, said = LIES[lie]
    message, _ = checked(relinked(record, record.seals[0], change(record.seals[1])))
    assert message is not None
    assert said in message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=600, derandomize=True, deadline=None)
@given(data=st.data())
def test_any_other_value_in_any_place_of_a_seal_is_named_although_everything_was_hashed_again(data: st.DataObject) -> None:
    record = plan_record(trace(resealed()))
    told = json.loads(line_text(record.seals[1]))
    every = [path for path in places(told) if path[0] not in ("seq", "prev", "hash", "plan_index", "sealed_at", "replaced")]
    path = data.draw(st.sampled_from(every))
    holder = told
    for key in path[:-1]:
        holder = holder[key]
    value = data.draw(JSON)
    before, holder[path[-1]] = holder[path[-1]], value
    assume(canonical_json(before) != canonical_json(value))
    try:
        forged = SealLine.model_validate_json(json.dumps(told))
    except ValidationError:
        return  # it is no line
    assume(json.loads(line_text(forged)) == told)
    message, report = checked(relinked(record, record.seals[0], forged))
    free = path[0] == "missing" or path[-1] in ("stored_at", "left_out") or path[-2:] == ("message", "reason")
    lost = path[0] in ("policy", "contracts") and not value  # what was not exported is checked against nothing, and noted
    assert message is not None or free or (lost and report.notes), (path, value)


def test_a_seal_that_was_taken_out_or_moved_is_missed() -> None:
    record = plan_record(trace(resealed()))
    first, second = record.seals
    for seals, said in (
        ((), "entry 2: digest"), ((second,), "is not in approvals.jsonl"), ((first,), "is not in approvals.jsonl"),
    ):  # fmt: skip
        assert said in str(checked(relinked(record, *seals))[0])
    assert "seals is 2, but 1 are there" in str(checked(record.model_copy(update={"seals": (first,)}))[0])
    assert "seal 1 of plan" in str(checked(record.model_copy(update={"seals": (second, first)}))[0])


def test_a_seal_whose_signature_nobody_can_check_is_a_fault_and_one_of_a_later_policy_a_note() -> None:
    record = plan_record(trace(resealed()))
    _, second = record.seals
    # the policy that was sealed lists no key: only the statement of the line is left
    policy: dict[str, Any] = {**(second.policy or {}), "authorized_keys": []}
    content = {**(second.content or {}), "policy_hash": hashlib.sha256(canonical_json(policy).encode()).hexdigest()}
    source = trace(resealed())
    seals = (source.seals[0], source.seals[1].model_copy(update={"policy": policy, "content": content}))
    later = plan_record(source.model_copy(update={"seals": seals, "keys": (PUBLIC_KEY,)}))
    assert later.seals[1].decisions[0].key == PUBLIC_KEY
    assert "content: its digest is" in str(checked(later)[0])  # the content is another one, so the digest is wrong first
    lost = _decision(second, key=None).model_copy(update={"policy": None})
    assert "no known key of 'boss' made it" in str(checked(relinked(record, record.seals[0], lost))[0])
    kept = second.model_copy(update={"policy": None})
    message, report = checked(relinked(record, record.seals[0], kept))
    assert (message, len(report.notes)) == (None, 2)
    assert "the policy is not in the record" in report.notes[0]
    assert "no other policy is in the record" in report.notes[1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"approvals_required": 2}, "approved by 1, and needs 2"),
        ({"requested_by": "Boss"}, "by: the requester approved"),
        ({"approvers": ["eve"]}, "by: is not among the approvers that were sealed"),
        ({"signature_required": "always"}, "message.signature: is missing, and signatures are required (always)"),
        ({"plan_id": "x"}, "content: is about another plan than 'plan-p-0'"),
    ],
)
def test_an_approval_that_the_sealed_content_does_not_allow_is_named(changes: dict[str, Any], said: str) -> None:
    """Everything is hashed and named again as the forger wants it: the rules are still those that were sealed."""
    source = trace(live_run(plan(step("a"))))
    told = {**(plan_record(source).seals[0].content or {}), **changes}
    digest = hashlib.sha256(canonical_json(told).encode()).hexdigest()
    entries = tuple(
        one.model_copy(update={"entry": one.entry.model_copy(update={"digest": one.entry.digest and digest}),
                               "stored": one.stored and one.stored.model_copy(
                                   update={"content": {"by": "boss", "digest": digest}})})
        for one in source.entries
    )  # fmt: skip
    seals = (source.seals[0].model_copy(update={"content": told, "digest": digest}),)
    message, _ = checked(plan_record(source.model_copy(update={"entries": entries, "seals": seals})))
    assert message is not None
    assert said in message


def test_the_line_of_a_plan_must_say_what_its_seals_do() -> None:
    record = plan_record(trace(completed()))
    line = record.execution
    other = line.model_copy(update={"seals_hash": "0" * 64})
    assert (
        checked(record.model_copy(update={"execution": other}))[0] == "seals_hash: is not the hash of the plan's last seal"
    )
    counted = tuple(one.model_copy(update={"votes": 7}) for one in line.result.tool_results)
    wrong = line.model_copy(update={"result": line.result.model_copy(update={"tool_results": counted})})
    assert "1 votes and 0 denials are in approvals.jsonl" in str(checked(record.model_copy(update={"execution": wrong}))[0])


def test_what_the_record_does_not_hold_is_noted() -> None:
    record = plan_record(trace(resealed()))
    first, second = record.seals
    forgotten = _decision(second, message=None, key=None, stored_at=None)
    message, report = checked(relinked(record, first, forgotten))
    assert (message, len(report.notes)) == (None, 1)
    assert "the message of 'boss' cannot be checked: Temporal has forgotten it" in report.notes[0]
    message, report = checked(relinked(record, first, _decision(second, message=None, key=None, left_out="it is too long")))
    assert (message, "cannot be checked: it is too long" in report.notes[0]) == (None, True)
    message, report = checked(relinked(record, first, second.model_copy(update={"contracts": {}})))
    assert (message, "is not in the record: its run did not tell it any more" in report.notes[0]) == (None, True)


def test_the_first_version_has_none_of_the_new_fields_and_a_chain_of_its_own() -> None:
    for record in records(12):
        old = as_first_version(record)
        text = "".join(line_text(line) for line in (old.execution, *old.transitions, *old.rollbacks))
        for name in ("phase21", "phase22", '"seal"', '"seals"', "seals_hash", '"votes"', "denials"):
            assert name not in text
        assert (old.seals, len(old.events)) == ((), len(record.events))
        assert old.execution.hash != record.execution.hash
        assert checked(old)[0] is None


def test_a_message_that_is_no_json_or_has_no_end_is_left_out_with_the_reason() -> None:
    kept = stored_message("approve", {"by": "boss"}, NOW)
    assert (kept.content, kept.left_out) == ({"by": "boss"}, "")
    for content in ("x" * MAX_MESSAGE, {"by": "\ud800"}, float("nan"), _deep(150)):
        told = stored_message("approve", content, NOW)
        assert (told.content, bool(told.left_out)) == (None, True)


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_a_run_keeps_its_latest_seals_up_to_a_bound() -> None:
    run = awaiting(plan(step("a")))
    for _ in range(MAX_SEALS + 3):
        say(run, "lock")
        say(run, "unlock")
        rehearse(run)
    digests = [record.digest for record in run.seals]
    assert (len(digests), len(set(digests)), digests[-1]) == (MAX_SEALS, MAX_SEALS, run.digest)
    assert "seals" not in run.model_dump()
