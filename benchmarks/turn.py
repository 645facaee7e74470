"""Measure a turn: the time and CPU from a plan's submission to its end, next to the floor of a bare Temporal workflow.

Run with `make bench`. Both run on one server and in one process, in turn, so that only the ratios mean anything. The
approver answers at once in both: what is measured is what Temporal and Airlock take.
"""

import asyncio
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from temporalio.worker import Worker

from airlock.activities.monitor import start_monitors
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import AgentPolicy, Policy
from airlock.cli.processes import Child
from airlock.client import Airlock
from airlock.plans.catalogue import Catalogue
from airlock.plans.state import State
from airlock.temporal.connection import connect_to, ensure_search_attributes, learn_of_server
from airlock.worker.roles import Limits, build_workers
from benchmarks.floor import QUEUE, Floor, call
from benchmarks.tools import look, nothing

SHAPES = ((1, False, 1), (3, False, 1), (20, True, 1), (20, False, 1), (100, True, 1), (100, False, 1), (1, False, 50))
"""Steps, parallel or in a row, and plans at the same time."""
RUNS = 9
LARGE_RUNS = 5
REST = 2.0
"""Seconds of rest for the server before a single read is measured."""
_CLOCK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """Seconds that one run took: by the clock, of the processors, and from the approval to the end."""

    clock: float
    cpu: float
    after: float


