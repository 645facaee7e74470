"""Measure the reports a second that one monitor absorbs, its time to answer meanwhile, and that nothing grows.

Run with `make bench`, or alone with `python -m benchmarks.monitor`. Senders send reports of 5 live calls each, one signal
each as plans do: first as fast as Temporal takes them, then at half the rate that was absorbed. A report is absorbed when it
is counted. Meanwhile its `health`, which holds everything it knows, is asked for twice a second. Server, workers
and senders share this machine.
"""

import argparse
import asyncio
import random
import resource
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from temporalio.client import Client
from temporalio.service import RPCError

from airlock.activities.monitor import send_reports, start_monitors
from airlock.admission.policy import Policy
from airlock.base import names
from airlock.monitoring.aggregation import Stage
from airlock.monitoring.messages import HealthSnapshot
from airlock.monitoring.observation import ObservedCall, observe
from airlock.monitoring.report import Report, ReportKey
from airlock.plans.contract import Mode
from benchmarks.report import Sheet, save
from benchmarks.server import serving
from benchmarks.tools import nothing

REPORTS = 6_000
PARTS = 3
SENDERS = 40
TOOLS = 60
SEED = 11
LOOK = 0.5


def reports(number: int) -> list[Report]:
    """So many reports of different plans about a few tools, one in ten calls failing."""
    rng, at = random.Random(SEED), datetime.now(UTC)
    return [
        Report(
            key=ReportKey(name=f"plan-{each}", run_id="run", stage=Stage.LIVE, since=0),
            at=at,
            facts=observe(_call(rng) for _ in range(5)),
        )
        for each in range(number)
    ]


def _call(rng: random.Random) -> ObservedCall:
    return ObservedCall(
        tool=f"tool-{rng.randrange(TOOLS)}",
        agent=f"agent-{rng.randrange(10)}",
        mode=Mode.LIVE,
        ok=rng.random() > 0.1,
        confidence=0.9,
        seconds=rng.uniform(0.05, 5.0),
    )


async def snapshot(client: Client) -> HealthSnapshot:
    """Return everything the monitor knows."""
    found: HealthSnapshot = await client.get_workflow_handle(names.monitor_id(0)).query("health", result_type=HealthSnapshot)
    return found


async def send(client: Client, some: Sequence[Report], rate: float | None) -> None:
    """Send reports at a rate a second, or without one as fast as Temporal takes them."""
    left, began = iter(enumerate(some)), time.perf_counter()

    async def sender() -> None:
        for number, each in left:
            if rate is not None:
                await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            await send_reports(client, names.monitor_id(0), [each])

    await asyncio.gather(*(sender() for _ in range(SENDERS)))


async def counted(client: Client, target: int) -> HealthSnapshot:
    """Return the monitor's knowledge once it has counted so many."""
    while True:
        with suppress(RPCError):
            seen = await snapshot(client)
            if seen.counted >= target:
                return seen
        await asyncio.sleep(0.05)


async def ask(client: Client, took: list[float]) -> None:
    """Ask for everything again and again, until cancelled."""
    while True:
        began = time.perf_counter()
        with suppress(RPCError):
            await snapshot(client)
            took.append(time.perf_counter() - began)
        await asyncio.sleep(LOOK)


async def longest_run(client: Client) -> tuple[int, int, int]:
    """Runs in the chain, and events and bytes of the longest history among them."""
    found = [run async for run in client.list_workflows(f"WorkflowId = '{names.monitor_id(0)}'")]
    described = [
        (await client.get_workflow_handle(run.id, run_id=run.run_id).describe()).raw_description.workflow_execution_info
        for run in found
    ]
    return len(found), max(run.history_length for run in described), max(run.history_size_bytes for run in described)


async def main(number: int) -> None:
    """Measure, print and save."""
    columns = ("part", "sent/s", "absorbed/s", "health p50", "health max", "counts", "runs", "longest run", "process")
    rows: list[list[str]] = []
    found, rate = reports(number), None
    async with serving([nothing]) as airlock:
        client = airlock.client
        await start_monitors(client, Policy())
        for part in range(PARTS):
            some = found[part * number // PARTS : (part + 1) * number // PARTS]
            took: list[float] = []
            asking, began = asyncio.create_task(ask(client, took)), time.perf_counter()
            await send(client, some, rate)
            sent = len(some) / (time.perf_counter() - began)
            seen = await counted(client, (part + 1) * number // PARTS)
            absorbed = len(some) / (time.perf_counter() - began)
            rate = rate or absorbed / 2
            asking.cancel()
            runs, events, size = await longest_run(client)
            took.sort()
            state, memory = len(seen.windows.model_dump_json()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            rows.append([
                str(part + 1), f"{sent:.0f}", f"{absorbed:.0f}", f"{took[len(took) // 2]:.2f} s", f"{took[-1]:.2f} s",
                f"{state / 1e3:.0f} kB", str(runs), f"{events} events, {size / 1e6:.1f} MB", f"{memory / 1e3:.0f} MB",
            ])  # fmt: skip
            assert seen.windows.total.tally(Mode.LIVE).calls == 5 * seen.counted == 5 * (part + 1) * number // PARTS
            assert seen.repeated == seen.refused == 0, "every report is taken, and none came twice"
    save("monitor", [Sheet(f"One monitor, {number} reports in {PARTS} parts, {SENDERS} senders", columns, rows, left=0)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--reports", type=int, default=REPORTS)
    asyncio.run(main(parser.parse_args().reports))
