"""`verify --against-temporal`: what the files say, compared with what the histories tell."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airlock.export.files import EXECUTIONS, ROLLBACKS, SUMMARY, TRANSITIONS
from airlock.export.ledger import linked
from airlock.export.plan_lines import PlanRecord, PlanTrace, plan_record
from airlock.export.seal_traces import SealTrace, StoredMessage, TracedEntry
from tests.cli.export_place import Place, closed_runs, idle_place, place_at_work  # noqa: F401  fixtures
from tests.workflows.conftest import dev_server, events, renewed_server, until  # noqa: F401  dev_server is a fixture
from tests.workflows.export_plans import (
    approve,
    completed,
    denied,
    flooded,
    open_,
    rolled_back,
    three,
)
from tests.workflows.test_reset import reset, tasks

pytestmark = pytest.mark.slow


async def test_an_open_plan_that_went_on_since_is_no_fault(place: Place) -> None:
    await open_(place.airlock, "open")
    await place.listed("plan-open")
    assert (await place.starter("export", str(place.out))).code == 0
    handle = place.airlock.plan("open")
    await approve(handle)
    await handle.result()
    await denied(place.airlock, "newer")
    await place.listed("plan-open", "plan-newer")
    said = await place.starter("verify", str(place.out), "--against-temporal", "--json")
    assert (said.code, said.json["verified"], said.json["compared"]) == (0, True, 1), said.json
    assert said.json["notes"] == ["1 plan newer than the export"]


def forged(record: PlanRecord, change: dict[str, Any], seq: int) -> PlanRecord:
    """Return the record with one entry changed, and every hash of its chain computed again."""
    from airlock.run.audit import AuditEntry, AuditKind
    from airlock.run.presentation.views import StepView

    line = record.execution
    decided = {decision.entry: decision for seal in record.seals for decision in seal.decisions}
    entries = []
    for number, event in enumerate(record.events, start=1):
        told = {**event.model_dump(), **(change if number == seq else {})}
        kind = told.get("kind") or (AuditKind.TRANSITION if "from_state" in told else AuditKind.UNDO)
        what = told.get("what") or told["event"]
        moved = {name: told[name] for name in ("from_state", "to_state", "step", "digest", "answer") if name in told}
        entry = AuditEntry(
            number=number, at=told["timestamp"], kind=kind, what=what, by=told["by"], reason=told["reason"], **moved
        )
        stored = None
        if (decision := decided.get(number)) is not None and decision.stored_at is not None:
            sent = decision.message
            said_so = {**sent, "by": told["by"]} if isinstance(sent, dict) and decision.counted else sent
            stored = StoredMessage(at=decision.stored_at, content=said_so, left_out=decision.left_out)
        entries.append(TracedEntry(entry=entry, run_id=told["run_id"], event_id=told["event_id"], stored=stored))
    steps = tuple(
        StepView(
            id=found.step, agent=found.agent, tool=found.tool_name, status=found.status, risk=found.risk,
            reversibility=found.reversibility, ceiling=found.ceiling, reasons=found.reasons, error=found.error,
            attempt=found.attempt, drift=found.drift,
        )
        for found in line.result.tool_results
    )  # fmt: skip
    same = {
        name: getattr(line, name)
        for name in (
            "plan_id", "workflow_id", "first_run_id", "goal", "requested_by", "submitted_at", "closed_at",
            "temporal_status", "state", "outcome", "why", "digest",
        )
    }  # fmt: skip
    results = line.result.tool_results
    fields = ("digest", "sealed_at", "content", "policy", "contracts", "replaced")
    seals = tuple(SealTrace(**{name: getattr(seal, name) for name in fields}) for seal in record.seals)
    return plan_record(
        PlanTrace(
            **same, seals=seals, last_run_id=line.run_id, last_event_id=line.event_id, steps=steps, entries=tuple(entries),
            refused=line.result.refused_messages,
            confidence={found.step: found.confidence for found in results if found.confidence is not None},
            seconds={found.step: found.seconds for found in results if found.seconds is not None},
        )
    )  # fmt: skip


async def test_what_was_rewritten_consistently_is_found_in_the_histories(place: Place) -> None:
    await rolled_back(place.airlock, "forged")
    await place.listed("plan-forged")
    (true,) = await place.records()
    assert forged(true, {}, 0) == true
    places = {
        EXECUTIONS: next(event.seq for event in true.execution.events if event.kind == "decision"),
        TRANSITIONS: true.transitions[1].seq,
        ROLLBACKS: true.rollbacks[1].seq,
    }
    for name, seq in places.items():
        await place.write([forged(true, {"by": "another person"}, seq)])
        (found,) = (await place.compare()).findings
        assert (found.file, found.line) == (name, 1 if name == EXECUTIONS else 2)
        assert f"plan 'plan-forged': entry {seq} differs from run {true.execution.run_id}" in found.message
    await place.write([forged(true, {"event_id": true.events[3].event_id + 1}, 4)])
    assert (await place.compare()).findings
    await place.write([forged(true, {}, 0)])
    assert (await place.compare()).findings == []
    said = await place.starter("verify", str(place.out), "--against-temporal", "--json")
    assert (said.code, said.json["compared"]) == (0, 1)


async def test_the_line_of_an_open_plan_is_compared_where_nothing_has_happened_since(place: Place) -> None:
    await open_(place.airlock, "open")
    await place.listed("plan-open")
    (true,) = await place.records()
    await place.write([true])
    assert (await place.compare()).findings == []
    line = true.execution.model_copy(update={"requested_by": "another person"})
    await place.write([true.model_copy(update={"execution": linked(line, line.seq, line.prev)})])
    (found,) = (await place.compare()).findings
    assert str(found) == f"{EXECUTIONS}:1: plan 'plan-open': its line differs from what the histories tell"


async def test_plans_that_are_on_one_side_only(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("kept", "gone", "hidden"):
        await denied(place.airlock, name)
    await place.listed("plan-kept", "plan-gone", "plan-hidden")
    records = await place.records()
    await place.write([record for record in records if record.execution.plan_id != "hidden"])
    end = json.loads((place.out / SUMMARY).read_text())["end_time"]
    assert end is not None
    place.forget("plan-gone", monkeypatch)
    compared = await place.compare()
    messages = [str(found) for found in compared.findings]
    assert compared.compared == 1
    assert f"{EXECUTIONS}:2: plan 'plan-gone' is not in Temporal, whose retention would have kept it" in messages
    # submitted before the others had ended: `hidden` is older than the end of the export only if it says so
    hidden = next(record for record in records if record.execution.plan_id == "hidden")
    if hidden.execution.submitted_at <= datetime.fromisoformat(end):
        assert any("plan 'plan-hidden' is missing" in message for message in messages)
    else:
        assert compared.notes == ["1 plan newer than the export"]
    later = await place.compare(after=timedelta(days=2))
    assert "plan 'plan-gone' cannot be compared: Temporal's retention has passed" in later.notes


async def test_a_plan_that_was_left_out_is_missed(place: Place) -> None:
    await asyncio.gather(denied(place.airlock, "one"), completed(place.airlock, "two"))
    await place.listed("plan-one", "plan-two")
    records = await place.records()
    last = max(records, key=lambda record: record.execution.closed_at or datetime.min.replace(tzinfo=UTC))
    await place.write([last])
    (found,) = (await place.compare()).findings
    assert "is missing: Temporal has it" in found.message


async def test_another_namespace_is_not_compared(place: Place, dev_server: Any) -> None:  # noqa: F811
    await place.write([])
    place.client = dev_server.client
    (found,) = (await place.compare()).findings
    assert (found.file, "pipeline_id" in found.message) == (SUMMARY, True)


async def test_a_reset_plan_is_one_plan_and_says_so_afterwards(place: Place) -> None:
    handle = await place.airlock.submit(three("reset"))
    await approve(handle)
    await handle.result()
    await place.listed("plan-reset")
    (before,) = await place.records()
    await place.write([before])
    found = await events(handle)
    await reset(handle, tasks(found)[-2])
    await until(lambda: closed_runs(place, "plan-reset", 2))
    (after,) = await place.records()
    assert after.execution.first_run_id == before.execution.first_run_id
    assert after.execution.run_id != before.execution.run_id
    assert after.execution.result.successful_executions == 3
    (finding,) = (await place.compare()).findings
    assert f"since then its run {before.execution.run_id} was reset to {after.execution.run_id}" in finding.message


async def test_a_run_that_continued_is_one_plan_also_when_its_beginning_is_forgotten(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await flooded(place.airlock, "flooded")
    await place.listed("plan-flooded")
    (record,) = await place.records()
    first, last = record.execution.first_run_id, record.execution.run_id
    assert first != last
    assert {event.run_id for event in record.events} == {first, last}
    assert record.execution.result.refused_messages == 1_260
    assert sum(event.kind == "refused" for event in record.execution.events) == 200
    await place.write([record])
    place.forget(first, monkeypatch)
    (left,) = await place.records()
    assert {event.run_id for event in left.events} == {last}
    assert [(event.run_id, event.event_id) for event in left.events[:3]] == [(last, 1)] * 3
    compared = await place.compare()
    assert compared.findings == []
    assert "Temporal has forgotten its run" in compared.notes[0]
