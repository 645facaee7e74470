"""An HTTP server in this process, for the doors that are web applications."""

import asyncio
import ipaddress
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from airlock.base.errors import AirlockError

REQUEST_WITHIN = 30.0
"""Seconds within which a request must have arrived whole, and after which a connection without one is closed."""
_WHOLE = (h11.DONE, h11.MUST_CLOSE)


def is_loopback(host: str) -> bool:
    """Return True if only programs of this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Connection(H11Protocol):
    """A connection that is closed when its next request takes too long: a client that sends nothing holds none open."""

    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in its base class
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._due is not None:
            self._due.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait()

    def _wait(self) -> None:
        if self._due is not None:
            self._due.cancel()
        self._due = self.loop.call_later(REQUEST_WITHIN, self._late)

    def _late(self) -> None:
        # an answer may take as long as it takes: the next request is waited for after it
        if self.conn.their_state not in _WHOLE:
            self.transport.abort()


class _Server(uvicorn.Server):
    """uvicorn that tells when it listens, and leaves signals to its caller."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[int], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: Any = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as error:  # uvicorn's way to tell that the port is taken; of a task it would end the event loop
            raise AirlockError(f"{self.config.host}:{self.config.port} cannot be listened on: is it taken?") from error
        if self.started:
            self._listening(self.servers[0].sockets[0].getsockname()[1])

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    app: ASGIApp,
    host: str,
    port: int,
    listening: Callable[[int], None],
    closing: Callable[[], None] = lambda: None,
) -> None:
    """Serve an application until this task is cancelled.

    Args:
        app: The application.
        host: The address to listen on.
        port: The port; 0 takes a free one.
        listening: Called with the port once it listens.
        closing: Called when it begins to end, so that answers without an end of their own can end.

    Raises:
        AirlockError: If the address cannot be listened on.
    """
    config = uvicorn.Config(
        app, host=host, port=port, http=_Connection, ws="none", log_config=None, access_log=False, server_header=False,
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = _Server(config, listening)
    serving = asyncio.ensure_future(server.serve())
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        closing()
        server.should_exit = True  # it closes its connections and the application; cancelled, it would leave them half open
        await serving
        raise
