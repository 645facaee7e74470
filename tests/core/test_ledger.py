"""The files about plans: what a plan did is counted, and its chains."""

from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from airlock.base.errors import AirlockError
from airlock.export.files import APPROVALS, EXECUTIONS, EXPORT_FILES, HEALTH, ROLLBACKS, TRANSITIONS, export_schemas
from airlock.export.ledger import closed, line_hash, line_text, plan_genesis
from airlock.export.lines import ExecutionLine, Link, TransitionLine
from airlock.export.plan_lines import PlanTrace, plan_record, took_effect
from airlock.export.totals import Totals
from airlock.export.verification import NumberedLine, check_plan, read_line
from airlock.run.audit import AuditEntry, AuditKind
from airlock.run.outcome import Outcome
from tests.core.export_build import (
    ONE,
    RUNS,
    completed,
    denied,
    health,
    in_doubt,
    parked,
    placed,
    records,
    rehearsed,
    rolled_back,
    settled,
    trace,
)


def result_of(make: Any) -> tuple[int, int, int, int, int, int]:
    result = plan_record(trace(make())).execution.result
    return (
        result.successful_executions,
        result.failed_executions,
        result.in_doubt_executions,
        result.conflicts_detected,
        result.conflicts_resolved,
        result.rollbacks_executed,
    )


@pytest.mark.parametrize(
    ("make", "counts"),
    [
        (completed, (2, 0, 0, 1, 1, 0)),
        (rolled_back, (3, 1, 0, 0, 0, 2)),
        (parked, (1, 1, 0, 0, 0, 0)),
        (in_doubt, (0, 0, 1, 0, 0, 0)),
        (settled, (2, 0, 0, 0, 0, 0)),
        (denied, (0, 0, 0, 0, 0, 0)),
        (rehearsed, (0, 0, 0, 1, 0, 0)),
    ],
)
def test_what_a_plan_did_is_counted(make: Any, counts: tuple[int, ...]) -> None:
    assert result_of(make) == counts


def test_every_entry_of_the_audit_is_in_one_place_and_names_its_run_and_event() -> None:
    for make in RUNS:
        run = make()
        source = trace(run)
        record = plan_record(source)
        assert [event.seq for event in record.events] == list(range(1, len(run.audit) + 1))
        for event, traced in zip(record.events, source.entries, strict=True):
            assert (event.run_id, event.event_id) == (traced.run_id, traced.event_id)
            assert (event.timestamp, event.by, event.reason) == (traced.entry.at, traced.entry.by, traced.entry.reason)
        moves = [(entry.from_state, entry.to_state) for entry in run.audit if entry.kind is AuditKind.TRANSITION]
        assert [(line.from_state, line.to_state) for line in record.transitions] == moves
        undos = [(entry.step, entry.what) for entry in run.audit if entry.kind is AuditKind.UNDO]
        assert [(line.step, line.event) for line in record.rollbacks] == undos


def test_each_link_follows_the_one_before_from_the_plans_own_beginning() -> None:
    links: list[Link] = [*ONE.events, ONE.execution]
    assert links[0].prev == plan_genesis("plan-p-3", "run-3-1")
    assert [link.prev for link in links[1:]] == [link.hash for link in links[:-1]]
    assert all(link.hash == line_hash(link.model_dump(mode="json")) for link in links)


def test_a_chain_begins_elsewhere_for_another_plan_and_another_run() -> None:
    first = plan_genesis("plan-a", "run-1")
    assert len({first, plan_genesis("plan-a", "run-2"), plan_genesis("plan-b", "run-1")}) == 3


def test_where_a_plan_stands_in_an_export_does_not_change_its_chain() -> None:
    moved = ONE.at(7)
    assert moved.execution.plan_index == 7
    assert {line.plan_index for line in moved.transitions} == {line.plan_index for line in moved.rollbacks} == {7}
    assert moved.execution.hash == ONE.execution.hash


