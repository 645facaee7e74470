"""Answers over HTTP that the SDK cannot read: it gives them the codes by which servers refuse a request."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from airlock.base.errors import InDoubt, ToolFailed
from tests.mcp.attached import attached
from tests.threaded_server import threaded_server

JSON = "application/json"
EVENTS = "text/event-stream"
INITIALIZED = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "h", "version": "1"},
}
TOOLS = {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in ("look", "write")]}
Reply = tuple[int, str, bytes]
READS = '[mcp.h.tools.look]\nrisk = "LOW"\nreversibility = "read_only"\n'


@contextmanager
def answering(reply: Reply) -> Iterator[str]:
    """A server that answers each call of a tool by one reply, whatever the call has done."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if "id" not in asked:
                return self._send(202, "", b"")
            known = {"initialize": INITIALIZED, "tools/list": TOOLS}.get(asked["method"])
            if known is None and asked["method"] == "tools/call":
                return self._send(*reply[:2], reply[2].replace(b"ID", str(asked["id"]).encode()))
            told = {"error": {"code": -32601, "message": "no"}} if known is None else {"result": known}
            return self._send(200, JSON, json.dumps({"jsonrpc": "2.0", "id": asked["id"], **told}).encode())

        def do_GET(self) -> None:
            self._send(405, "", b"")

        do_DELETE = do_GET  # the names of the library

        def _send(self, status: int, media: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("mcp-session-id", "one")
            if media:
                self.send_header("content-type", media)
            if status == 307:
                self.send_header("location", "http://127.0.0.1:9/elsewhere")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with threaded_server(Handler) as origin:
        yield f"{origin}/mcp"


def section(url: str) -> str:
    return f"[catalogue]\nmodules = []\n[mcp.h]\nurl = {url!r}\n{READS}"


@pytest.mark.parametrize(
    "reply",
    [
        (202, "", b""),
        (307, "", b""),
        (200, "", b""),
        (200, "text/html", b"<p>Welcome back</p>"),
        (200, JSON, b'{"jsonrpc": "2.0", "id": ID, "result'),
        (200, EVENTS, b"data: {oops\n\n"),
    ],
)
async def test_an_answer_that_cannot_be_read_is_no_refusal(reply: Reply) -> None:
    with answering(reply) as url:
        async with attached(section(url)) as server:
            with pytest.raises(InDoubt, match="cannot be read"):
                await server.run("h.write")
            with pytest.raises(ToolFailed) as failed:
                await server.run("h.look")
    assert failed.value.retry, "a read may be tried again"


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ((404, "text/plain", b"no such session"), "Session terminated"),
        ((200, JSON, b'{"jsonrpc": "2.0", "id": ID, "error": {"code": -32602, "message": "no such tool"}}'), "no such tool"),
        ((400, JSON, b'{"jsonrpc": "2.0", "id": null, "error": {"code": -32602, "message": "malformed"}}'), "malformed"),
    ],
)
async def test_a_refusal_of_the_server_stays_one(reply: Reply, says: str) -> None:
    with answering(reply) as url:
        async with attached(section(url)) as server:
            with pytest.raises(ToolFailed, match=says):
                await server.run("h.write")
