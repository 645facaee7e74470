"""`export` as a person runs it, each test with a namespace and workers of its own."""

import asyncio
import json
import shutil
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from temporalio import workflow
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from airlock.base.keys import read_private_key
from airlock.cli.records.openings import read_openings
from airlock.cli.records.verify_files import check_export, verify
from airlock.client import plan_history as history
from airlock.client.exporting import AT_ONCE, GIVE_UP, Plans
from airlock.client.origins import Cause, Task, traced
from airlock.client.plan_history import NotRetained, PlanReading, read_plan
from airlock.export.files import APPROVALS, EXECUTIONS, EXPORT_FILES, HEALTH, SIGNALS, SUMMARY, TRANSITIONS
from airlock.run.audit import AuditEntry, AuditKind
from airlock.run.decisions.signature import sign
from airlock.run.messages import Approve
from tests.cli.export_place import Place, closed_runs, content, heard, idle_place, lines, place_at_work  # noqa: F401  fixtures
from tests.core.export_build import PRIVATE_KEY, PUBLIC_KEY, records
from tests.running import running
from tests.workflows.conftest import awaiting, dev_server, events, renewed_server, step, until, working  # noqa: F401  dev_server is a fixture
from tests.workflows.export_plans import (
    NONSENSE,
    approve,
    completed,
    denied,
    document,
    doubt_happened,
    open_,
    rolled_back,
    three,
    undone,
)

pytestmark = pytest.mark.slow


async def test_exported_verified_and_the_same_again(place: Place) -> None:
    lives = (completed, rolled_back, denied, undone)
    await asyncio.gather(*(life(place.airlock, life.__name__) for life in lives))
    await place.listed("plan-completed", "plan-rolled_back", "plan-denied", "plan-undone", "undo-undone")
    await until(lambda: heard(place, 5))
    said = await place.starter("export", str(place.out))
    assert (said.code, said.err) == (0, "")
    assert "eight files, 4 plans (0 open) and 1 undo" in said.out
    root = said.out.split("root ")[1].strip()
    first = content(place.out)
    assert sorted(first) == sorted(EXPORT_FILES)
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


async def test_every_seal_and_every_vote_can_be_checked_from_the_files_alone(idle: Place) -> None:
    """Two seals, a refusal, an approval of one step; its key is one of today's policy, which the plan's does not list."""
    rules = {"signature_required": "always", "approvers": ["alice", "boss"]}
    phases = {"phase21_plan_id": "21-\N{SNOWMAN}", "phase22_validation_id": "22-b"}
    put = step("a", "put", key="k", value="a secret \N{SNOWMAN} value")
    plan = document("evidence", put, step("b", "put", key="other", value=1), **phases)
    async with working(idle.client, **rules, authorized_keys=[PUBLIC_KEY.replace("AAAAIA", "AAAAIB", 1)]) as airlock:
        handle = await airlock.submit(plan)
        await awaiting(handle)
        assert (await handle.decide("lock", by="carol", reason="wait")).accepted
        assert (await handle.decide("unlock", by="carol", reason="go on")).accepted
        status = await awaiting(handle)
    async with working(idle.client, **rules, authorized_keys=[PUBLIC_KEY]):
        said = Approve(by="boss", digest=str(status.digest), steps=("a",), reason="only this")
        assert not (await handle.decide("approve", by="alice", digest=status.digest)).accepted
        signature = sign(read_private_key(PRIVATE_KEY), "evidence", said, str(status.digest))
        told = {**said.model_dump(exclude={"signature"}), "steps": ["a"], "signature": signature}
        assert (await handle.decide("approve", **told)).accepted
        assert (await handle.result()).outcome == "partial"
        await idle.listed("plan-evidence")
        assert (await idle.starter("export", str(idle.out))).code == 0
        openings = idle.folder / "openings.jsonl"
        hidden = await idle.starter("export", str(idle.folder / "hidden"), "--openings", str(openings))
        assert hidden.code == 0, hidden
        against = await idle.starter("verify", str(idle.folder / "hidden"), "--against-temporal")
        assert against.code == 0, against
    first, second = lines(idle.out, APPROVALS)
    assert (first["decisions"], first["replaced"], second["replaced"]) == ([], "wait", None)
    refused, counted = second["decisions"]
    assert (refused["by"], refused["counted"], refused["message"]["digest"]) == ("alice", False, status.digest)
    assert (counted["by"], counted["steps"], counted["message"], counted["key"]) == ("boss", ["a"], told, PUBLIC_KEY)
    assert [(one["step"], one["approved_by"]) for one in second["by_step"]] == [("a", ["boss"]), ("b", [])]
    (line,) = lines(idle.out, EXECUTIONS)
    assert [(one["step"], one["votes"], one["denials"]) for one in line["result"]["tool_results"]] == [
        ("a", 1, 0),
        ("b", 0, 0),
    ]
    assert {event["seal"] for event in line["events"] if event["kind"] == "call"} == {second["digest"]}
    every = [line, *line["events"], *lines(idle.out, TRANSITIONS), first, second]
    assert all(one[name] == said_so for one in every for name, said_so in phases.items())
    checked = check_export(idle.out)
    assert (checked.findings, checked.seals.recomputed, checked.seals.signatures) == ([], 2, 1)
    assert checked.seals.notes == [
        "plan-evidence: the key of 'boss' is not in the sealed policy, and no other policy is in the record"
    ]  # fmt: skip
    assert "a secret" in (idle.out / APPROVALS).read_text()
    assert not any(b"a secret" in data for data in content(idle.folder / "hidden").values())
    assert check_export(idle.folder / "hidden").seals.hidden == 2
    opened = check_export(idle.folder / "hidden", openings=read_openings(openings))
    assert (opened.findings, opened.seals.recomputed) == ([], 2)