def test_the_same_trace_gives_the_same_bytes() -> None:
    one, other = (plan_record(PlanTrace.model_validate_json(trace(settled()).model_dump_json())) for _ in range(2))
    assert line_text(one.execution) == line_text(other.execution)


def test_a_transition_without_its_states_is_a_mistake_of_the_reader() -> None:
    source = trace(denied())
    bare = source.entries[0].model_copy(
        update={"entry": source.entries[0].entry.model_copy(update={"from_state": None, "kind": AuditKind.TRANSITION})}
    )
    with pytest.raises(AirlockError, match="without its states"):
        plan_record(source.model_copy(update={"entries": (bare,)}))


CALL, DECISION, REFUSED = AuditKind.CALL, AuditKind.DECISION, AuditKind.REFUSED


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], None),
        ([(CALL, "live", None)], True),
        ([(CALL, "live", None), (CALL, "output_not_kept", None)], True),
        ([(CALL, "failed", None)], False),
        ([(CALL, "failed", None), (CALL, "live", None)], True),
        ([(CALL, "live", None), (CALL, "stale", None)], True),
        ([(CALL, "stale", None)], None),
        ([(CALL, "in_doubt", None)], None),
        ([(CALL, "failed", None), (CALL, "in_doubt", None)], None),
        ([(CALL, "in_doubt", None), (CALL, "probe_cannot_tell", None)], None),
        ([(CALL, "in_doubt", None), (CALL, "probe_happened", None)], True),
        ([(CALL, "in_doubt", None), (CALL, "probe_did_not_happen", None)], False),
        ([(CALL, "in_doubt", None), (DECISION, "resolve", "happened")], True),
        ([(CALL, "in_doubt", None), (DECISION, "resolve", "did_not_happen")], False),
        ([(CALL, "in_doubt", None), (DECISION, "resolve", "skip")], None),
        ([(CALL, "in_doubt", None), (REFUSED, "resolve", "happened")], None),
        ([(CALL, "live", None), (DECISION, "resolve", "compensated")], True),
        ([(CALL, "failed", None), (DECISION, "resolve", "retry")], False),
        ([(CALL, "in_doubt", None), (DECISION, "resolve", "happened"), (CALL, "in_doubt", None)], None),
        ([(CALL, "in_doubt", None), (DECISION, "resolve", "did_not_happen"), (CALL, "failed", None)], False),
    ],
)
def test_whether_a_call_took_effect(entries: list[tuple[AuditKind, str, str | None]], expected: bool | None) -> None:
    at = ONE.execution.submitted_at
    said = [AuditEntry(number=1, at=at, kind=kind, what=what, answer=answer) for kind, what, answer in entries]
    assert took_effect(said) is expected


def test_the_totals_of_seven_plans_and_an_undo() -> None:
    totals = Totals()
    for record in records(8):
        totals.add(record)
    summary = totals.summary()
    # completed and rehearsed; rolled back and denied; parked, in doubt and settled; the eighth is the undo of a plan
    assert (summary["plans_successful"], summary["plans_failed"], summary["plans_open"]) == (3, 2, 2)
    assert (summary["plans_processed"], summary["undos_processed"]) == (7, 1)
    assert {key.value: count for key, count in summary["by_outcome"].items() if count} == {
        "completed": 2, "rehearsed": 1, "denied": 1, "aborted": 1
    }  # fmt: skip
    assert summary["total_tools_executed"] == 2 + 4 + 2 + 0 + 2 + 0 + 0 + 2
    assert (summary["total_in_doubt"], summary["total_rollbacks"], summary["total_conflicts"]) == (1, 2, 3)
    conflicts = totals.conflicts()
    assert {kind.value: count for kind, count in conflicts.by_type.items()} == {
        "RESOURCE": 2, "ORDERING": 0, "DUPLICATE_ACTION": 0, "RATE_LIMIT": 0, "PERMISSION": 0, "TIMEOUT": 1
    }  # fmt: skip
    assert {answer.value: count for answer, count in conflicts.by_resolution_strategy.items()} == {
        "DELAY": 2, "REASSIGN": 0, "DOWNGRADE": 0, "ABORT": 0
    }  # fmt: skip
    assert summary["start_time"] == next(iter(records(1))).execution.submitted_at


