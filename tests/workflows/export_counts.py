"""`python -m tests.workflows.export_counts --plans 500`: is every exported number what the raw histories come to?

Plans of every ending are lived through on a server of its own, exported twice, verified, verified against Temporal, and
every number is compared with one that is counted event by event, without anything the export is made with.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from airlock.activities.toolbox import Toolbox
from airlock.cli.records.export_files import export_files
from airlock.cli.records.verify_files import check_export
from airlock.cli.records.verify_temporal import verify_against_temporal
from airlock.client import Airlock
from airlock.client.exporting import monitored, plans_of
from airlock.client.monitors import Monitors
from airlock.export.files import APPROVALS, CONFLICTS, EXECUTIONS, HEALTH, ROLLBACKS, SUMMARY, TRANSITIONS
from airlock.temporal.connection import DATA_CONVERTER, ensure_search_attributes
from airlock.worker.roles import build_workers
from tests.running import running
from tests.workflows.conftest import POLICY, binary, catalogue, until
from tests.workflows.export_plans import live_through
from tests.workflows.export_raw import KEPT_REFUSALS, RawPlan, raw_plans, value


async def exported(client: Client, folder: Path) -> str:
    """Export a namespace as the command does; the root digest."""
    async with plans_of(client) as plans:
        assert not plans.unread, plans.unread
        health, signals = await monitored(client)
        made = await export_files(folder, plans.records(), pipeline_id=client.namespace, signals=signals, health=health)
    return made.hash


async def listed(client: Client, plans: int) -> bool:
    """Return True if visibility knows that all plans but the open ones have ended."""
    running = "WorkflowType = 'PlanWorkflow' AND ExecutionStatus = 'Running'"
    ended = "WorkflowType = 'PlanWorkflow' AND ExecutionStatus != 'Running' AND ExecutionStatus != 'ContinuedAsNew'"
    counts = [(await client.count_workflows(query)).count for query in (running, ended)]
    open_now = [run.id async for run in client.list_workflows(running) if not run.id.startswith("plan-open-")]
    return sum(counts) >= plans and not open_now


async def heard(client: Client) -> bool:
    """Return True if the monitor has heard of every end that was reported."""
    total = (await Monitors(client).counted()).windows.total
    ended = "WorkflowType = 'PlanWorkflow' AND ExecutionStatus = 'Completed'"
    return sum(total.outcomes.values()) + total.undo_runs == (await client.count_workflows(ended)).count


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def differences(folder: Path, raw: dict[str, RawPlan]) -> list[str]:
    """Return every exported number that is not the one counted from the events."""
    wrong: list[str] = []

    def same(what: str, told: object, counted: object) -> None:
        if told != counted:
            wrong.append(f"{what}: exported {told}, counted {counted}")

    executions = {line["workflow_id"]: line for line in lines(folder, EXECUTIONS)}
    same("the plans", sorted(executions), sorted(raw))
    for workflow_id in sorted(executions.keys() & raw.keys()):
        for what, told, counted in _of_plan(executions[workflow_id], raw[workflow_id]):
            same(f"{workflow_id}: {what}", told, counted)
    transitions = Counter(line["workflow_id"] for line in lines(folder, TRANSITIONS))
    rollbacks = Counter((line["workflow_id"], line["event"]) for line in lines(folder, ROLLBACKS))
    for plan in raw.values():
        same(f"{plan.workflow_id}: transition lines", transitions[plan.workflow_id], plan.transitions)
        same(f"{plan.workflow_id}: undone lines", rollbacks[plan.workflow_id, "undone"], plan.undone)
        # an undo after the end reports what was kept before; only the plan's own rollback tells it
        same(f"{plan.workflow_id}: kept lines", rollbacks[plan.workflow_id, "kept"], plan.kept)
    seals = Counter(line["workflow_id"] for line in lines(folder, APPROVALS))
    for plan in raw.values():
        same(f"{plan.workflow_id}: lines of seals", seals[plan.workflow_id], plan.seals)
    for what, told, counted in _of_all(folder, list(raw.values())):
        same(what, told, counted)
    for what, told, counted in _of_health(json.loads((folder / HEALTH).read_text()), list(raw.values())):
        same(what, told, counted)
    wrong += _origins(folder, raw)
    return wrong


def _of_plan(line: dict[str, Any], plan: RawPlan) -> list[tuple[str, object, object]]:
    result = line["result"]
    messages = Counter(event["kind"] for event in line["events"])
    return [
        ("successful_executions", result["successful_executions"], plan.number("live")),
        ("failed_executions", result["failed_executions"], plan.number("failed")),
        ("in_doubt_executions", result["in_doubt_executions"], plan.number("in_doubt")),
        ("calls", {one["step"]: one["calls"] for one in result["tool_results"] if one["calls"]}, dict(plan.calls)),
        ("rollbacks_executed", result["rollbacks_executed"], plan.undone),
        ("conflicts_detected", result["conflicts_detected"], len(plan.conflicts)),
        ("conflicts_resolved", result["conflicts_resolved"], len(plan.conflicts)),
        ("refused_messages", result["refused_messages"], plan.refused),
        ("votes", {one["step"]: one["votes"] for one in result["tool_results"] if one["votes"]}, dict(plan.votes)),
        ("denials", {one["step"]: one["denials"] for one in result["tool_results"] if one["denials"]}, dict(plan.denials)),
        ("seals", line["seals"], plan.seals),
        ("decisions", messages["decision"], plan.accepted),
        ("refusals", messages["refused"], min(plan.refused, KEPT_REFUSALS)),
        ("transitions", line["transitions"], plan.transitions),
        ("outcome", line["outcome"], plan.outcome),
        ("temporal_status", line["temporal_status"], "RUNNING" if plan.status == "OPEN" else plan.status),
        ("submitted_at", line["submitted_at"], _text(plan.began)),
        ("closed_at", line["closed_at"], _text(plan.ended)),
        ("last run", line["run_id"], plan.runs[-1]),
        ("first run", line["first_run_id"], plan.runs[0]),
        ("last event", line["event_id"], max(number for run, number in plan.events if run == plan.runs[-1])),
    ]


def _text(when: datetime | None) -> str | None:
    return None if when is None else when.isoformat().replace("+00:00", "Z")


def _of_all(folder: Path, raw: list[RawPlan]) -> list[tuple[str, object, object]]:
    summary, conflicts = (json.loads((folder / name).read_text()) for name in (SUMMARY, CONFLICTS))
    plans = [plan for plan in raw if not plan.undo]
    verdicts = Counter(plan.verdict for plan in plans)
    found = [conflict for plan in raw for conflict in plan.conflicts]
    return [
        ("plans_processed", summary["plans_processed"], len(plans)),
        ("undos_processed", summary["undos_processed"], len(raw) - len(plans)),
        *((f"plans_{name}", summary[f"plans_{name}"], verdicts[name]) for name in ("successful", "failed", "open")),
        ("by_outcome", _some(summary["by_outcome"]), dict(Counter(plan.outcome for plan in plans if plan.outcome))),
        ("total_tools_executed", summary["total_tools_executed"], sum(p.number("live") + p.number("failed") for p in raw)),
        ("total_in_doubt", summary["total_in_doubt"], sum(plan.number("in_doubt") for plan in raw)),
        ("total_rollbacks", summary["total_rollbacks"], sum(plan.undone for plan in raw)),
        ("total_transitions", summary["total_transitions"], sum(plan.transitions for plan in raw)),
        ("total_seals", summary["total_seals"], sum(plan.seals for plan in raw)),
        ("total_approvals", summary["total_approvals"], sum(plan.approvals for plan in raw)),
        ("total_denials", summary["total_denials"], sum(plan.denied for plan in raw)),
        ("total_conflicts", summary["total_conflicts"], len(found)),
        ("total_conflicts", conflicts["total_conflicts"], len(found)),
        ("by_type", _some(conflicts["by_type"]), dict(Counter(kind for kind, _ in found))),
        ("by_resolution_strategy", _some(conflicts["by_resolution_strategy"]), dict(Counter(how for _, how in found))),
        ("start_time", summary["start_time"], _text(min(plan.began for plan in raw if plan.began))),
        ("end_time", summary["end_time"], _text(max(plan.ended for plan in raw if plan.ended))),
    ]


CONFIDENCE = 0.95
"""Return the confidence that every agent states in these plans."""


def _of_health(told: dict[str, Any], raw: list[RawPlan]) -> list[tuple[str, object, object]]:
    """Return the samples, the shares and the score by its formula; reports of a stage come when a plan leaves it."""
    calls, ok = sum(sum(plan.ends.values()) for plan in raw), sum(plan.ends["live"] for plan in raw)
    looks = [plan.looks[0] for plan in raw if plan.status != "OPEN" and plan.looks]
    ended = [plan for plan in raw if plan.status == "COMPLETED" and plan.was("LIVE")]
    clean = [plan for plan in ended if not plan.was("ROLLBACK") and plan.outcome in ("completed", "partial")]
    approved = sum(plan.moves["AWAITING_APPROVAL", "LIVE"] for plan in raw)
    decisions = approved + sum(plan.moves["AWAITING_APPROVAL", "MOCK"] for plan in raw)
    success, rollback = ok / calls, sum(plan.was("ROLLBACK") for plan in ended) / len(ended)
    conflict, drift, accuracy = sum(map(bool, looks)) / len(looks), abs(CONFIDENCE - ok / calls), len(clean) / len(ended)
    score = 30 * success + 15 * (1 - rollback) + 15 * (1 - conflict) + 10 * (1 - drift) + 30 * accuracy
    samples, metrics = told["samples"], told["metrics"]
    return [
        ("samples", samples, {"calls": calls, "rehearsals": len(looks), "ended_live": len(ended), "decisions": decisions}),
        ("tool_success_rate", round(metrics["tool_success_rate"], 9), round(success, 9)),
        ("rollback_frequency", round(metrics["rollback_frequency"], 9), round(rollback, 9)),
        ("conflict_rate", round(metrics["conflict_rate"], 9), round(conflict, 9)),
        ("confidence_drift", round(metrics["confidence_drift"], 9), round(drift, 9)),
        ("approval_rate", round(metrics["approval_rate"], 9), round(approved / decisions, 9)),
        ("approval_accuracy", round(told["approval_accuracy"], 9), round(accuracy, 9)),
        ("health_score", told["health_score"], round(score, 2)),
    ]


def _some(counts: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}


_FROM = {
    "transition": {"workflow_task_completed"},
    "call": {"activity_task_completed"},
    "undo": {"activity_task_completed", "workflow_task_completed"},
    "decision": {
        "workflow_execution_signaled", "workflow_execution_update_accepted", "workflow_execution_cancel_requested",
        "activity_task_completed",
    },
    "refused": {"workflow_execution_signaled", "workflow_execution_update_accepted"},
    "admission": {"activity_task_completed"},
    "conflict": {"activity_task_completed"},
}  # fmt: skip


def _origins(folder: Path, raw: dict[str, RawPlan]) -> list[str]:
    """Entries that name an event which is not there, is of another kind, came later, or says something else."""
    wrong: list[str] = []
    every = [(line["workflow_id"], event["kind"], event) for line in lines(folder, EXECUTIONS) for event in line["events"]]
    every += [(line["workflow_id"], "transition", line) for line in lines(folder, TRANSITIONS)]
    every += [(line["workflow_id"], "undo", line) for line in lines(folder, ROLLBACKS)]
    messages: Counter[tuple[str, int]] = Counter()
    for workflow_id, kind, entry in every:
        place = f"{workflow_id}: entry {entry['seq']} ({kind}) from event {entry['event_id']}"
        event = raw[workflow_id].events.get((entry["run_id"], entry["event_id"]))
        if event is None:
            wrong.append(f"{place}: there is none")
            continue
        came = str(event.WhichOneof("attributes")).removesuffix("_event_attributes")
        if came not in _FROM[kind]:
            wrong.append(f"{place}: that is {came}")
        if came == "activity_task_completed" and kind in ("call", "undo") and not _answers(event, entry):
            wrong.append(f"{place}: it does not say so of that step")
        if kind == "refused" or (kind == "decision" and came != "activity_task_completed"):
            messages[entry["run_id"], entry["event_id"]] += 1
        at = datetime.fromisoformat(entry["timestamp"]).timestamp()
        when = event.event_time.ToNanoseconds() / 1e9
        # what one activity rehearsed has the times at which it happened, before its answer
        prepared = came == "activity_task_completed" and kind in ("admission", "conflict", "transition")
        if came != "workflow_task_completed" and "update" not in came and not prepared and when > at + 1e-3:
            wrong.append(f"{place}: that came later")
        signal = event.workflow_execution_signaled_event_attributes.signal_name
        if signal and signal != entry.get("what"):
            wrong.append(f"{place}: that is the signal {signal}")
    for seal in lines(folder, APPROVALS):
        for told in seal["decisions"]:
            wrong += _evidence(raw[seal["workflow_id"]], told)
    wrong += [
        f"event {event} of run {run} explains {count} messages" for (run, event), count in messages.items() if count > 1
    ]
    return wrong


def _evidence(plan: RawPlan, told: dict[str, Any]) -> list[str]:
    """Return what a decision says of its message that the stored event does not."""
    place = f"{plan.workflow_id}: decision of entry {told['entry']} from event {told['event_id']}"
    event = plan.events[told["run_id"], told["event_id"]]
    if event.HasField("workflow_execution_signaled_event_attributes"):
        sent = value(event.workflow_execution_signaled_event_attributes.input.payloads[0])
    elif event.HasField("workflow_execution_update_accepted_event_attributes"):
        request = event.workflow_execution_update_accepted_event_attributes.accepted_request
        sent = value(request.input.args.payloads[0])
        sent = {name: said for name, said in sent.items() if name != "decision"}
    else:
        return [f"{place}: that is no message"]
    stored = datetime.fromisoformat(told["stored_at"]).timestamp()
    late = abs(stored - event.event_time.ToNanoseconds() / 1e9) > 1e-5
    wrong = [f"{place}: {told['message']} was not sent, {sent} was"] if told["message"] != sent else []
    return wrong + ([f"{place}: it was not stored at {told['stored_at']}"] if late else [])


def _answers(event: HistoryEvent, entry: dict[str, Any]) -> bool:
    """Return True if an activity answered what an entry about a call or a compensation says."""
    said = value(event.activity_task_completed_event_attributes.result.payloads[0])
    found = (entry["step"], entry.get("what") or entry["event"])
    return found in [(one["step"], one["kind"]) for one in said.get("attempts", [said])]


async def check(client: Client, plans: int, folder: Path) -> list[str]:
    """Live through so many plans, export them, and compare; what is wrong."""
    airlock = Airlock(client)
    began = time.monotonic()
    await live_through(airlock, plans)
    await until(lambda: listed(client, plans))
    await until(lambda: heard(client))
    lived = time.monotonic() - began
    first, second = await exported(client, folder / "one"), await exported(client, folder / "two")
    wrote = time.monotonic() - began - lived
    wrong = [] if first == second else [f"two exports of the same plans: {first} and {second}"]
    checked = check_export(folder / "one", first)
    wrong += [f"verify: {finding}" for finding in (*checked.findings, *checked.seals.notes)]
    wrong += [f"{checked.seals.missing} seals have no content"] if checked.seals.missing or checked.seals.hidden else []
    compared = await verify_against_temporal(folder / "one", client, datetime.now(UTC))
    wrong += [f"against Temporal: {found}" for found in (*compared.findings, *compared.notes)]
    raw = await raw_plans(client)
    wrong += [] if compared.compared == len(raw) else [f"{compared.compared} compared of {len(raw)}"]
    wrong += differences(folder / "one", raw)
    events = sum(len(plan.events) for plan in raw.values())
    print(
        f"{len(raw)} plans and undos, {events} events; lived through in {lived:.0f} s, exported twice in {wrote:.1f} s; "
        f"endings {dict(Counter(plan.outcome or plan.status for plan in raw.values()))}"
    )
    return wrong


async def main(plans: int) -> int:
    async with AsyncExitStack() as stack:
        env = await stack.enter_async_context(
            await WorkflowEnvironment.start_local(
                dev_server_existing_path=binary("temporal"), ip="127.0.0.1", data_converter=DATA_CONVERTER,
                dev_server_log_level="error",
            )
        )  # fmt: skip
        await ensure_search_attributes(env.client)
        await stack.enter_async_context(running(build_workers(env.client, Toolbox(catalogue(), POLICY))))
        with tempfile.TemporaryDirectory() as folder:
            wrong = await check(env.client, plans, Path(folder))
    for line in wrong:
        print(f"WRONG {line}")
    print("every exported number is what the histories come to" if not wrong else f"{len(wrong)} are wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--plans", type=int, default=500)
    raise SystemExit(asyncio.run(main(parser.parse_args().plans)))
