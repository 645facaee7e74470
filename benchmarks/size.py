"""Measure what the size of a plan costs: CPU and time for each step at 50 and at 5,000 steps, and the longest workflow task.

Run with `make bench`, or alone with numbers of steps, the small one first: `.venv/bin/python -m benchmarks.size 50 5000`.
Server and worker run in processes of their own, whose CPU time is counted; that of the client is not. On a machine with
other work the CPU time means more than the time by the clock.
"""

import asyncio
import json
import math
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from airlock.client import Airlock
from airlock.plans.state import State
from benchmarks.apart import cpu_of, process, server
from benchmarks.large import document
from benchmarks.size_worker import READY

SHAPES = (("in parallel", 0), ("in a row", 1))
AT_LEAST = 500
"""Steps of all plans of one size together, so that a small plan is measured over many runs."""


@dataclass(frozen=True)
class Cost:
    """Cost of plans of one size and shape: of each step, and their longest workflow task."""

    clock: float
    """Seconds by the clock."""
    worker: float
    """Seconds of CPU of the worker."""
    server: float
    """Seconds of CPU of the server."""
    tasks: int
    """Workflow tasks of one plan."""
    longest: float
    """Seconds of computing of the longest workflow task."""
    what: str
    """The jobs and commands of that task."""


@dataclass(frozen=True)
class Place:
    """A server and a worker to measure on."""

    airlock: Airlock
    server: int
    worker: int
    tasks: Path

    def tasks_of(self, prefix: str) -> list[dict[str, Any]]:
        """Return the workflow tasks of the plans whose names begin so."""
        lines = map(json.loads, self.tasks.read_text(encoding="utf-8").splitlines())
        return [task for task in lines if task["workflow_id"].startswith(f"plan-{prefix}")]


async def measured(place: Place, count: int, width: int, prefix: str) -> Cost:
    """Run plans of one size one after the other, and return what a step of them took."""
    plans = max(1, math.ceil(AT_LEAST / count))
    began, worker, served = time.perf_counter(), cpu_of(place.worker), cpu_of(place.server)
    for number in range(plans):
        await _one(place, document(f"{prefix}-{number}", count, width))
    clock = time.perf_counter() - began
    steps = plans * count
    tasks = place.tasks_of(prefix)
    longest = max(tasks, key=lambda task: task["computed"])
    return Cost(
        clock=clock / steps,
        worker=(cpu_of(place.worker) - worker) / steps,
        server=(cpu_of(place.server) - served) / steps,
        tasks=len(tasks) // plans,
        longest=longest["computed"],
        what=longest["jobs"],
    )


async def _one(place: Place, plan: dict[str, Any]) -> None:
    handle = await place.airlock.submit(plan)
    # a question to a large plan costs the worker more
    status = await handle.wait_for(State.AWAITING_APPROVAL, every=min(2.0, len(plan["steps"]) / 1_000))
    await handle.workflow.signal("approve", {"by": "approver", "digest": status.digest})
    result = await handle.result()
    if result.outcome != "completed":
        raise SystemExit(f"{plan['plan_id']} ended as {result.outcome}")


async def measure_all(sizes: list[int]) -> dict[str, list[Cost]]:
    """Return the costs of each shape, in the order of the sizes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tasks = folder / "tasks.jsonl"
        async with server(folder) as (address, pid, client):
            command = ["-m", "benchmarks.size_worker", address, str(tasks)]
            async with process("worker", command, folder, READY) as worker:
                place = Place(Airlock(client), pid, worker.pid, tasks)
                await measured(place, sizes[0], 0, "warm")
                found: dict[str, list[Cost]] = {}
                for shape, width in SHAPES:
                    for count in sizes:
                        cost = await measured(place, count, width, f"size-{count}-{width}")
                        found.setdefault(shape, []).append(cost)
                        print(f"{count} {shape}: {cost}", file=sys.stderr, flush=True)
                print(f"the worker's log: {worker.said() or 'empty'}", file=sys.stderr)
                return found


def main() -> None:
    """Measure and print."""
    sizes = [int(given) for given in sys.argv[1:]] or [50, 5_000]
    table = Table(title="What a step costs in small and in large plans, in milliseconds")
    columns = ("steps", "shape", "CPU", "x small", "worker", "server", "clock", "x small", "tasks", "longest, s", "it was")
    for column in columns:
        table.add_column(column, justify="left" if column == "it was" else "right")
    for shape, costs in asyncio.run(measure_all(sizes)).items():
        small = costs[0]
        for count, cost in zip(sizes, costs, strict=True):
            cpu, least = cost.worker + cost.server, small.worker + small.server
            table.add_row(
                f"{count:,}", shape, f"{1e3 * cpu:.1f}", f"{cpu / least:.2f}", f"{1e3 * cost.worker:.1f}",
                f"{1e3 * cost.server:.1f}", f"{1e3 * cost.clock:.1f}", f"{cost.clock / small.clock:.2f}",
                str(cost.tasks), f"{cost.longest:.2f}", cost.what,
            )  # fmt: skip
    Console(width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    main()
