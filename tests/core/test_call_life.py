"""The whole product of call statuses and events against a table written by hand, and what follows from it."""

import ast
import itertools
from pathlib import Path

import pytest

from airlock.plans.outcome import CallInDoubt, ProbeAnswer, UndoFailed
from airlock.plans.state import State
from airlock.run.audit import AuditKind
from airlock.run.call_record import (
    CALL_TRANSITIONS,
    PROBE_EVENTS,
    CallEvent,
    CallRecord,
    CallStatus,
    changed,
    is_possible,
    possible_events,
)
from airlock.run.live.call_results import take_outcomes, take_probe, take_undo
from airlock.run.live.gate_reactions import drop_duplicates
from airlock.run.state import Run
from tests.core.build import NOW, call, failed, live, live_run, plan, say, step

ROOT = Path(__file__).resolve().parents[2]
NO_CALL = "no call"
ENDED = {"succeeded": "live", "failed": "failed", "in_doubt": "in_doubt"}
"""The answers of a worker about a call that this run, or an earlier one, made."""
COMPENSATED = {"undone": "undone", "undo_failed": "undo_failed"}

# every pair that is not listed is refused
EXPECTED: dict[str, dict[str, str]] = {
    NO_CALL: {**ENDED, "duplicate": "duplicate"},
    "live": {**COMPENSATED, "kept": "kept", "found_undone": "undone"},
    "failed": {**ENDED, **COMPENSATED, "unlock": "failed_before", "found_undone": "undone"},
    "failed_before": {**ENDED, **COMPENSATED, "duplicate": "duplicate", "found_undone": "undone"},
    "in_doubt": {
        "probe_happened": "live",
        "probe_did_not_happen": "failed",
        "probe_cannot_tell": "in_doubt",
        "happened": "live",
        "did_not_happen": "failed",
        "skip": "kept",
        "found_undone": "undone",
    },
    "undo_failed": {
        "retry": "live",
        "retry_failed": "failed",
        "skip": "kept",
        "compensated": "undone",
        "found_undone": "undone",
    },
    "undone": {**ENDED, "duplicate": "duplicate", "found_undone": "undone"},
    "kept": {**ENDED, "duplicate": "duplicate", "retry": "live", "retry_failed": "failed", "found_undone": "undone"},
    "duplicate": {**ENDED, "duplicate": "duplicate", "rehearsal": NO_CALL, "found_undone": "undone"},
}
STATUSES = (None, *CallStatus)
PRODUCT = list(itertools.product(STATUSES, CallEvent))
HUMAN = (CallEvent.HAPPENED, CallEvent.DID_NOT_HAPPEN, CallEvent.SKIP)
"""The events by which a human settles a call in doubt."""


def name(status: CallStatus | None) -> str:
    return status.value if status else NO_CALL


def record_in(status: CallStatus | None) -> CallRecord | None:
    return CallRecord(status=status, undo={"token": 1}, undone=2, attempt=3) if status else None


def test_the_hand_written_table_covers_every_status_and_event() -> None:
    assert set(EXPECTED) == {name(status) for status in STATUSES}
    assert {event for row in EXPECTED.values() for event in row} == {event.value for event in CallEvent}


@pytest.mark.parametrize(("status", "event"), PRODUCT, ids=lambda value: value.value if value else NO_CALL)
def test_every_pair_is_decided(status: CallStatus | None, event: CallEvent) -> None:
    expected = EXPECTED[name(status)].get(event.value)
    assert is_possible(status, event) is (expected is not None)
    if expected is None:
        with pytest.raises(RuntimeError, match=f"^{event.value} is not possible"):
            changed(record_in(status), event)
    else:
        after = changed(record_in(status), event)
        assert name(after.status if after else None) == expected


@pytest.mark.parametrize(("status", "event"), PRODUCT, ids=lambda value: value.value if value else NO_CALL)
def test_a_run_applies_the_table_and_records_what_it_refuses(status: CallStatus | None, event: CallEvent) -> None:
    run = live_run(plan(step("a")))
    before = record_in(status)
    run.calls = {"a": before} if before else {}
    entries = len(run.audit)
    applied = run.change_call("a", event, NOW)
    expected = EXPECTED[name(status)].get(event.value)
    assert applied is (expected is not None)
    if expected is None:
        assert run.calls.get("a") == before
        assert [(entry.kind, entry.what, entry.step) for entry in run.audit[entries:]] == [
            (AuditKind.REFUSED, event.value, "a")
        ]
        assert name(status) in run.audit[-1].reason or status is None
    else:
        after = run.calls.get("a")
        assert name(after.status if after else None) == expected
        assert len(run.audit) == entries


@pytest.mark.parametrize("status", STATUSES, ids=name)
def test_possible_events_are_exactly_those_of_the_table(status: CallStatus | None) -> None:
    assert [event.value for event in possible_events(status)] == [
        event.value for event in CallEvent if event.value in EXPECTED[name(status)]
    ]


def test_every_status_and_event_says_what_it_means() -> None:
    for member in (*CallStatus, *CallEvent):
        assert len(member.meaning) > 10
    assert len({member.meaning for member in CallEvent}) == len(CallEvent)


@pytest.mark.parametrize("event", [*HUMAN, CallEvent.COMPENSATED, CallEvent.RETRY])
def test_an_event_keeps_the_fields_that_it_does_not_change(event: CallEvent) -> None:
    before = record_in(CallStatus.UNDO_FAILED if event in (CallEvent.COMPENSATED, CallEvent.RETRY) else CallStatus.IN_DOUBT)
    after = changed(before, event, error="x")
    assert before is not None
    assert after is not None
    assert after == before.model_copy(update={"status": after.status, "error": "x"})


