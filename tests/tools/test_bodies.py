"""Bodies of answers: what is packed is read in pieces, and nothing that a server sends fills the memory."""

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from airlock.base.errors import ToolFailed
from airlock.tools.web import MAX_BODY_BYTES, Reply, client_of, exchange
from tests.loopback_server import loopback_server

TEXT = b"one two three " * 1_000
BOMB = 200
"""Megabytes."""


def bomb() -> bytes:
    """Return megabytes of zeros, packed to a thousandth of their size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    megabyte = bytes(1_000_000)
    return b"".join((*(packer.compress(megabyte) for _ in range(BOMB)), packer.flush()))


@asynccontextmanager
async def answering(head: bytes, body: bytes, asked: list[bytes] | None = None) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readuntil(b"\r\n\r\n")
        if asked is not None:
            asked.append(line)
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"content-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    async with loopback_server(serve) as port:
        yield f"http://127.0.0.1:{port}/"


async def read(head: bytes, body: bytes, method: str = "GET", asked: list[bytes] | None = None) -> Reply:
    async with answering(head, body, asked) as url, client_of(60, environment=False) as client:
        return await exchange(client, httpx.Request(method, url, headers=client.headers))


def raw_deflate(text: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(text) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"", TEXT),
        (b"content-encoding: identity\r\n", TEXT),
        (b"content-encoding: GZIP\r\n", gzip.compress(TEXT)),
        (b"content-encoding: x-gzip\r\n", gzip.compress(TEXT)),
        (b"content-encoding: deflate\r\n", zlib.compress(TEXT)),
        (b"content-encoding: deflate\r\n", raw_deflate(TEXT)),
    ],
    ids=["none", "identity", "gzip", "x-gzip", "deflate", "raw deflate"],
)
async def test_a_packed_body_is_read(encoding: bytes, body: bytes) -> None:
    assert (await read(encoding, body)).content == TEXT


async def test_every_length_comes_whole() -> None:
    for length in (0, 1, 65_535, 65_536):
        text = bytes(range(256)) * (length // 256) + bytes(length % 256)
        assert (await read(b"content-encoding: gzip\r\n", gzip.compress(text))).content == text
    assert (await read(b"content-encoding: gzip\r\n", gzip.compress(bytes(MAX_BODY_BYTES + 1)))).content is None


async def test_only_encodings_are_asked_for_that_are_read() -> None:
    asked: list[bytes] = []
    await read(b"", TEXT, asked=asked)
    assert b"accept-encoding: gzip, deflate\r\n" in asked[0].lower()


@pytest.mark.parametrize("encoding", [b"zstd", b"br", b"gzip, gzip", b"gzip, zstd", b"compress", b"x"])
async def test_another_encoding_is_not_read(encoding: bytes) -> None:
    head = b"content-encoding: " + encoding + b"\r\n"
    with pytest.raises(ToolFailed, match="its answer was lost"):
        await read(head, TEXT)
    reply = await read(head, TEXT, method="POST")
    assert (reply.content, reply.undecoded) == (None, True), "what was written is written"


async def test_a_body_that_unpacks_to_far_more_fills_no_memory() -> None:
    body = bomb()
    tracemalloc.start()
    try:
        reply = await read(b"content-encoding: gzip\r\n", body)
        assert reply.content is None
        assert tracemalloc.get_traced_memory()[1] < 10 * len(body) + 5_000_000
    finally:
        tracemalloc.stop()
