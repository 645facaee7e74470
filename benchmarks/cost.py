"""Measure the cost of a plan, next to a bare Temporal workflow with as many activities: events, actions, time, as ratios.

Run with `make bench`. Both run on one server in one process, one after the other, so only the ratios mean anything.
"""

import asyncio
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from airlock.activities.monitor import start_monitors
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import AgentPolicy, Policy
from airlock.client import Airlock
from airlock.plans.catalogue import Catalogue
from airlock.plans.state import State
from airlock.temporal.connection import DATA_CONVERTER, ensure_search_attributes, learn_of_server
from airlock.worker.roles import build_workers
from benchmarks.bare import Bare, bare
from benchmarks.report import Sheet, save
from benchmarks.tools import nothing

SIZES = (1, 20, 100)
REPEATS = 3
COLUMNS = ("steps", "shape", "events", "x bare", "actions", "x bare", "LIVE time x bare", "rehearsal time x bare")
BILLED = (
    "WORKFLOW_EXECUTION_STARTED",
    "ACTIVITY_TASK_SCHEDULED",
    "TIMER_STARTED",
    "WORKFLOW_EXECUTION_SIGNALED",
    "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES",
)


async def measure_bare(airlock: Airlock, count: int, parallel: bool, number: int) -> tuple[float, Counter[str]]:
    """Seconds and events of the bare workflow."""
    began = time.perf_counter()
    handle = await airlock.client.start_workflow(
        Bare.run, args=[count, parallel], id=f"bare-{count}-{parallel}-{number}", task_queue="bare"
    )
    await handle.result()
    return time.perf_counter() - began, await events(handle)


async def measure_plan(airlock: Airlock, count: int, parallel: bool, number: int) -> tuple[float, float, Counter[str]]:
    """Seconds from submission to the seal, from the approval to the end, and events of a plan."""
    steps = [
        {
            "id": f"s{n}",
            "agent": "a",
            "tool": "nothing",
            "args": {"number": n},
            "confidence": 0.9,
            "after": [] if parallel or n == 0 else [f"s{n - 1}"],
        }
        for n in range(count)
    ]
    began = time.perf_counter()
    run = await airlock.submit({"plan_id": f"b-{count}-{parallel}-{number}", "requested_by": "bench", "steps": steps})
    status = await run.wait_for(State.AWAITING_APPROVAL, every=0.01)
    sealed = time.perf_counter()
    await run.workflow.signal("approve", {"by": "approver", "digest": status.digest})
    await run.result()
    return sealed - began, time.perf_counter() - sealed, await events(run.workflow)


async def events(handle: WorkflowHandle) -> Counter[str]:
    """Return the events of a history by type."""
    found: Counter[str] = Counter()
    async for event in handle.fetch_history_events():
        found[EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")] += 1
    return found


async def main(sizes: Sequence[int] = SIZES, repeats: int = REPEATS) -> None:
    """Measure, print and save."""
    temporal = shutil.which("temporal") or str(Path(sys.executable).with_name("temporal"))
    rows: list[list[str]] = []
    toolbox = Toolbox(Catalogue([nothing]), Policy(agents={"*": AgentPolicy(permissions=("*",))}))
    async with AsyncExitStack() as stack:
        env = await stack.enter_async_context(
            await WorkflowEnvironment.start_local(
                dev_server_existing_path=temporal, ip="127.0.0.1", data_converter=DATA_CONVERTER,
                dev_server_log_level="error",
            )
        )  # fmt: skip
        await ensure_search_attributes(env.client)
        await learn_of_server(env.client)
        for worker in build_workers(env.client, toolbox):
            await stack.enter_async_context(worker)
        await stack.enter_async_context(Worker(env.client, task_queue="bare", workflows=[Bare], activities=[bare]))
        await start_monitors(env.client, toolbox.policy)  # the first plan would start it, for an action more
        airlock = Airlock(env.client)
        for count in sizes:
            for parallel in (True, False):
                plain = sorted([await measure_bare(airlock, count, parallel, n) for n in range(repeats)], key=lambda m: m[0])
                plans = sorted([await measure_plan(airlock, count, parallel, n) for n in range(repeats)], key=lambda m: m[1])
                (bare_seconds, bare_events), (before, live, plan_events) = plain[repeats // 2], plans[repeats // 2]
                billed, bare_billed = (sum(found[name] for name in BILLED) for found in (plan_events, bare_events))
                rows.append(
                    [
                        str(count),
                        "parallel" if parallel else "sequential",
                        str(plan_events.total()),
                        f"{plan_events.total() / bare_events.total():.2f}",
                        str(billed),
                        f"{billed / bare_billed:.2f}",
                        f"{live / bare_seconds:.2f}",
                        f"{before / bare_seconds:.2f}",
                    ]
                )
    save("cost", [Sheet("A plan next to a bare workflow with as many activities (median of runs)", COLUMNS, rows, left=0)])


if __name__ == "__main__":
    asyncio.run(main())
