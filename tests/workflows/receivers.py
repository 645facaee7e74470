"""Receivers of messages on loopback: a web server that can be made to fail in every way, and a mail server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP

from sandbox.smtp import smtp_protocol
from tests.loopback_server import loopback_server


@dataclass
class Received:
    """One request that came in whole."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class WebReceiver:
    """A web server. `troubles` are taken one a request: a status, `hang`, `close`, or `429:SECONDS`; then it answers 200."""

    port: int = 0
    troubles: list[str] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def taken(self) -> list[Received]:
        return [each for each in self.received if each.status == 200]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        trouble = self.troubles.pop(0) if self.troubles else "200"
        status, _, wait = trouble.partition(":")
        self.received.append(Received(first.split()[1], headers, body, int(status) if status.isdigit() else 0))
        if trouble == "hang":
            await self.let_go.wait()
            return
        if trouble == "close":
            writer.transport.abort()
            return
        said = f"you said {headers}".encode()  # a receiver that gives back all that it was told
        after = f"retry-after: {wait}\r\n" if wait else ""
        writer.write(f"HTTP/1.1 {status} X\r\n{after}content-length: {len(said)}\r\n\r\n".encode() + said)
        await writer.drain()


@asynccontextmanager
async def web_receiver(*troubles: str) -> AsyncIterator[WebReceiver]:
    """Run a web receiver on a free port."""
    receiver = WebReceiver(troubles=list(troubles))
    async with loopback_server(receiver.serve) as receiver.port:
        yield receiver


@asynccontextmanager
async def mail_receiver(folder: Path) -> AsyncIterator[int]:
    """Run the sandbox's mail server, which keeps what it accepts in a folder, and yield its port."""
    connections: list[SMTP] = []

    def connection() -> SMTP:
        connections.append(smtp_protocol(folder, 5.0))
        return connections[-1]

    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for each in connections:
            if each.transport is not None:
                each.transport.abort()
        await asyncio.sleep(0)  # a transport lets go of its socket one turn of the loop later
