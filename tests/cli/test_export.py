"""`export` and `verify --against-temporal` as a person runs them, each test with a namespace and workers of its own."""

import asyncio
import itertools
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from typer.testing import CliRunner

from activities.history import Unreadable
from airlock.exported import EXECUTIONS, HEALTH, ROLLBACKS, SEVEN_FILES, SIGNALS, SUMMARY, TRANSITIONS
from airlock.plan_record import PlanRecord, PlanTrace, TracedEntry, plan_record
from airlock_client import Airlock, exporting, history
from airlock_client.exporting import plans_of
from airlock_client.history import Forgotten, read_plan
from airlock_client.monitor import Monitors
from cli.app import app
from cli.export_files import export_files
from cli.verify_files import verify
from cli.verify_temporal import verify_against_temporal
from tests.cli.conftest import Said
from tests.core.export_build import health
from tests.workflows.conftest import dev_server, events, namespace, until, working  # noqa: F401  dev_server is a fixture
from tests.workflows.export_plans import (
    NONSENSE,
    approve,
    completed,
    denied,
    document,
    doubt_happened,
    flooded,
    open_,
    rolled_back,
    three,
    undone,
)
from tests.workflows.test_reset import reset, tasks

pytestmark = pytest.mark.slow
_NUMBERS = itertools.count(1)


