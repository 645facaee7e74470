"""The floor that a turn is compared with: a bare Temporal workflow that waits for an approval and makes the same calls.

In a module of its own, because the sandbox imports it again.
"""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.service import RPCError

with workflow.unsafe.imports_passed_through():  # else each run imports them again, which a floor must not pay
    from benchmarks.tools import work

QUEUE = "floor"


@activity.defn
async def call(number: int) -> dict[str, int]:
    """Do the work of the benchmark's tool, without Airlock."""
    return await work(number)


@workflow.defn
class Floor:
    """As many activities as a plan has steps, after one signal."""

    def __init__(self) -> None:
        self._approved = False

    @workflow.signal
    def approve(self) -> None:
        """Let the activities begin."""
        self._approved = True

    @workflow.query
    def waits(self) -> bool:
        """Return True until the signal has come."""
        return not self._approved

    @workflow.run
    async def run(self, count: int, parallel: bool, once: bool = False) -> None:
        """Wait, then run the activities; `once` lets Temporal try none of them again."""
        await workflow.wait_condition(lambda: self._approved)
        limit, retry = timedelta(seconds=30), RetryPolicy(maximum_attempts=1) if once else None

        async def one(number: int) -> None:
            await workflow.execute_activity(call, number, start_to_close_timeout=limit, retry_policy=retry)

        if parallel:
            await asyncio.gather(*(one(n) for n in range(count)))
            return
        for n in range(count):
            await one(n)


async def waits(handle: WorkflowHandle[Any, Any]) -> bool:
    """Return True while a run is known to wait for its approval."""
    try:
        return await handle.query(Floor.waits)
    except RPCError:  # no worker answered in time on a busy machine
        return False
