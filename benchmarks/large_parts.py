"""The seconds that a large plan computes in the workflow's own code, part by part, without a server.

Run with `make bench`, or alone with numbers of steps: `.venv/bin/python -m benchmarks.large_parts 1000 5000`. A part that
runs inside one workflow task may take a fraction of the two seconds that the SDK gives such a task.
"""

import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from airlock.admission.examination import examine
from airlock.admission.policy import AgentPolicy, Policy
from airlock.monitoring.outbox import Outbox
from airlock.plans.catalogue import Catalogue
from airlock.plans.outcome import CallSucceeded, MockFailed, PreviewFailed, StepPreview
from airlock.plans.plan import Plan, parse_plan
from airlock.plans.schedule import MAX_IN_FLIGHT, Schedule
from airlock.plans.state import Event
from airlock.run.live.call_results import after_calls, take_outcomes
from airlock.run.live.gate_requests import entry_request, leave_request
from airlock.run.presentation.details import details
from airlock.run.presentation.preview import render_preview
from airlock.run.presentation.views import plan_result, status_view
from airlock.run.rehearsal import begin_previews, begin_rehearsal, seal_run, take_mocks, take_previews
from airlock.run.state import Run
from airlock.wire import PlanStart
from airlock.worker.service import calm_collector
from benchmarks.large import document
from benchmarks.tools import nothing

SHAPES = (("rows of 30", 30), ("all at once", 0), ("one chain", 1))
BATCH = 1_000
"""Previews in one answer of an activity, about; its size bounds it, not the number."""
_NOW = datetime(2030, 1, 1, tzinfo=UTC)


class Clock:
    """The parts of one plan, with the seconds that each took."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}

    def time(self, name: str, work: Callable[[], Any]) -> Any:
        """Run a part and keep the longest time that it took."""
        began = time.thread_time()
        value = work()
        self.parts[name] = max(self.parts.get(name, 0.0), time.thread_time() - began)
        return value


def previews_of(plan: Plan, failing: int) -> list[StepPreview | PreviewFailed]:
    """Return a preview for every step; the last few steps fail."""
    broken = {step.id for step in plan.steps[len(plan.steps) - failing :]}
    return [
        PreviewFailed(step=step.id, error="the target refused it")
        if step.id in broken
        else StepPreview(step=step.id, looked=True, effect="nothing", args=step.args, output=step.args, undo="nothing")
        for step in plan.steps
    ]


def measured(count: int, width: int) -> dict[str, float]:
    """Return the seconds of every part for one plan."""
    clock = Clock()
    proposed = document(f"parts-{count}-{width}", count, width)
    plan: Plan = clock.time("parse_plan", lambda: parse_plan(proposed))
    policy = Policy(agents={"*": AgentPolicy(permissions=("*",))})
    examined = clock.time("examine (activity)", lambda: examine(plan, Catalogue([nothing]), policy))
    run = Run(plan=plan, submitted_at=_NOW, since=_NOW)
    clock.time("begin_rehearsal", lambda: begin_rehearsal(run, examined.admitted))
    clock.time("take_mocks", lambda: take_mocks(run, [MockFailed(step=plan.steps[-1].id, error="no")]))
    run.apply(Event.REHEARSED, _NOW)
    run.fallen, run.mock_failed = {}, ()
    begin_previews(run)
    failing = previews_of(plan, count // 10)
    for start in range(0, count, BATCH):
        batch = failing[start : start + BATCH]
        clock.time("take_previews", lambda batch=batch: take_previews(run, batch))
    begin_previews(run)
    clock.time("update_ceilings", run.update_ceilings)
    take_previews(run, previews_of(plan, 0))
    clock.time("seal_run", lambda: seal_run(run, _NOW))
    run.apply(Event.PREVIEWED, _NOW)
    clock.time("details", lambda: details(run))
    sealed, digest = run.sealed, run.digest
    assert sealed is not None
    assert digest is not None
    clock.time("preview text (query)", lambda: render_preview(sealed, digest))
    clock.time("status (query)", lambda: status_view(run))
    _live(run, clock)
    clock.time("plan_result", lambda: plan_result(run))
    adapter = TypeAdapter(PlanStart)
    written = clock.time("carry: encode", lambda: adapter.dump_json(PlanStart(run=run, outbox=Outbox())))
    clock.time("carry: decode", lambda: adapter.validate_python(TypeAdapter(Any).validate_json(written)))
    clock.parts["carry, MB"] = len(written) / 1e6
    return clock.parts


def _live(run: Run, clock: Clock) -> None:
    """Approve everything and record a success for every call, as the live stage does."""
    run.approved = tuple(step.id for step in run.plan.steps)
    run.apply(Event.APPROVED, _NOW)
    clock.time("entry_request", lambda: entry_request(run, f"plan-{run.plan.plan_id}"))
    parents = run.contracts().parents
    schedule = clock.time("Schedule()", lambda: Schedule(parents, run.approved, chainable=run.approved))
    while chains := clock.time("Schedule.take", lambda: schedule.take(MAX_IN_FLIGHT)):
        steps = [step for chain in chains for step in chain]
        clock.time("take_outcomes (200)", lambda steps=steps: take_outcomes(run, _successes(steps), _NOW))
        clock.time("Schedule.finish (200)", lambda steps=steps: [schedule.finish(step) for step in steps])
    clock.time("after_calls", lambda: after_calls(run, [], _NOW, deadline_passed=False))
    clock.time("leave_request", lambda: leave_request(run, f"plan-{run.plan.plan_id}"))


def _successes(steps: Iterable[str]) -> list[CallSucceeded]:
    return [CallSucceeded(step=step, output={"number": 1}, undo={"before": step}) for step in steps]


def main() -> None:
    """Measure and print."""
    sizes = [int(given) for given in sys.argv[1:]] or [1_000, 5_000]
    calm_collector()
    columns = [(count, shape, width) for count in sizes for shape, width in SHAPES]
    table = Table(title="What a large plan computes, in seconds")
    table.add_column("part")
    for count, shape, _ in columns:
        table.add_column(f"{count:,}\n{shape}", justify="right")
    results = [measured(count, width) for count, _, width in columns]
    for part in results[0]:
        table.add_row(part, *(f"{result[part]:.3f}" for result in results))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    main()
