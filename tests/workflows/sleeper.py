"""A workflow whose only task takes long, in a module of its own: the sandbox imports all of it."""

import time

from temporalio import workflow


@workflow.defn
class Sleeper:
    """Keeps its thread for some seconds, as a large task does on a machine that is busy."""

    @workflow.run
    async def run(self, seconds: float) -> float:
        with workflow.unsafe.sandbox_unrestricted():
            time.sleep(seconds)  # noqa: ASYNC251  # that it blocks is what it is for
        return seconds
