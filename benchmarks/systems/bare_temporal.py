"""The floor: a bare Temporal workflow, with the SDK's own settings. Variant `once`: no activity is tried again."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio import activity
from temporalio.client import Client, WorkflowFailureError
from temporalio.worker import Worker

from benchmarks import effects
from benchmarks.floor import QUEUE, Floor, waits
from benchmarks.lines import Settings, Turn, serve


class BareTemporal:
    """Turns of the floor."""

    def __init__(self, client: Client, *, once: bool) -> None:
        self._client = client
        self._once = once

    async def turn(self, name: str, count: int, parallel: bool) -> Turn:
        """Start the workflow, answer its question, and wait for its end."""
        handle = await self._client.start_workflow(Floor.run, args=[count, parallel, self._once], id=name, task_queue=QUEUE)
        while not await waits(handle):  # noqa: ASYNC110  known by looking only
            await asyncio.sleep(0.005)
        asked = approved = time.monotonic()
        await handle.signal(Floor.approve)
        await handle.result()
        return Turn(asked, approved)

    async def resume(self, name: str) -> str:
        """Wait: Temporal gives the work to whichever worker is there."""
        try:
            await self._client.get_workflow_handle(name).result()
        except WorkflowFailureError as error:
            return f"failed: {type(error.cause).__name__}"
        return "completed"


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[BareTemporal]:
    """Yield the floor with a worker."""

    @activity.defn(name="call")
    async def call(number: int) -> dict[str, int]:
        return await effects.call(settings.effects, activity.info().workflow_id, number)

    client = await Client.connect(settings.temporal)
    async with Worker(client, task_queue=QUEUE, workflows=[Floor], activities=[call]):
        yield BareTemporal(client, once=settings.variant == "once")


if __name__ == "__main__":
    serve(opened)
