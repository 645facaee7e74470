"""A bare Temporal workflow to compare with, in a module of its own because the sandbox imports it again."""

import asyncio
from datetime import timedelta

from temporalio import activity, workflow


@activity.defn
async def bare(number: int) -> dict[str, int]:
    """Do the work of the benchmark's tool, without Airlock."""
    return {"number": number}


@workflow.defn
class Bare:
    """As many activities as a plan has steps, and nothing else."""

    @workflow.run
    async def run(self, count: int, parallel: bool) -> None:
        """Run them."""
        options = {"start_to_close_timeout": timedelta(seconds=30)}
        calls = [lambda n=n: workflow.execute_activity(bare, n, activity_id=f"s{n}", **options) for n in range(count)]
        if parallel:
            await asyncio.gather(*(call() for call in calls))
        else:
            for call in calls:
                await call()