async def test_one_run_that_cannot_be_read_does_not_stop_the_export_and_is_listed(place: Place) -> None:
    """So many runs of another program under the name of a plan's that an export would give up, were no worker there."""
    await denied(place.airlock, "asked")
    stuck = [f"plan-stuck-open-{number}" for number in range(GIVE_UP + AT_ONCE)]
    others = Worker(place.client, task_queue="others", workflows=[Foreign], workflow_runner=UnsandboxedWorkflowRunner())
    async with running([others]):
        for workflow_id in stuck:  # newer than the plan: visibility lists them first
            await place.client.start_workflow("PlanWorkflow", id=workflow_id, task_queue="others")
        for workflow_id in stuck:
            await until(partial(begun, place, workflow_id))
        await place.listed("plan-asked", *stuck)
        said = await place.starter("export", str(place.out), "--json")
        assert said.code == 0, said
        assert sorted(plan["workflow_id"] for plan in said.json["unreadable"]) == sorted(stuck)
        assert all(plan["why"] and plan["run_id"] for plan in said.json["unreadable"])
        assert [line["workflow_id"] for line in lines(place.out, EXECUTIONS)] == ["plan-asked"]
        checked = await place.starter("verify", str(place.out), "--against-temporal")
        assert checked.code == 0, checked
        assert "plan-stuck-open-0 could not be read at the export" in checked.err.replace("\n", " ")
        again = await place.starter("export", str(place.out), "--since", "last", "--json")
        assert (again.code, len(again.json["unreadable"])) == (0, len(stuck))


@workflow.defn(name="PlanWorkflow")
class Foreign:
    """Workflow of another program under the name of a plan's: it knows no query."""

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)


async def begun(place: Place, workflow_id: str) -> bool:
    """Return True if a worker has carried out the first workflow task of a run."""
    history = await place.client.get_workflow_handle(workflow_id).fetch_history()
    return any(event.HasField("workflow_task_completed_event_attributes") for event in history.events)


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
    await asyncio.gather(open_(place.airlock, "open"), open_(place.airlock, "open-still"))
    await place.listed("plan-before", "plan-open", "plan-open-still")
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
    """Return the part about plans: a monitor may have heard more between two exports."""
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


async def test_a_run_that_was_started_with_no_plan_is_told_from_its_history(place: Place) -> None:
    started = await place.client.start_workflow("PlanWorkflow", {"plan": 7}, id="plan-junk", task_queue="airlock")
    await until(lambda: closed_runs(place, "plan-junk", 1))
    (record,) = await place.records()
    line = record.execution
    assert (line.plan_id, line.temporal_status, line.state, line.outcome) == ("junk", "FAILED", "MOCK", None)
    assert line.why == "the input is not a plan: plan: is a whole number, not an object {...}; write an object {...}"
    assert (line.run_id, record.events) == (started.result_run_id, ())


async def test_a_run_that_temporal_does_not_have_is_forgotten(place: Place) -> None:
    with pytest.raises(NotRetained, match="is not retained in Temporal any more"):
        await read_plan(place.client, "plan-unknown", "0190a5bd-0000-7000-8000-000000000000")


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


NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def test_of_two_messages_in_one_task_each_comes_from_what_its_own_sender_sent() -> None:
    causes = [Cause(5, "message lock", "bob"), Cause(6, "message lock", "carol"), Cause(7, "call", steps=("a", "b"))]
    tasks = [Task("run", NOON, 4, []), Task("run", NOON + timedelta(seconds=1), 10, causes)]
    said = [("refused", "lock", "carol", None), ("decision", "lock", "bob", None), ("call", "live", "airlock", "b")]
    entries = [
        AuditEntry(number=number, at=NOON + timedelta(seconds=1), kind=AuditKind(kind), what=what, by=by, step=step)
        for number, (kind, what, by, step) in enumerate([*said, ("call", "live", "airlock", "c")], start=1)
    ]
    assert [found.event_id for found in traced(entries, tasks, "run")] == [6, 5, 7, 10]


@pytest.mark.parametrize("turned", [False, True])
def test_of_a_run_and_its_reset_the_later_one_stands_for_the_plan_in_whatever_order_they_are_read(turned: bool) -> None:
    record = next(iter(records(1)))
    execution = record.execution.model_copy(update={"run_id": "reset"})
    readings = [PlanReading(record, NOON), PlanReading(record.model_copy(update={"execution": execution}), NOON, "", True)]
    with closing(Plans()) as plans:
        for reading in reversed(readings) if turned else readings:
            plans.keep(reading)
        assert len(plans.in_order()) == 1
        kept = plans.record(plans.in_order()[0])
        assert kept is not None
        assert kept.execution.run_id == "reset"
