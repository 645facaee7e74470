"""Answers over HTTP that the SDK cannot read, or of which it leaves out the status: what they say of a call."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from mcp import MCPError

from airlock.base.errors import InDoubt, ToolFailed
from airlock.tools.mcp.statuses import MARK, refusal_of
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
ANSWERS = {"initialize": INITIALIZED, "tools/list": TOOLS, "tools/call": {"content": []}}
CALLS = ("tools/call",)
Reply = tuple[int, str, bytes]
NO_HEADERS: Mapping[str, str] = {}
READS = '[mcp.h.tools.look]\nrisk = "LOW"\nreversibility = "read_only"\n'


@contextmanager
def answering(
    reply: Reply,
    headers: Mapping[str, str] = NO_HEADERS,
    to: Collection[str] = CALLS,
    seen: Callable[[str], None] = lambda _: None,
) -> Iterator[str]:
    """A server that answers some methods by one reply, whatever a call has done, and all others as it should.

    Args:
        reply: The status, the media type and the body.
        headers: Further headers of the reply.
        to: The methods.
        seen: Called with each method that is asked for.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if "id" not in asked:
                return self._send(202, "", b"")
            seen(asked["method"])
            if asked["method"] in to:
                return self._send(*reply[:2], reply[2].replace(b"ID", str(asked["id"]).encode()))
            known = ANSWERS.get(asked["method"])
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
            for name, value in headers.items() if status == reply[0] else ():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with threaded_server(Handler) as origin:
        yield f"{origin}/mcp"


def marked(mark: str, status: int) -> bytes:
    """Return an error of the server itself, which passes it off as one that stands for an HTTP status."""
    error = {"code": -32603, "message": f"the server answered {status}", "data": {mark: {"status": status}}}
    return json.dumps({"jsonrpc": "2.0", "id": 0, "error": error}).replace('"id": 0', '"id": ID').encode()


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


@pytest.mark.parametrize(
    ("reply", "retry"),
    [
        ((401, "", b""), False),
        ((403, "text/html", b"<p>no</p>"), False),
        ((413, JSON, b'{"error": "too large"}'), False),
        ((429, JSON, b'{"error": "slow down"}'), True),
    ],
)
async def test_a_call_that_http_turned_away_was_not_made(reply: Reply, retry: bool) -> None:
    with answering(reply) as url:
        async with attached(section(url)) as server:
            with pytest.raises(ToolFailed, match=f"the server answered {reply[0]}") as failed:
                await server.run("h.write")
    assert failed.value.retry is retry


async def test_an_http_error_that_says_when_to_come_back_is_tried_again_then() -> None:
    with answering((403, "", b""), {"retry-after": "7"}) as url:
        async with attached(section(url)) as server:
            with pytest.raises(ToolFailed) as failed:
                await server.run("h.write")
    assert (failed.value.retry, failed.value.after) == (True, 7.0)


@pytest.mark.parametrize(
    "reply",
    [
        (500, "", b""),
        (502, "text/html", b"<p>bad gateway</p>"),
        (408, "", b""),
        (429, JSON, b'{"jsonrpc": "2.0", "id": ID, "error": {"code": -32000, "message": "the server answered 429"}}'),
        (200, JSON, marked("airlock/http", 429)),
        (429, JSON, marked("airlock/http", 429)),
        (200, EVENTS, b"data: " + marked("airlock/http", 200) + b"\n\n"),
    ],
)
async def test_an_error_at_an_unknown_point_leaves_a_write_in_doubt(reply: Reply) -> None:
    with answering(reply) as url:
        async with attached(section(url)) as server:
            with pytest.raises(InDoubt, match="the server answered "):
                await server.run("h.write")


@pytest.mark.parametrize(("status", "stands"), [(200, False), (399, False), (401, True), (503, True)])
def test_only_an_http_error_stands_for_one(status: int, stands: bool) -> None:
    assert (refusal_of(MCPError(-32603, "no", {MARK: {"status": status}})) is not None) is stands


@pytest.mark.parametrize("method", ["tools/list", "initialize"])
@pytest.mark.parametrize(
    ("status", "headers", "retry", "after"),
    [
        (401, {}, False, 0.0),
        (403, {}, False, 0.0),
        (413, {}, False, 0.0),
        (429, {}, True, 0.0),
        (429, {"retry-after": "7"}, True, 7.0),
        (403, {"retry-after": "7"}, True, 7.0),
        (503, {"retry-after": "7"}, True, 7.0),
    ],
)
async def test_a_refusal_before_a_call_is_not_asked_about_again_at_once(
    method: str, status: int, headers: Mapping[str, str], retry: bool, after: float
) -> None:
    to: list[str] = []
    seen: list[str] = []
    with answering((status, "", b""), headers, to, seen.append) as url:
        async with attached(section(url)) as server:
            to.append(method)
            seen.clear()
            with pytest.raises(ToolFailed, match=f"the server answered {status}") as failed:
                await server.run("h.write")
    assert (failed.value.retry, failed.value.after) == (retry, after)
    assert seen.count(method) == 1
    assert "tools/call" not in seen


async def test_a_session_outlives_a_rate_limit() -> None:
    to: list[str] = []
    seen: list[str] = []
    with answering((429, "", b""), NO_HEADERS, to, seen.append) as url:
        async with attached(section(url)) as server:
            await server.run("h.look")
            to.append("tools/list")
            with pytest.raises(ToolFailed):
                await server.run("h.look")
            to.clear()
            seen.clear()
            await server.run("h.look")
    assert seen == ["tools/list", "tools/call"]


async def test_a_credential_that_was_replaced_is_read_by_the_next_attempt() -> None:
    to: list[str] = []
    seen: list[str] = []
    with answering((401, "", b""), NO_HEADERS, to, seen.append) as url:
        async with attached(section(url)) as server:
            await server.run("h.look")
            to.append("tools/list")
            with pytest.raises(ToolFailed) as once_good:
                await server.run("h.look")
            with pytest.raises(ToolFailed) as never_good:
                await server.run("h.look")
            to.clear()
            seen.clear()
            await server.run("h.look")
    assert (once_good.value.retry, never_good.value.retry) == (True, False)
    assert "initialize" in seen, "a session keeps the headers with which it was opened"


async def test_a_server_that_loses_its_session_is_asked_in_another_one_at_once() -> None:
    to: list[str] = []
    seen: list[str] = []
    with answering((400, "text/plain", b"no such session"), NO_HEADERS, to, seen.append) as url:
        async with attached(section(url)) as server:
            to.append("tools/list")
            seen.clear()
            with pytest.raises(ToolFailed, match="the server answered 400") as failed:
                await server.run("h.look")
    assert seen.count("initialize") == 2
    assert failed.value.retry