def test_a_run_that_was_terminated_is_a_failed_plan() -> None:
    source = trace(in_doubt()).model_copy(update={"temporal_status": "TERMINATED", "closed_at": trace(denied()).closed_at})
    totals = Totals()
    totals.add(plan_record(source))
    assert totals.summary()["plans_failed"] == 1
    assert sum(totals.summary()["by_outcome"].values()) == 0


def test_there_is_a_schema_for_each_file_and_what_is_written_fits_it() -> None:
    schemas = export_schemas()
    assert sorted(schemas) == sorted(name.partition(".")[0] for name in EXPORT_FILES)
    lines = {
        EXECUTIONS: ONE.execution,
        TRANSITIONS: ONE.transitions[0],
        ROLLBACKS: ONE.rollbacks[0],
        HEALTH: closed(health()),
    }
    for name, model in lines.items():
        schema = schemas[name.partition(".")[0]]
        jsonschema.Draft202012Validator.check_schema(schema)
        document = model.model_dump(mode="json")
        jsonschema.validate(document, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**document, "more": 1}, schema)


def test_the_fields_that_existing_consumers_read_are_there() -> None:
    def properties(name: str) -> set[str]:
        return set(export_schemas()[name]["properties"])

    assert properties("tool_execution_log") >= {"plan_index", "plan_id", "result"}
    assert set(export_schemas()["tool_execution_log"]["$defs"]["ExecutionResult"]["properties"]) >= {
        "successful_executions", "failed_executions", "tool_results", "conflicts_detected", "conflicts_resolved",
        "rollbacks_executed",
    }  # fmt: skip
    assert properties("orchestration_summary") >= {
        "pipeline_id", "start_time", "end_time", "plans_processed", "plans_successful", "plans_failed",
        "total_tools_executed", "total_conflicts", "total_rollbacks",
    }  # fmt: skip
    assert properties("execution_state_transitions") >= {"from_state", "to_state", "timestamp", "reason"}
    assert properties("tool_conflicts") >= {"total_conflicts", "by_type", "by_resolution_strategy"}
    assert properties("learning_signals") >= {
        "signal_type", "tool_name", "insight", "recommended_action", "confidence", "target_phase"
    }  # fmt: skip
    assert properties("system_health") >= {"health_assessment", "health_score", "anomalies", "metrics", "timestamp"}
    assert len(export_schemas()["system_health"]["$defs"]["HealthMetrics"]["properties"]) == 8


def test_outcomes_and_lines_read_back_as_they_were() -> None:
    for record in records(len(RUNS)):
        assert read_line(line_text(record.execution).encode(), ExecutionLine) == record.execution
        for line in record.transitions:
            assert read_line(line_text(line).encode(), TransitionLine) == line
    assert {record.execution.outcome for record in records(7)} == {
        Outcome.COMPLETED, Outcome.ABORTED, Outcome.DENIED, Outcome.REHEARSED, None
    }  # fmt: skip


def test_every_line_and_entry_of_a_plan_has_its_phase_ids() -> None:
    lines = placed(ONE)
    seal = ONE.seals[0].model_copy(update={"phase21_plan_id": "other"})
    found = check_plan(replace(lines, seals=(NumberedLine(7, seal),)))
    assert found is not None
    assert (found.file, found.line, "names other phase ids" in found.message) == (APPROVALS, 7, True)
    first, *rest = ONE.execution.events
    events = (first.model_copy(update={"phase22_validation_id": "other"}), *rest)
    line = ONE.execution.model_copy(update={"events": events})
    found = check_plan(replace(lines, execution=NumberedLine(3, line)))
    assert found is not None
    assert (found.file, found.line, "names other phase ids" in found.message) == (EXECUTIONS, 3, True)