@pytest.mark.parametrize("event", [CallEvent.SUCCEEDED, CallEvent.FAILED, CallEvent.IN_DOUBT, CallEvent.DUPLICATE])
def test_a_new_call_starts_a_new_record(event: CallEvent) -> None:
    after = changed(record_in(CallStatus.UNDONE), event, undone=2)
    assert after is not None
    assert after == CallRecord(status=after.status, undone=2)


# a late probe never overrules a human


def test_a_probe_applies_to_calls_in_doubt_only() -> None:
    assert {status for status, event in CALL_TRANSITIONS if event in PROBE_EVENTS} == {CallStatus.IN_DOUBT}


@pytest.mark.parametrize("probe", PROBE_EVENTS)
@pytest.mark.parametrize("settled", HUMAN)
def test_no_probe_applies_once_a_human_has_settled_the_call(settled: CallEvent, probe: CallEvent) -> None:
    status = CALL_TRANSITIONS[CallStatus.IN_DOUBT, settled]
    assert not is_possible(status, probe)


def test_every_probe_event_is_named_one() -> None:
    assert set(PROBE_EVENTS) == {event for event in CallEvent if event.value.startswith("probe")}


@pytest.mark.parametrize("happened", [True, False, None])
@pytest.mark.parametrize("settlement", ["happened", "did_not_happen", "skip"])
def test_a_late_probe_never_overrules_a_human(settlement: str, happened: bool | None) -> None:
    run = call(live_run(plan(step("a"), step("b"))), live("a"), CallInDoubt(step="b", error="lost"), after=True)
    if settlement == "skip":
        run = rolled_back_until_parked(run)
    assert say(run, "resolve", step="b", outcome=settlement).accepted
    settled, outputs, entries = run.calls["b"], dict(run.outputs), len(run.audit)
    take_probe(run, ProbeAnswer(step="b", happened=happened, output={"id": 9}, undo={"token": "probe"}), NOW)
    assert run.calls["b"] == settled
    assert run.outputs == outputs
    (refusal,) = run.audit[entries:]
    assert (refusal.kind, refusal.step, refusal.by) == (AuditKind.REFUSED, "b", "airlock")
    assert refusal.reason == f"not possible for a call that is {settled.status.value}"


def rolled_back_until_parked(run: Run) -> Run:
    assert say(run, "rollback").accepted
    assert say(run, "lock").accepted
    assert run.state is State.LOCKED
    return run


# what the table protects


@pytest.mark.parametrize("status", [CallStatus.LIVE, CallStatus.IN_DOUBT, CallStatus.UNDO_FAILED], ids=name)
@pytest.mark.parametrize(
    "outcome", [live("a"), failed("a"), CallInDoubt(step="a", error="lost")], ids=lambda each: each.kind
)
def test_no_answer_of_a_worker_replaces_an_effect_or_a_doubt(status: CallStatus, outcome) -> None:
    run = live_run(plan(step("a")))
    before = run.calls["a"] = CallRecord(status=status, undo={"token": "first"})
    take_outcomes(run, [outcome], NOW)
    assert run.calls["a"] == before
    assert run.outputs == {}
    assert run.audit[-1].kind is AuditKind.REFUSED


@pytest.mark.parametrize(
    "status", [CallStatus.LIVE, CallStatus.FAILED, CallStatus.IN_DOUBT, CallStatus.UNDO_FAILED], ids=name
)
def test_a_duplicate_never_hides_a_call_that_may_have_taken_effect(status: CallStatus) -> None:
    run = live_run(plan(step("a"), step("b", "order", "a")))
    before = run.calls["a"] = CallRecord(status=status, undo={"token": "first"})
    drop_duplicates(run, {"a": "plan p-2 makes the same call"}, NOW)
    assert run.calls["a"] == before
    assert run.approved == ("a", "b")
    assert run.audit[-1].kind is AuditKind.REFUSED


@pytest.mark.parametrize("status", [CallStatus.IN_DOUBT, CallStatus.UNDONE, CallStatus.KEPT], ids=name)
def test_a_compensation_that_was_not_asked_for_parks_nothing(status: CallStatus) -> None:
    run = live_run(plan(step("a")))
    before = run.calls["a"] = CallRecord(status=status)
    take_undo(run, UndoFailed(step="a", error="503"), NOW)
    assert run.calls["a"] == before


def test_no_code_changes_a_status_past_the_table() -> None:
    """`changed` is the one place that writes `CallRecord.status`."""
    writes = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in ("airlock", "workflows", "activities")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in status_writes(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert {place.rpartition(":")[0] for place in writes} == {"airlock/run/call_record.py"}
    assert len(writes) == 2, writes


def status_writes(tree: ast.Module) -> list[int]:
    """Return the lines that make a `CallRecord` or give one a status."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "CallRecord":
            found.append(node.lineno)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "model_copy":
            found += [node.lineno for part in ast.walk(node) if isinstance(part, ast.Constant) and part.value == "status"]
        elif isinstance(node, ast.Assign):
            found += [
                node.lineno
                for target in node.targets
                if isinstance(target, ast.Attribute) and target.attr == "status"
                if "CallStatus" in ast.dump(node.value)
            ]
    return found


def test_the_search_for_writes_finds_them() -> None:
    source = (
        "CallRecord(status=x)",
        'record.model_copy(update={"status": x})',
        "record.status = CallStatus.LIVE",
        "record.model_copy(update={})",
    )
    assert sorted(status_writes(ast.parse("\n".join(source)))) == [1, 2, 3]
