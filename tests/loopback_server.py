"""A server on loopback that says what a test wants, and leaves no connection behind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def loopback_server(talk: Talk, port: int = 0) -> AsyncIterator[int]:
    """Run a server, and yield its port.

    A connection is closed when its talk has ended, also one that its client left. At the end every other one is closed in
    the middle of its talk: what is left to the garbage collector warns in a later test, which has nothing to do with it.

    Args:
        talk: Takes one connection.
        port: The port; 0 for any.
    """
    talks: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.current_task())
        try:
            await talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has left
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        open_talks = [task for task in talks if task is not None]
        for task in open_talks:
            task.cancel()
        await asyncio.gather(*open_talks, return_exceptions=True)
        await asyncio.sleep(0)  # a transport lets go of its socket one turn of the loop after it was closed
