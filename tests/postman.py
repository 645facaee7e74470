"""A mail server on loopback that answers each recipient as a test wants."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.loopback_server import loopback_server

FULL = {"bob@example.com": "452 4.2.2 <Bob@Example.com> mailbox full"}
"""The answers of a server where one person has a full mailbox, by recipient."""


@asynccontextmanager
async def postman(answers: dict[str, str], *, silent: bool = False) -> AsyncIterator[tuple[int, list[list[str]]]]:
    """Run a mail server that answers each recipient as told, and keeps the recipients of each mail that it took."""
    taken: list[list[str]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        to: list[str] = []
        while said := (await reader.readline()).decode():
            word = said[:4].upper()
            if word == "RCPT":
                address = said.split("<")[1].split(">")[0]
                answer = answers.get(address, "250 ok")
                to += [address] if answer.startswith("250") else []
                writer.write(f"{answer}\r\n".encode())
            elif word == "DATA":
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                taken.append(to)
                if silent:
                    await reader.read()
                writer.write(b"250 taken\r\n")
            elif word == "QUIT":
                return
            else:
                writer.write(b"250 ok\r\n")

    async with loopback_server(talk) as port:
        yield port, taken
