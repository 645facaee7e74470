"""A loop in a process: nothing is written down, so nothing survives."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.effects import call
from benchmarks.lines import Settings, Turn, serve


class InProcess:
    """Calls behind an event."""

    def __init__(self, settings: Settings) -> None:
        self._port = settings.effects

    async def turn(self, name: str, count: int, parallel: bool) -> Turn:
        """Wait for the answer, then make the calls."""
        answer = asyncio.Event()
        running = asyncio.create_task(self._calls(answer, name, count, parallel))
        asked = approved = time.monotonic()
        answer.set()
        await running
        return Turn(asked, approved)

    async def _calls(self, answer: asyncio.Event, name: str, count: int, parallel: bool) -> None:
        await answer.wait()
        if parallel:
            await asyncio.gather(*(call(self._port, name, n) for n in range(count)))
            return
        for n in range(count):
            await call(self._port, name, n)

    async def resume(self, name: str) -> str:
        """Begin from the beginning: nothing else is known."""
        await self.turn(name, 10, parallel=False)
        return "begun from the beginning"


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[InProcess]:
    """Yield the loop."""
    yield InProcess(settings)


if __name__ == "__main__":
    serve(opened)
