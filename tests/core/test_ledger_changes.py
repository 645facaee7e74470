"""Changes of exported plans: the chains and digests show every one of them."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.export.documents import SystemHealth
from airlock.export.files import APPROVALS, EXECUTIONS
from airlock.export.ledger import closed, document_text, line_hash, line_text, linked
from airlock.export.lines import ExecutionLine, RollbackLine
from airlock.export.plan_lines import PlanRecord, first_difference, plan_record
from airlock.export.verification import DamagedContent, NumberedLine, check_plan, read_document, read_line
from airlock.plans.state import State
from airlock.run.audit import AuditKind
from tests.core.export_build import ONE, RUNS, completed, health, placed, resealed, rolled_back, trace


@pytest.mark.parametrize("make", [*RUNS, resealed])
def test_what_a_run_recorded_checks_out(make: Any) -> None:
    assert check_plan(placed(plan_record(trace(make())))) is None


def relinked(record: PlanRecord, **changes: Any) -> PlanRecord:
    """Return the record with another line for the plan, hashed as if it had always been so."""
    line = record.execution.model_copy(update=changes)
    return record.model_copy(update={"execution": linked(line, line.seq, line.prev)})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"state": State.LIVE}, "state is LIVE, its last transition led to ABORTED"),
        ({"transitions": 9}, "transitions is 9"),
        ({"seq": 99}, "follows"),
        ({"prev": "0" * 64}, "does not end in the hash before its line"),
        ({"result": ONE.execution.result.model_copy(update={"successful_executions": 4})}, "successful_executions is 4"),
        ({"result": ONE.execution.result.model_copy(update={"failed_executions": 0})}, "failed_executions is 0"),
        ({"result": ONE.execution.result.model_copy(update={"in_doubt_executions": 1})}, "in_doubt_executions is 1"),
        ({"result": ONE.execution.result.model_copy(update={"rollbacks_executed": 3})}, "rollbacks_executed is 3"),
        ({"result": ONE.execution.result.model_copy(update={"conflicts_detected": 1})}, "conflicts_detected is 1"),
        ({"result": ONE.execution.result.model_copy(update={"conflicts_resolved": 1})}, "conflicts_resolved is 1"),
        ({"plan_id": "p-4"}, "names another plan"),
        ({"plan_index": 2}, "plans are missing, or out of order"),
        ({"first_run_id": "run-4-1"}, "does not continue the chain"),
    ],
)
def test_a_line_that_was_hashed_anew_still_contradicts_its_entries(changes: dict[str, Any], said: str) -> None:
    found = check_plan(placed(relinked(ONE, **changes)))
    assert found is not None
    assert said in found.message


def test_a_kind_of_conflict_that_does_not_exist_is_refused() -> None:
    source = trace(completed())
    wrong = [each.model_copy(update={"entry": each.entry.model_copy(update={"what": "LOVE"})})
             if each.entry.kind is AuditKind.CONFLICT else each for each in source.entries]  # fmt: skip
    found = check_plan(placed(plan_record(source.model_copy(update={"entries": tuple(wrong)}))))
    assert found is not None
    assert "no such conflict" in found.message


def test_the_histories_agree_with_what_was_exported() -> None:
    assert first_difference(ONE, plan_record(trace(rolled_back(), 3)).at(5)) == ""


def test_a_difference_from_the_histories_names_the_run_and_the_event() -> None:
    source = trace(rolled_back(), 3)
    entry = source.entries[6]
    forged = entry.model_copy(update={"entry": entry.entry.model_copy(update={"by": "somebody else"})})
    entries = (*source.entries[:6], forged, *source.entries[7:])
    exported = plan_record(source.model_copy(update={"entries": entries}))
    assert first_difference(exported, ONE) == f"entry 7 differs from run {entry.run_id}, event {entry.event_id}"


def test_entries_that_were_left_out_or_added_differ_from_the_histories() -> None:
    source = trace(rolled_back(), 3)
    shorter = plan_record(source.model_copy(update={"entries": source.entries[:-1]}))
    assert f"the histories have {len(source.entries)} entries" in first_difference(shorter, ONE)
    assert "is not in the histories" in first_difference(ONE, shorter)
    said = plan_record(source.model_copy(update={"goal": "another goal"}))
    assert "its line differs" in first_difference(said, ONE)


def test_a_plan_that_was_open_may_have_gone_on_since() -> None:
    source = trace(rolled_back(), 3)
    then = {"entries": source.entries[:4], "closed_at": None, "outcome": None, "state": State.AWAITING_APPROVAL}
    exported = plan_record(source.model_copy(update=then))
    assert first_difference(exported, ONE) == ""
    assert first_difference(plan_record(trace(rolled_back(), 4)), ONE) != ""


@given(st.data())
def test_no_change_of_one_byte_is_a_line_any_more(data: st.DataObject) -> None:
    text = line_text(ONE.execution).encode()
    position = data.draw(st.integers(0, len(text) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda other: other != text[position]))
    changed = text[:position] + bytes([byte]) + text[position + 1 :]
    try:
        read = read_line(changed, ExecutionLine)
    except DamagedContent:
        return
    assert read.plan_index != ONE.execution.plan_index  # the one field that its place in the file gives away


LINE = json.loads(line_text(ONE.rollbacks[0]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (line_text(LINE)[:-1], "its end is missing"),
        (json.dumps(LINE) + "\n", "is not written as export writes it"),
        (line_text(LINE)[:-2] + f',"seq":{LINE["seq"]}}}\n', "is not written as export writes it"),
        (line_text({**LINE, "by": "eve"}), "was changed"),
        (line_text({**LINE, "more": 1}), "more: Extra"),
        (line_text({**LINE, "seq": "1"}), "seq: Input should be a valid integer"),
        (line_text({**LINE, "schema_version": 3}), "has schema version 3"),
        (line_text({**LINE, "schema_version": 2}), "schema_version: Input should be 1"),
        (line_text({name: value for name, value in LINE.items() if name != "hash"}), "was changed"),
        ('{"a": NaN}\n', "is not JSON"),
        ("[1]\n", "is not a JSON object"),
        ("[" * 100_000 + "\n", "is not JSON"),
        ('{"a": ' + "9" * 5_000 + "}\n", "is not JSON"),
        ("{\n", "is not JSON"),
        ("\n", "is not JSON"),
    ],
)
def test_a_line_that_is_none_says_why(text: str, said: str) -> None:
    with pytest.raises(DamagedContent, match=said):
        read_line(text.encode(), RollbackLine)


def test_an_entry_within_a_line_must_have_its_hash_too() -> None:
    line = json.loads(line_text(ONE.execution))
    line["events"][1]["by"] = "eve"
    line["hash"] = line_hash(line)
    with pytest.raises(DamagedContent, match=f"entry {line['events'][1]['seq']} was changed"):
        read_line(line_text(line).encode(), ExecutionLine)


DOCUMENT = json.loads(document_text(closed(health())))


def line_number(text: str, start: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), start=1) if line.startswith(start))


@pytest.mark.parametrize("field", [name for name in DOCUMENT if name not in ("hash", "parts", "schema_version")])
def test_a_changed_field_of_a_document_is_named_with_its_line(field: str) -> None:
    other = {"health_assessment": "POOR", "health_score": 12.0, "anomalies": [], "timestamp": None,
             "score_low": 1.0, "score_high": 99.0, "approval_accuracy": None, "samples": {"calls": 41},
             "metrics": {**DOCUMENT["metrics"], "approval_rate": 0.5}}[field]  # fmt: skip
    text = document_text({**DOCUMENT, field: other})
    with pytest.raises(DamagedContent, match=f"{field}: was changed") as caught:
        read_document(text.encode(), SystemHealth)
    assert caught.value.line == line_number(text, f'  "{field}"')


def test_a_changed_digest_of_a_document_is_not_blamed_on_the_field() -> None:
    text = document_text({**DOCUMENT, "parts": {**DOCUMENT["parts"], "metrics": "0" * 64}})
    with pytest.raises(DamagedContent, match="parts: the digest of 'metrics' was changed"):
        read_document(text.encode(), SystemHealth)
    with pytest.raises(DamagedContent, match="hash: is not the digest"):
        read_document(document_text({**DOCUMENT, "hash": "0" * 64}).encode(), SystemHealth)


def test_lines_of_a_document_out_of_order_are_refused() -> None:
    lines = document_text(DOCUMENT).splitlines(keepends=True)
    start = line_number("".join(lines), '  "health_assessment"') - 1
    lines[start : start + 2] = reversed(lines[start : start + 2])
    with pytest.raises(DamagedContent, match="is not written as export writes it") as caught:
        read_document("".join(lines).encode(), SystemHealth)
    assert caught.value.line == start + 1


def test_an_error_of_a_seal_has_its_file_and_line() -> None:
    lines = placed(ONE)
    forged = ONE.seals[0].model_copy(update={"by_step": ()})
    found = check_plan(replace(lines, seals=(NumberedLine(7, forged),)))
    assert found is not None
    assert (found.file, found.line) == (APPROVALS, 7)
    found = check_plan(replace(lines, seals=(), after={**lines.after, APPROVALS: 9}))
    assert found is not None
    assert (found.file, found.line) == (APPROVALS, 9)
    line = ONE.execution.model_copy(update={"seals_hash": "0" * 64})
    found = check_plan(replace(lines, execution=NumberedLine(3, line)))
    assert found is not None
    assert (found.file, found.line) == (EXECUTIONS, 3)
