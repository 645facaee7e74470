"""Runs one service of the sandbox until it is told to stop, on 127.0.0.1 only."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from sandbox.smtp import smtp_protocol

HOST = "127.0.0.1"


class AbortableProtocol(H11Protocol):
    """HTTP/1.1 that lets an application break its connection: `request.state.abort()`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Offer the connection's abort to the application."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "abort": transport.abort}


class _Server(uvicorn.Server):
    """uvicorn that says when it accepts connections and leaves signals to us."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        self.should_exit = True


def serve_http(service: str, app: Starlette, port: int, *, watch_stdin: bool = False) -> None:
    """Serve an HTTP application; returns after SIGTERM or SIGINT, or when a watched stdin is closed."""
    asyncio.run(_serve_http(service, app, port, watch_stdin))


def serve_smtp(folder: Path, port: int, slow_seconds: float, *, watch_stdin: bool = False) -> None:
    """Serve the SMTP sink; returns after SIGTERM or SIGINT, or when a watched stdin is closed."""
    asyncio.run(_serve_smtp(folder, port, slow_seconds, watch_stdin))


async def _serve_http(service: str, app: Starlette, port: int, watch_stdin: bool) -> None:
    listener = _listen(port)
    config = uvicorn.Config(
        app,
        http=AbortableProtocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_keep_alive=75,  # longer than clients keep idle connections, so that they close first
        timeout_graceful_shutdown=1,
    )
    server = _Server(config, on_ready=partial(_announce, service, listener))
    _on_stop(server.stop, watch_stdin)
    await server.serve(sockets=[listener])


async def _serve_smtp(folder: Path, port: int, slow_seconds: float, watch_stdin: bool) -> None:
    listener = _listen(port)
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    _on_stop(stopped.set, watch_stdin)
    server = await loop.create_server(partial(smtp_protocol, folder, slow_seconds), sock=listener)
    _announce("smtp", listener)
    await stopped.wait()
    server.close()


def _listen(port: int) -> socket.socket:
    """Return a bound socket; port 0 takes a free one. Ends the process with a clear message when it is taken."""
    # Named as TCP, or asyncio leaves Nagle's algorithm on and every answer waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        sys.exit(f"cannot listen on {HOST}:{port}: {error.strerror}. Is it in use? Port 0 takes a free one.")
    return listener


def _announce(service: str, listener: socket.socket) -> None:
    ready = {"ready": True, "service": service, "port": listener.getsockname()[1]}
    print(json.dumps(ready), flush=True)


def _on_stop(stop: Callable[[], None], watch_stdin: bool) -> None:
    """Call `stop` on SIGTERM, on SIGINT, and, when asked to, once no process holds our stdin any more."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if watch_stdin:
        loop.add_reader(sys.stdin.fileno(), _stop_at_end, sys.stdin.fileno(), stop)


def _stop_at_end(descriptor: int, stop: Callable[[], None]) -> None:
    if not os.read(descriptor, 4096):
        asyncio.get_running_loop().remove_reader(descriptor)
        stop()