@dataclass
class Place:
    """A namespace with workers, and the starter that talks to it."""

    client: Client
    folder: Path
    workers: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def airlock(self) -> Airlock:
        return Airlock(self.client)

    @property
    def out(self) -> Path:
        return self.folder / "export"

    async def start_workers(self) -> None:
        await self.workers.enter_async_context(working(self.client))

    async def starter(self, *arguments: str) -> Said:
        """Run a command in a thread of its own, which has a loop of its own."""
        environment = {
            "TEMPORAL_ADDRESS": self.client.service_client.config.target_host,
            "TEMPORAL_NAMESPACE": self.client.namespace,
        }
        done = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Said(done.exit_code, done.stdout, done.stderr)

    async def listed(self, *ids: str) -> None:
        """Wait until visibility knows of these workflows, and that all but the open ones have ended."""
        query = "WorkflowType = 'PlanWorkflow' AND ExecutionStatus != 'ContinuedAsNew'"

        async def known() -> bool:
            runs = [run async for run in self.client.list_workflows(query)]
            open_now = [run.id for run in runs if run.close_time is None and "open" not in run.id]
            return {run.id for run in runs} >= set(ids) and not open_now

        await until(known)

    async def write(self, records: list[PlanRecord]) -> None:
        """Write an export of these records, as somebody would who can compute every hash anew."""

        async def stream() -> AsyncIterator[PlanRecord]:
            for record in sorted(records, key=lambda record: record.order):
                yield record

        await export_files(self.out, stream(), pipeline_id=self.client.namespace, health=health())

    async def records(self) -> list[PlanRecord]:
        async with plans_of(self.client) as plans:
            return [record async for record in plans.records()]

    async def compare(self, after: timedelta = timedelta(0)) -> Any:
        assert verify(self.out) == []
        return await verify_against_temporal(self.out, self.client, datetime.now(UTC) + after)

    def forget(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let a workflow, or one of its runs, be as retention leaves it: not listed, not described, without a history."""
        real_list, real_read, real_described = exporting._listed, history.read_run, history.described

        async def listed(client: Client, since: datetime | None) -> AsyncIterator[tuple[str, str]]:
            async for found in real_list(client, since):
                if name not in found:
                    yield found

        async def read_run(client: Client, *which: str) -> Any:
            if name in which:
                raise Unreadable("not found")
            return await real_read(client, *which)

        async def described(client: Client, *which: str) -> Any:
            return None if name in which else await real_described(client, *which)

        monkeypatch.setattr(exporting, "_listed", listed)
        monkeypatch.setattr(history, "read_run", read_run)
        monkeypatch.setattr(history, "described", described)


@pytest.fixture
async def idle(dev_server: Any, tmp_path: Path) -> Place:  # noqa: F811
    """A namespace without workers."""
    return Place(await namespace(dev_server.client, f"export{next(_NUMBERS)}"), tmp_path)


@pytest.fixture
async def place(idle: Place) -> AsyncIterator[Place]:
    async with idle.workers:
        await idle.start_workers()
        yield idle


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


async def heard(place: Place, ended: int) -> bool:
    """Whether the monitor has heard of the ends of so many plans and undos."""
    total = (await Monitors(place.client).counted()).windows.total
    return sum(total.outcomes.values()) + total.undo_runs == ended


async def test_exported_verified_and_the_same_again(place: Place) -> None:
    lives = (completed, rolled_back, denied, undone)
    await asyncio.gather(*(life(place.airlock, life.__name__) for life in lives))
    await place.listed("plan-completed", "plan-rolled_back", "plan-denied", "plan-undone", "undo-undone")
    await until(lambda: heard(place, 5))
    said = await place.starter("export", str(place.out))
    assert (said.code, said.err) == (0, "")
    assert "seven files, 4 plans (0 open) and 1 undos" in said.out
    root = said.out.split("root ")[1].strip()
    first = content(place.out)
    assert sorted(first) == sorted(SEVEN_FILES)
    again = await place.starter("export", str(place.folder / "again"), "--json")
    assert (again.code, again.json["root"], again.json["summary"]["plans_processed"]) == (0, root, 4)
    assert content(place.folder / "again") == first
    checked = await place.starter("verify", str(place.out), "--root", root, "--against-temporal")
    assert (checked.code, checked.err) == (0, "")
    assert "5 of them are what Temporal's histories tell" in checked.out
    by_id = {line["workflow_id"]: line for line in lines(place.out, EXECUTIONS)}
    assert by_id["plan-rolled_back"]["result"]["rollbacks_executed"] == 3
    assert by_id["undo-undone"]["undo"] is True


async def test_without_a_worker_nothing_is_written_and_the_plans_are_named(
    idle: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "QUERY_TIMEOUT", timedelta(seconds=1))
    async with idle.workers:
        await idle.start_workers()
        await denied(idle.airlock, "asked")
        await idle.listed("plan-asked")
    said = await idle.starter("export", str(idle.out), "--json")
    assert said.code == 1
    assert said.json["error"] == "1 plan could not be read, so nothing was written"
    (problem,) = said.json["problems"]
    assert problem["where"] == "plan-asked"
    assert "no worker answers for plan-asked" in problem["message"]
    assert not idle.out.exists()
    async with AsyncExitStack() as again:
        await again.enter_async_context(working(idle.client))
        without = await idle.starter("export", str(idle.out), "--without", "asked", "--json")
    assert (without.code, without.json.get("left_out")) == (0, ["plan-asked"]), without
    assert without.json["summary"]["plans_processed"] == 0


async def test_where_no_worker_ever_ran_there_is_what_was_submitted_and_no_data_on_health(idle: Place) -> None:
    never = await idle.airlock.submit(three("never-open"))
    await idle.listed(never.workflow.id)
    said = await idle.starter("export", str(idle.out), "--json")
    assert (said.code, said.err) == (0, "")
    (line,) = lines(idle.out, EXECUTIONS)
    assert (line["workflow_id"], line["state"], line["events"], line["goal"]) == (
        "plan-never-open",
        "MOCK",
        [],
        "be counted",
    )
    assert [step["status"] for step in line["result"]["tool_results"]] == ["waiting"] * 3
    told = json.loads((idle.out / HEALTH).read_text())
    assert (told["health_assessment"], told["health_score"], told["timestamp"]) == ("NO_DATA", None, None)
    assert set(told["metrics"].values()) == {None}
    assert (idle.out / SIGNALS).read_bytes() == b""
    assert verify(idle.out) == []


async def test_going_on_gives_the_same_as_all_anew(place: Place) -> None:
    await completed(place.airlock, "before")
    await open_(place.airlock, "open")
    await place.listed("plan-before", "plan-open")
    assert (await place.starter("export", str(place.out))).code == 0
    end = lines_of_summary(place.out)["end_time"]
    handle = place.airlock.plan("open")
    await approve(handle)
    await handle.result()
    await denied(place.airlock, "after")
    await place.listed("plan-after")
    for since in ("last", end):
        changed = place.folder / since.replace(":", "")
        shutil.copytree(place.out, changed)
        said = await place.starter("export", str(changed), "--since", since)
        assert (said.code, said.err) == (0, ""), since
        assert (await place.starter("export", str(place.folder / "whole"))).code == 0
        assert _of_plans(changed) == _of_plans(place.folder / "whole"), since


def lines_of_summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / SUMMARY).read_text())


def _of_plans(folder: Path) -> dict[str, bytes]:
    """What is about plans: a monitor may have heard more between two exports."""
    return {name: text for name, text in content(folder).items() if name not in (SUMMARY, HEALTH, SIGNALS)}


async def test_since_when_must_make_sense(place: Place) -> None:
    nothing = await place.starter("export", str(place.out), "--since", "last")
    assert nothing.code == 1
    assert "there is no earlier export" in nothing.err
    await denied(place.airlock, "one")
    await place.listed("plan-one")
    assert (await place.starter("export", str(place.out))).code == 0
    before = content(place.out)
    late = await place.starter("export", str(place.out), "--since", "2999-01-01T00:00:00Z")
    assert late.code == 1
    assert "--since must not be later, or plans would be missed" in late.err
    assert (await place.starter("export", str(place.out), "--since", "yesterday")).code == 2
    assert content(place.out) == before


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
    assert said.json["notes"] == ["1 plans are newer than the export"]


def forged(record: PlanRecord, change: dict[str, Any], seq: int) -> PlanRecord:
    """The record with one entry changed, and every hash of its chain computed anew."""
    from airlock.audit import AuditEntry, AuditKind
    from airlock.views import StepView

    line = record.execution
    entries = []
    for number, event in enumerate(record.events, start=1):
        told = {**event.model_dump(), **(change if number == seq else {})}
        kind = told.get("kind") or (AuditKind.TRANSITION if "from_state" in told else AuditKind.UNDO)
        what = told.get("what") or told["event"]
        moved = {name: told[name] for name in ("from_state", "to_state", "step", "digest", "answer") if name in told}
        entry = AuditEntry(
            number=number, at=told["timestamp"], kind=kind, what=what, by=told["by"], reason=told["reason"], **moved
        )
        entries.append(TracedEntry(entry=entry, run_id=told["run_id"], event_id=told["event_id"]))
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
    return plan_record(
        PlanTrace(
            **same, last_run_id=line.run_id, last_event_id=line.event_id, steps=steps, entries=tuple(entries),
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
        await place.write([forged(true, {"by": "somebody else"}, seq)])
        (found,) = (await place.compare()).findings
        assert (found.file, found.line) == (name, 1 if name == EXECUTIONS else 2)
        assert f"plan 'plan-forged': entry {seq} differs from run {true.execution.run_id}" in found.message
    await place.write([forged(true, {"event_id": true.events[3].event_id + 1}, 4)])
    assert (await place.compare()).findings
    await place.write([forged(true, {}, 0)])
    assert (await place.compare()).findings == []
    said = await place.starter("verify", str(place.out), "--against-temporal", "--json")
    assert (said.code, said.json["compared"]) == (0, 1)


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
        assert compared.notes == ["1 plans are newer than the export"]
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
    await until(lambda: _closed_runs(place, "plan-reset", 2))
    (after,) = await place.records()
    assert after.execution.first_run_id == before.execution.first_run_id
    assert after.execution.run_id != before.execution.run_id
    assert after.execution.result.successful_executions == 3
    (finding,) = (await place.compare()).findings
    assert f"since then its run {before.execution.run_id} was reset to {after.execution.run_id}" in finding.message


async def _closed_runs(place: Place, workflow_id: str, count: int) -> bool:
    runs = [run async for run in place.client.list_workflows(f"WorkflowId = '{workflow_id}'")]
    return len(runs) == count and all(run.close_time for run in runs)


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


async def test_a_run_that_was_started_with_no_plan_is_told_from_its_history(place: Place) -> None:
    started = await place.client.start_workflow("PlanWorkflow", {"plan": 7}, id="plan-junk", task_queue="airlock")
    await until(lambda: _closed_runs(place, "plan-junk", 1))
    (record,) = await place.records()
    line = record.execution
    assert (line.plan_id, line.temporal_status, line.state, line.outcome) == ("junk", "FAILED", "MOCK", None)
    assert "the input is not a plan" in line.why
    assert (line.run_id, record.events) == (started.result_run_id, ())


async def test_a_run_that_temporal_does_not_have_is_forgotten(place: Place) -> None:
    with pytest.raises(Forgotten, match="is not in Temporal any more"):
        await read_plan(place.client, "plan-nobody", "0190a5bd-0000-7000-8000-000000000000")


async def test_who_settled_a_doubt_and_how_is_told_with_its_event(place: Place) -> None:
    await doubt_happened(place.airlock, "doubt")
    await place.listed("plan-doubt")
    (record,) = await place.records()
    (settled,) = [event for event in record.execution.events if event.what == "resolve"]
    assert (settled.by, settled.answer, settled.step) == ("carol", "happened", "mail")
    event = (await events(place.airlock.plan("doubt")))[settled.event_id - 1]
    assert event.HasField("workflow_execution_update_accepted_event_attributes")
    assert record.execution.result.successful_executions == 3


async def test_messages_in_one_task_come_from_an_event_each(idle: Place) -> None:
    """They arrive while no worker runs, so that one workflow task brings them all."""
    async with AsyncExitStack() as first:
        await first.enter_async_context(working(idle.client))
        handle = await idle.airlock.submit(document("many-open", *three("many-open")["steps"]))
        await until(handle.status)
        await open_(idle.airlock, "many-open")
    for who in ("eve", "mallory", "eve"):
        await handle.workflow.signal(NONSENSE, {"by": who})
    for who in ("bob", "rita", "carol"):
        await handle.workflow.signal("lock", {"by": who, "reason": f"said {who}"})
    async with idle.workers:
        await idle.start_workers()
        await until(lambda: _state(handle, "LOCKED"))
        (record,) = await idle.records()
    found = await events(handle)
    said = [event for event in record.execution.events if event.what in (NONSENSE, "lock")]
    assert [event.what for event in said] == [NONSENSE] * 3 + ["lock"] * 3
    assert len({event.event_id for event in said}) == 6
    for event in said:
        signal = found[event.event_id - 1].workflow_execution_signaled_event_attributes
        assert signal.signal_name == event.what
        if event.what == "lock":
            assert json.loads(signal.input.payloads[0].data)["by"] == event.by


async def _state(handle: Any, state: str) -> bool:
    return (await handle.status()).state == state
