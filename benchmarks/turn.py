"""Measure a turn: the time and CPU from a plan's submission to its end, next to the floor of a bare Temporal workflow.

Run with `make bench`. Both run on one server and in one process, in turn, so that only the ratios mean anything. The
approver answers at once in both: what is measured is what Temporal and Airlock take.
"""

import asyncio
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

from airlock.activities.monitor import start_monitors
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import AgentPolicy, Policy
from airlock.client import Airlock
from airlock.plans.catalogue import Catalogue
from airlock.plans.state import State
from airlock.temporal.connection import ensure_search_attributes, learn_of_server
from airlock.worker.roles import Limits, build_workers
from benchmarks.floor import QUEUE, Floor, call, waits
from benchmarks.lines import cpu
from benchmarks.plots import draw_ratios
from benchmarks.report import Sheet, save
from benchmarks.server import temporal_process
from benchmarks.tools import BEGUN, look, nothing

SHAPES = ((1, False, 1), (3, False, 1), (20, True, 1), (20, False, 1), (100, True, 1), (100, False, 1), (1, False, 50))
"""Steps, parallel or in a row, and plans at the same time."""
COLUMNS = ("steps", "shape", "plans at once", "time", "CPU", "approval to first call", "to end", "floor, ms")
RUNS = 9
LARGE_RUNS = 5
REST = 2.0
"""Seconds of rest for the server before a single read is measured."""


@dataclass(frozen=True)
class Cost:
    """Seconds that one run took: by the clock, of the processors, from the approval to the end and to the first call."""

    clock: float
    cpu: float
    after: float
    first: float


@dataclass(frozen=True)
class Bench:
    """A server with Airlock's workers and the floor's."""

    airlock: Airlock
    bare: Client
    """The floor's own client, as any program makes one: it pays nothing for Airlock's converter."""
    server: int
    """The server's process id."""

    def cpu(self) -> float:
        """Return the seconds of CPU that the server and this process have used."""
        return cpu((self.server,))


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """Yield a server in memory with the workers of both."""
    policy = Policy(agents={"*": AgentPolicy(permissions=("*",))}, read_lane=True)
    toolbox = Toolbox(Catalogue([nothing, look]), policy)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = await stack.enter_async_context(temporal_process(Path(folder)))
        await ensure_search_attributes(server.client)
        await learn_of_server(server.client)
        await start_monitors(server.client, policy)
        for worker in build_workers(server.client, toolbox, limits=Limits(calls=100)):
            await stack.enter_async_context(worker)
        bare = await Client.connect(server.address)
        await stack.enter_async_context(Worker(bare, task_queue=QUEUE, workflows=[Floor], activities=[call]))
        yield Bench(Airlock(server.client), bare, server.pid)


async def floor(bench: Bench, count: int, parallel: bool, name: str) -> float:
    """Run the floor once, and return the time of the approval."""
    handle = await bench.bare.start_workflow(Floor.run, args=[count, parallel], id=f"floor-{name}", task_queue=QUEUE)
    while not await waits(handle):  # noqa: ASYNC110  known by looking only
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
    BEGUN.clear()
    began, cpu = time.perf_counter(), bench.cpu()
    approved = await asyncio.gather(*(run(f"{name}-{n}") for n in range(at_once)))
    ended = time.perf_counter()
    return Cost(ended - began, bench.cpu() - cpu, ended - min(approved), min(BEGUN) - min(approved))


async def one_read(bench: Bench, runs: int) -> dict[str, Any]:
    """Measure a waived read next to the floor of one step, which waits for an approval that comes at once.

    On a server that has rested: one that is busy hands tasks out late, which is most of the time of either.
    """
    reads: list[Cost] = []
    floors: list[Cost] = []
    for number in range(runs):
        name = f"read-{number}"
        await asyncio.sleep(REST)
        floors.append(await measured(bench, lambda n: floor(bench, 1, False, n), 1, name))
        await asyncio.sleep(REST)
        reads.append(await measured(bench, lambda n: read(bench, n), 1, name))
    ranges = {
        what: ratio([getattr(cost, what) for cost in reads], [getattr(cost, what) for cost in floors])
        for what in ("clock", "cpu")
    }
    clocks = sorted(cost.clock * 1_000 for cost in reads)
    shown = f"{statistics.median(clocks):.0f} ({clocks[0]:.0f}-{clocks[-1]:.0f})"
    floor_ms = statistics.median(cost.clock for cost in floors) * 1_000
    ratios = {what: f"{middle:.2f} ({low:.2f}-{high:.2f})" for what, (low, middle, high) in ranges.items()}
    return {"steps": 1, "shape": "one waived read", "at_once": 1, "floor_ms": round(floor_ms, 1), "ms": shown, **ratios}


