"""The floor that a turn is compared with: a bare Temporal workflow that waits for an approval and makes the same calls.

In a module of its own, because the sandbox imports it again.
"""

import asyncio
from datetime import timedelta

from temporalio import activity, workflow

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
    async def run(self, count: int, parallel: bool) -> None:
        """Wait, then run the activities."""
        await workflow.wait_condition(lambda: self._approved)
        limit = timedelta(seconds=30)
        if parallel:
            await asyncio.gather(*(workflow.execute_activity(call, n, start_to_close_timeout=limit) for n in range(count)))
            return
        for n in range(count):
            await workflow.execute_activity(call, n, start_to_close_timeout=limit)
