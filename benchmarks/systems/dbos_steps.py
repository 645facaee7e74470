"""DBOS: a workflow that publishes its question, waits with `recv`, then runs steps, on SQLite or PostgreSQL.

Its own settings, but one: on SQLite it looks for messages every 10 ms, not once a second, which would hide everything else.
PostgreSQL tells it of them. Variant `default`: once a second too.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig, SetWorkflowID

from benchmarks import effects
from benchmarks.lines import Settings, Turn, serve

LOOKS_EVERY = 0.01
PORT = 0
"""Set before DBOS is launched, which carries on with what it finds."""


@DBOS.step()
async def call(run: str, number: int) -> dict[str, int]:
    """Make one call."""
    return await effects.call(PORT, run, number)


@DBOS.workflow()
async def flow(name: str, count: int, parallel: bool) -> int:
    """Ask, then make the calls."""
    await DBOS.set_event_async("question", count)
    if not await DBOS.recv_async("answer", timeout_seconds=3_600):
        return 0
    if parallel:
        await asyncio.gather(*(call(name, n) for n in range(count)))
    else:
        for n in range(count):
            await call(name, n)
    return count


class Steps:
    """Turns as workflows."""

    async def turn(self, name: str, count: int, parallel: bool) -> Turn:
        """Start the workflow, answer its question, and wait for its end."""
        with SetWorkflowID(name):
            handle = await DBOS.start_workflow_async(flow, name, count, parallel)
        if await DBOS.get_event_async(name, "question", timeout_seconds=60) != count:
            raise SystemExit("no question")
        asked = approved = time.monotonic()
        await DBOS.send_async(name, True, topic="answer")
        await handle.get_result()
        return Turn(asked, approved)

    async def resume(self, name: str) -> str:
        """Wait: a launch carries on with every workflow that its process left."""
        handle: Any = await DBOS.retrieve_workflow_async(name)
        await handle.get_result()
        return "completed"


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Steps]:
    """Yield the launched library."""
    global PORT
    PORT = settings.effects
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": settings.database or f"sqlite:///{Path(settings.folder) / 'dbos.sqlite'}",
        "log_level": "ERROR",
    }
    if not settings.database and settings.variant != "default":
        config["notification_listener_polling_interval_sec"] = LOOKS_EVERY
    DBOS(config=config)
    DBOS.launch()
    try:
        yield Steps()
    finally:
        DBOS.destroy()


if __name__ == "__main__":
    serve(opened)