def ratio(plans: list[float], floors: list[float]) -> tuple[float, float, float]:
    """Return the lowest of the ratios of runs that followed each other, the median and the highest."""
    found = sorted(plan / floor for plan, floor in zip(plans, floors, strict=True))
    return found[0], statistics.median(found), found[-1]


async def main(shapes: Sequence[tuple[int, bool, int]] = SHAPES, runs: int = RUNS, file: str | None = None) -> None:
    """Measure, print and save, also where a file is named."""
    rows: list[list[str]] = []
    found: list[dict[str, Any]] = []
    async with bench() as place:
        for number in range(3):
            await measured(place, lambda name: plan(place, 1, False, name), 1, f"warm-{number}")
            await measured(place, lambda name: floor(place, 1, False, name), 1, f"warm-{number}")
        for count, parallel, at_once in shapes:
            plans: list[Cost] = []
            floors: list[Cost] = []
            for number in range(runs if count * at_once < 50 else min(runs, LARGE_RUNS)):
                name = f"{count}-{parallel}-{at_once}-{number}"
                floors.append(await measured(place, lambda n, c=count, p=parallel: floor(place, c, p, n), at_once, name))
                plans.append(await measured(place, lambda n, c=count, p=parallel: plan(place, c, p, n), at_once, name))
            ranges = {
                what: ratio([getattr(cost, what) for cost in plans], [getattr(cost, what) for cost in floors])
                for what in ("clock", "cpu", "first", "after")
            }
            ratios = {what: f"{middle:.2f} ({low:.2f}-{high:.2f})" for what, (low, middle, high) in ranges.items()}
            shape = "one" if count == 1 else "parallel" if parallel else "in a row"
            median = statistics.median(cost.clock for cost in floors) * 1_000
            rows.append([str(count), shape, str(at_once), *ratios.values(), f"{median:.0f}"])
            found.append(
                {
                    "steps": count,
                    "shape": shape,
                    "at_once": at_once,
                    "floor_ms": round(median, 1),
                    **ratios,
                    "ranges": ranges,
                }
            )
            print(f"{count} {shape} x{at_once}: {ratios}", file=sys.stderr)
        early = await one_read(place, runs)
        rows.append(["1", "one waived read", "1", early["clock"], early["cpu"], "", "", f"{early['floor_ms']:.0f}"])
        print(f"one waived read: {early}", file=sys.stderr)
    title = "A turn next to the floor: a bare workflow that waits for the same approval (medians of ratios, with ranges)"
    path = save("turn", [Sheet(title, COLUMNS, rows, left=0)], [*found, early])
    print(f"one waived read is back in {early['ms']} ms: median, lowest and highest of {runs}")
    if file is not None:
        await asyncio.to_thread(shutil.copyfile, path, file)
    _draw(path, found)


def _draw(path: Path, found: list[dict[str, Any]]) -> None:
    labels = [f"{each['steps']} {each['shape']}" + (f" x{each['at_once']}" if each["at_once"] > 1 else "") for each in found]
    kinds = {"time": "clock", "CPU": "cpu", "approval to first call": "first", "approval to end": "after"}
    values = [[tuple(each["ranges"][what]) for each in found] for what in kinds.values()]
    draw_ratios(path.with_suffix(".svg"), "Airlock, times the floor", labels, list(kinds), values)


if __name__ == "__main__":
    asyncio.run(main(file=sys.argv[1] if len(sys.argv) > 1 else None))
