"""The workflow tasks of large plans, the longest first: none may come near the two seconds of the SDK's detector.

Run with `make bench`, or alone with numbers of steps: `.venv/bin/python -m benchmarks.large 1000 5000`.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from temporalio.client import Client
from temporalio.plugin import SimplePlugin
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner

from airlock.client import Airlock
from airlock.plans.state import State
from airlock.worker.service import calm_collector
from benchmarks.server import serving
from benchmarks.tools import nothing

SHAPES = (("in rows of 30", 30), ("all at once", 0), ("one chain", 1))
SHOWN = 4


@dataclass(frozen=True)
class Task:
    """One workflow task as the worker saw it: its run's id, what it was about, seconds by the clock and of computing."""

    workflow_id: str
    jobs: str
    seconds: float
    computed: float


class TimedRunner(WorkflowRunner):
    """The worker's own runner, with a clock beside it."""

    def __init__(self, inner: WorkflowRunner, tasks: list[Task]) -> None:
        self._inner = inner
        self._tasks = tasks

    def prepare_workflow(self, defn: Any) -> None:
        self._inner.prepare_workflow(defn)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return _timed(self._inner.create_instance(det), self._tasks)

    def set_worker_level_failure_exception_types(self, types: Sequence[type[BaseException]]) -> None:
        self._inner.set_worker_level_failure_exception_types(types)


def _timed(instance: WorkflowInstance, tasks: list[Task]) -> WorkflowInstance:
    activate = instance.activate

    def measured(act: Any) -> Any:
        began, computed = time.perf_counter(), time.thread_time()
        completion = activate(act)
        jobs = [str(job.WhichOneof("variant")) for job in act.jobs]
        told = ", ".join(f"{jobs.count(name)} {name}" for name in dict.fromkeys(jobs))
        commands = [str(command.WhichOneof("variant")) for command in completion.successful.commands]
        told += " -> " + ", ".join(f"{commands.count(name)} {name}" for name in dict.fromkeys(commands))
        workflow_id = instance.get_info().workflow_id
        tasks.append(Task(workflow_id, told, time.perf_counter() - began, time.thread_time() - computed))
        return completion

    instance.activate = measured  # type: ignore[method-assign]
    return instance


def timed_client(client: Client, tasks: list[Task]) -> Client:
    """Return the same client; workers made with it write down how long each workflow task took."""

    def runner(inner: WorkflowRunner | None) -> WorkflowRunner:
        assert inner is not None
        return TimedRunner(inner, tasks)

    config = client.config()
    config["plugins"] = [*config["plugins"], SimplePlugin("timed", workflow_runner=runner)]
    return Client(**config)


def document(plan_id: str, count: int, width: int) -> dict[str, Any]:
    """Return a plan of so many steps; each waits for the one in its place in the row above."""
    steps = [
        {
            "id": f"s{n:04d}", "agent": "a", "tool": "nothing", "args": {"number": n}, "confidence": 0.95,
            "after": [f"s{n - width:04d}"] if width and n >= width else [],
        }
        for n in range(count)
    ]  # fmt: skip
    return {"plan_id": plan_id, "requested_by": "bench", "steps": steps}


async def live_through(airlock: Airlock, plan: dict[str, Any]) -> float:
    """Seconds from submission to the end."""
    began = time.perf_counter()
    handle = await airlock.submit(plan)
    status = await handle.wait_for(State.AWAITING_APPROVAL)
    await handle.workflow.signal("approve", {"by": "approver", "digest": status.digest})
    await handle.result()
    return time.perf_counter() - began


async def measure(airlock: Airlock, tasks: list[Task], count: int, width: int) -> tuple[float, list[Task]]:
    """Seconds from submission to the end of one plan, and its workflow tasks, the longest first."""
    tasks.clear()
    plan_id = f"large-{count}-{width}"
    seconds = await live_through(airlock, document(plan_id, count, width))
    own = [task for task in tasks if task.workflow_id.endswith(plan_id)]
    return seconds, sorted(own, key=lambda task: -task.computed)


async def main() -> None:
    """Measure and print."""
    sizes = [int(given) for given in sys.argv[1:]] or [1_000, 5_000]
    table = Table(title="The longest workflow tasks of large plans")
    for column in ("steps", "shape", "plan, s", "tasks", "all, s", "longest, s", "computing, s", "what it was"):
        table.add_column(column, justify="left" if column == "what it was" else "right")
    tasks: list[Task] = []
    calm_collector()
    async with serving([nothing], lambda client: timed_client(client, tasks), approval_waived_for=()) as airlock:
        for count in sizes:
            for shape, width in SHAPES:
                seconds, own = await measure(airlock, tasks, count, width)
                total = sum(task.computed for task in own)
                for number, task in enumerate(own[:SHOWN]):
                    first = (str(count), shape, f"{seconds:.0f}", str(len(own)), f"{total:.1f}")
                    measured = (f"{task.seconds:.2f}", f"{task.computed:.2f}", task.jobs)
                    table.add_row(*(first if number == 0 else ("",) * 5), *measured)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    asyncio.run(main())
