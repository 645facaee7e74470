"""The real effect that every measured system has: an HTTP request to a server on loopback, which keeps a log of them.

Needs the standard library alone, because it is imported in the environments of other systems too.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

WORKS_FOR = 0.001
"""Seconds that one request takes."""


@dataclass(frozen=True)
class Effect:
    """One request, as the server saw it."""

    run: str
    number: int
    at: float
    """Seconds of the clock that `time.monotonic` reads in every process."""


@dataclass
class Log:
    """Every request so far. It counts from its arrival on, whether or not its sender lives to read the answer."""

    effects: list[Effect] = field(default_factory=list)
    hold: tuple[str, int] | None = None
    """A request that is never answered: that of a run's call with this number."""
    held: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it has arrived."""
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    answering: set[asyncio.Task[None]] = field(default_factory=set)
    port: int = 0

    def of(self, run: str) -> list[Effect]:
        """Return the requests of one run."""
        return [effect for effect in self.effects if effect.run == run]

    def times(self, run: str) -> Counter[int]:
        """Return how often each call of a run was made."""
        return Counter(effect.number for effect in self.of(run))

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Note one request and answer it a moment later; or say how often the call has been made."""
        task = asyncio.current_task()
        assert task is not None
        self.answering.add(task)
        task.add_done_callback(self.answering.discard)
        try:
            _verb, path, *_ = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ")
            _empty, what, run, number = path.split("/")
            if what == "call":
                self.effects.append(Effect(run, int(number), time.monotonic()))
                if self.hold == (run, int(number)):
                    self.held.set()
                    await self.closing.wait()
                await asyncio.sleep(WORKS_FOR)
            body = str(self.times(run)[int(number)])
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the sender was killed
        finally:
            writer.close()


@asynccontextmanager
async def effects() -> AsyncIterator[Log]:
    """Yield the log of a server of its own."""
    log = Log()
    server = await asyncio.start_server(log.answer, "127.0.0.1", 0, backlog=512)
    log.port = server.sockets[0].getsockname()[1]
    try:
        yield log
    finally:
        log.closing.set()
        server.close()
        if log.answering:
            await asyncio.wait(log.answering, timeout=10)


async def ask(port: int, what: str, run: str, number: int) -> int:
    """Send one request to the server of a port; return how often the call has been made."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"POST /{what}/{run}/{number} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n".encode())
        _head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        return int(body)
    finally:
        writer.close()


async def call(port: int, run: str, number: int) -> dict[str, int]:
    """Make one call: the work that every system does."""
    await ask(port, "call", run, number)
    return {"number": number}
