"""Measure what plans cost that wait for an approval: memory and CPU of the worker, and the wake-up of one of them.

Run with `make bench`, or alone with a number of plans: `.venv/bin/python -m benchmarks.waiting 1000`. Server and worker
run in processes of their own. The worker is the real one, with a bounded cache of runs.
"""

import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from airlock.client import Airlock
from airlock.plans.state import State
from benchmarks.apart import cpu_of, process, resident, server
from benchmarks.large import document

AT_ONCE = 20
"""Plans that are submitted at the same time."""
SETTLE = 15.0
"""Seconds after which what was under way has ended: timers of gates and monitors among it."""
REST = 30.0
"""Seconds of rest over which CPU is counted."""
CACHED = (500, 50)
"""Runs that the worker keeps in memory; the first is the default."""
CONFIG = """
[catalogue]
modules = ["benchmarks.tools"]
[policy.agents."*"]
permissions = ["*"]
"""


@dataclass(frozen=True)
class Waiting:
    """Memory and CPU of a worker while plans waited."""

    cached: int
    empty_mb: float
    """Megabytes before the first plan."""
    full_mb: float
    """Megabytes while all of them wait."""
    submit_cpu: float
    """Seconds of CPU of the worker for each plan, up to its preview."""
    rest_empty: tuple[float, float]
    """Shares of a processor that the server and the worker took before the first plan."""
    rest_full: tuple[float, float]
    """The same while all of them wait."""
    woken: tuple[float, float]
    """Seconds from the approval to the end of a plan that was in the cache, by the clock and of CPU."""
    woken_cold: tuple[float, float]
    """The same of the plan that waited longest, whose run had left the cache."""


async def measured(plans: int, cached: int) -> Waiting:
    """Let so many plans of one step wait, and wake two of them up."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "airlock.toml").write_text(CONFIG, encoding="utf-8")
        async with server(folder) as (address, pid, client):
            command = ["-m", "airlock.worker", "--config", str(folder / "airlock.toml")]
            command += ["--max-cached-workflows", str(cached)]
            async with process("worker", command, folder, "airlock worker ready", TEMPORAL_ADDRESS=address) as worker:
                airlock, both = Airlock(client), (pid, worker.pid)
                await _wait(airlock, "warm")
                rest_empty, empty = await _resting(*both), resident(worker.pid)
                before = cpu_of(worker.pid)
                digests: list[str] = []
                for start in range(0, plans, AT_ONCE):
                    numbers = range(start, min(plans, start + AT_ONCE))
                    digests += await asyncio.gather(*(_wait(airlock, str(n)) for n in numbers))
                took = cpu_of(worker.pid) - before
                rest_full, full = await _resting(*both), resident(worker.pid)
                # no question before: it would bring the run back into the cache
                cold = await _wake(airlock, "0", digests[0], both)
                warm = await _wake(airlock, str(plans - 1), digests[-1], both)
                print(f"the worker's log: {worker.said()}", file=sys.stderr)
                return Waiting(cached, empty, full, took / plans, rest_empty, rest_full, warm, cold)


async def _wait(airlock: Airlock, name: str) -> str:
    """Submit a plan, and return the digest of its preview once it waits."""
    handle = await airlock.submit(document(f"waits-{name}", 1, 0))
    digest = (await handle.wait_for(State.AWAITING_APPROVAL, every=0.2)).digest
    if digest is None:
        raise SystemExit(f"{name} has no preview")
    return digest


async def _resting(server: int, worker: int) -> tuple[float, float]:
    await asyncio.sleep(SETTLE)
    began, before = time.perf_counter(), (cpu_of(server), cpu_of(worker))
    await asyncio.sleep(REST)
    passed = time.perf_counter() - began
    return (cpu_of(server) - before[0]) / passed, (cpu_of(worker) - before[1]) / passed


async def _wake(airlock: Airlock, name: str, digest: str, processes: tuple[int, ...]) -> tuple[float, float]:
    handle = airlock.plan(f"waits-{name}")
    began, before = time.perf_counter(), cpu_of(*processes)
    await handle.workflow.signal("approve", {"by": "approver", "digest": digest})
    result = await handle.result()
    if result.outcome != "completed":
        raise SystemExit(f"{name} ended as {result.outcome}")
    return time.perf_counter() - began, cpu_of(*processes) - before


def main() -> None:
    """Measure and print."""
    plans = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    table = Table(title=f"A worker while {plans:,} plans of one step wait for their approval")
    for column in ("runs in the cache", "empty, MB", "waiting, MB", "server and worker at rest, empty", "waiting",
                   "wake-up, s", "of CPU", "not in the cache, s", "of CPU"):  # fmt: skip
        table.add_column(column, justify="right")
    for cached in CACHED:
        found = asyncio.run(measured(plans, cached))
        print(found, file=sys.stderr, flush=True)
        table.add_row(
            str(cached), f"{found.empty_mb:.0f}", f"{found.full_mb:.0f}",
            *(f"{server:.1%} {worker:.1%}" for server, worker in (found.rest_empty, found.rest_full)),
            f"{found.woken[0]:.2f}", f"{found.woken[1]:.2f}", f"{found.woken_cold[0]:.2f}", f"{found.woken_cold[1]:.2f}",
        )  # fmt: skip
    Console(width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    main()