@dataclass(frozen=True)
class Bench:
    """A server with Airlock's workers and the floor's."""

    airlock: Airlock
    server: int
    """The server's process id."""

    def cpu(self) -> float:
        """Return the seconds of CPU that the server and this process have used."""
        fields = Path(f"/proc/{self.server}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _CLOCK + time.process_time()


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """Yield a server in memory with the workers of both."""
    temporal = shutil.which("temporal") or str(Path(sys.executable).with_name("temporal"))
    agents = {"*": AgentPolicy(permissions=("*",))}
    policy = Policy(agents=agents, read_lane=True)
    toolbox = Toolbox(Catalogue([nothing, look]), policy)
    with tempfile.TemporaryDirectory() as folder:
        port = 20_000 + os.getpid() % 10_000
        command = [
            temporal,
            "server",
            "start-dev",
            "--headless",
            "--ip",
            "127.0.0.1",
            "--port",
            str(port),
            "--log-level",
            "error",
        ]
        server = Child("the Temporal server", command, Path(folder) / "temporal.log", dict(os.environ))
        try:
            async with AsyncExitStack() as stack:
                client = await _connected(port)
                await ensure_search_attributes(client)
                await learn_of_server(client)
                await start_monitors(client, policy)
                for worker in build_workers(client, toolbox, limits=Limits(calls=100)):
                    await stack.enter_async_context(worker)
                await stack.enter_async_context(Worker(client, task_queue=QUEUE, workflows=[Floor], activities=[call]))
                yield Bench(Airlock(client), server.pid)
        finally:
            server.kill()


async def _connected(port: int) -> Any:
    for _ in range(300):
        try:
            client = await connect_to(f"127.0.0.1:{port}")
            async for _found in client.list_workflows(page_size=1):
                pass
        except Exception:  # noqa: BLE001  # the server is not up yet
            await asyncio.sleep(0.1)
        else:
            return client
    raise SystemExit("the Temporal server does not answer")


async def floor(bench: Bench, count: int, parallel: bool, name: str) -> float:
    """Run the floor once, and return the time of the approval."""
    handle = await bench.airlock.client.start_workflow(
        Floor.run, args=[count, parallel], id=f"floor-{name}", task_queue=QUEUE
    )
    while not await handle.query(Floor.waits):  # noqa: ASYNC110  known by looking only
        await asyncio.sleep(0.005)
    approved = time.perf_counter()
    await handle.signal(Floor.approve)
    await handle.result()
    return approved


async def plan(bench: Bench, count: int, parallel: bool, name: str) -> float:
    """Run a plan once, and return the time of the approval."""
    steps = [
        {"id": f"s{n}", "agent": "a", "tool": "nothing", "args": {"number": n}, "confidence": 0.9,
         "after": [] if parallel or n == 0 else [f"s{n - 1}"]}
        for n in range(count)
    ]  # fmt: skip
    run = await bench.airlock.submit({"plan_id": f"b-{name}", "requested_by": "bench", "steps": steps})
    status = await run.wait_for(State.AWAITING_APPROVAL, every=0.005)
    approved = time.perf_counter()
    await run.workflow.signal("approve", {"by": "approver", "digest": status.digest})
    await run.result()
    return approved


async def read(bench: Bench, name: str) -> float:
    """Run a plan of one read that needs no person, and return the time of its submission."""
    began = time.perf_counter()
    step = {"id": "see", "agent": "a", "tool": "look", "args": {"number": 1}, "confidence": 0.9}
    run = await bench.airlock.submit({"plan_id": f"b-{name}", "requested_by": "bench", "steps": [step]})
    await run.result()
    return began


async def measured(bench: Bench, run: Callable[[str], Awaitable[float]], at_once: int, name: str) -> Cost:
    """Return what so many runs at the same time took."""
    began, cpu = time.perf_counter(), bench.cpu()
    approved = await asyncio.gather(*(run(f"{name}-{n}") for n in range(at_once)))
    ended = time.perf_counter()
    return Cost(ended - began, bench.cpu() - cpu, ended - min(approved))


async def one_read(bench: Bench) -> dict[str, Any]:
    """Measure a waived read next to the floor of one step, which waits for an approval that comes at once.

    On a server that has rested: one that is busy hands tasks out late, which is most of the time of either.
    """
    reads: list[Cost] = []
    floors: list[Cost] = []
    for number in range(RUNS):
        name = f"read-{number}"
        await asyncio.sleep(REST)
        floors.append(await measured(bench, lambda n: floor(bench, 1, False, n), 1, name))
        await asyncio.sleep(REST)
        reads.append(await measured(bench, lambda n: read(bench, n), 1, name))
    ratios = {
        what: ratio([getattr(cost, what) for cost in reads], [getattr(cost, what) for cost in floors])
        for what in ("clock", "cpu")
    }
    clocks = sorted(cost.clock * 1_000 for cost in reads)
    shown = f"{statistics.median(clocks):.0f} ({clocks[0]:.0f}-{clocks[-1]:.0f})"
    floor_ms = statistics.median(cost.clock for cost in floors) * 1_000
    return {"steps": 1, "shape": "one waived read", "at_once": 1, "floor_ms": round(floor_ms, 1), "ms": shown, **ratios}


def ratio(plans: list[float], floors: list[float]) -> str:
    """Return the median of the ratios of runs that followed each other, with the lowest and the highest one."""
    found = sorted(plan / floor for plan, floor in zip(plans, floors, strict=True))
    return f"{statistics.median(found):.2f} ({found[0]:.2f}-{found[-1]:.2f})"


async def main() -> None:
    """Measure, print, and save as JSON where a file is named."""
    table = Table(
        title="A turn next to the floor: a bare workflow that waits for the same approval (medians of ratios, with ranges)"
    )
    for column in ("steps", "shape", "plans at once", "time", "CPU", "approval to end", "floor, ms"):
        table.add_column(column, justify="right")
    found: list[dict[str, Any]] = []
    async with bench() as place:
        for number in range(3):
            await measured(place, lambda name: plan(place, 1, False, name), 1, f"warm-{number}")
            await measured(place, lambda name: floor(place, 1, False, name), 1, f"warm-{number}")
        for count, parallel, at_once in SHAPES:
            plans: list[Cost] = []
            floors: list[Cost] = []
            for number in range(RUNS if count * at_once < 50 else LARGE_RUNS):
                name = f"{count}-{parallel}-{at_once}-{number}"
                floors.append(await measured(place, lambda n, c=count, p=parallel: floor(place, c, p, n), at_once, name))
                plans.append(await measured(place, lambda n, c=count, p=parallel: plan(place, c, p, n), at_once, name))
            ratios = {
                what: ratio([getattr(cost, what) for cost in plans], [getattr(cost, what) for cost in floors])
                for what in ("clock", "cpu", "after")
            }
            shape = "one" if count == 1 else "parallel" if parallel else "in a row"
            median = statistics.median(cost.clock for cost in floors) * 1_000
            table.add_row(str(count), shape, str(at_once), ratios["clock"], ratios["cpu"], ratios["after"], f"{median:.0f}")
            found.append({"steps": count, "shape": shape, "at_once": at_once, "floor_ms": round(median, 1), **ratios})
            print(f"{count} {shape} x{at_once}: {ratios}", file=sys.stderr)
        early = await one_read(place)
        found.append(early)
        table.add_row("1", "one waived read", "1", early["clock"], early["cpu"], "", f"{early['floor_ms']:.0f}")
        print(f"one waived read: {early}", file=sys.stderr)
    Console(width=120).print(table)
    print(f"one waived read is back in {early['ms']} ms: median, lowest and highest of {RUNS}")
    if len(sys.argv) > 1:
        machine = {"cores": os.cpu_count(), "python": platform.python_version(), "temporalio": version("temporalio")}
        text = json.dumps({"machine": machine, "turns": found}, indent=1) + "\n"
        await asyncio.to_thread(Path(sys.argv[1]).write_text, text, encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
