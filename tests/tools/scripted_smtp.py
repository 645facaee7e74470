"""A real SMTP server on a socket that answers each command as a test says."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.loopback_server import loopback_server


@asynccontextmanager
async def scripted(script: Mapping[str, list[bytes]], said: list[bytes], port: int = 0) -> AsyncIterator[dict[str, Any]]:
    """Serve, and yield the settings of `send_email`.

    Args:
        script: The answers to a command, used up one after the other; afterwards all goes well. An empty answer is a lost
            connection. `GREET` is the greeting, `DOT` the end of a mail.
        said: Gets every line of the client.
        port: The port; 0 for any.
    """

    def answer(command: str, usual: bytes) -> bytes:
        left = script.get(command)
        return left.pop(0) if left else usual

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeting, mail = answer("GREET", b"220 ready\r\n"), False
        writer.write(greeting)
        while greeting and (line := await reader.readline()):
            said.append(line)
            if mail and line != b".\r\n":
                continue
            command = "DOT" if mail else line[:4].decode("ascii", "replace").strip().upper()
            reply = answer(command, b"354 go on\r\n" if command == "DATA" else b"250 OK\r\n")
            mail = command == "DATA" and reply.startswith(b"354")
            if not reply:
                break
            writer.write(reply)
            await writer.drain()

    async with loopback_server(serve, port) as taken:
        yield {"host": "127.0.0.1", "port": taken, "sender": "a@b.test", "starttls": False}
