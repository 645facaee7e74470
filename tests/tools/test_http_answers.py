"""Answers to a write that no output can hold as they are, from a real service, through the whole activity."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from airlock.activities.calls.call import CallActivities
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.plans.catalogue import Catalogue
from airlock.plans.outcome import CallSucceeded
from airlock.plans.plan import Step
from airlock.run.live.call_messages import CallRequest, ChainRequest
from airlock.tools import http_request
from tests.loopback_server import loopback_server


@pytest.fixture
async def raw() -> AsyncIterator[tuple[str, list[bytes]]]:
    """A real service that answers every request with the bytes that the header X-Answer names."""
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.readuntil(b"\r\n\r\n"))
        head = dict(line.lower().split(b": ", 1) for line in received[-1].split(b"\r\n")[1:] if b": " in line)
        await reader.readexactly(int(head[b"content-length"]))
        name = head[b"x-answer"].decode()
        body, kind = ANSWERS.get(name, (b"", b""))
        whole = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%s\r\n\r\n%s" % (len(body), kind, body)
        writer.write(BROKEN[name][0] if name in BROKEN else whole)
        await writer.drain()

    async with loopback_server(serve) as port:
        yield f"127.0.0.1:{port}", received


JSON = b"content-type: application/json"
ANSWERS = {
    "nan": (b'{"id": 1, "mean": NaN}', JSON),
    "infinite": (b'{"id": 1, "mean": 1e999}', JSON),
    "100 deep": (b"[" * 100 + b"]" * 100, JSON),
    "101 deep": (b"[" * 101 + b"]" * 101, JSON),
    "300 deep": (b"[" * 300 + b"]" * 300, JSON),
    "5000 deep": (b"[" * 5_000 + b"]" * 5_000, JSON),
    "half a pair": (b'{"name": "\\ud800"}', JSON),
    "long number": (b"9" * 5_000, JSON),
    "cut off": (b'{"id": 1,', JSON),
    "other charset": ('{"name": "Jos\xe9"}'.encode("latin-1"), JSON + b"; charset=ISO-8859-1"),
    "wide": ('{"name": "Jos\xe9"}'.encode("utf-16"), JSON + b'; charset="utf-16"'),
    "no such charset": (b'{"id": 1}', JSON + b"; charset=base64"),
    "byte order mark": (b'\xef\xbb\xbf{"id": 1}', JSON),
    "capitals": (b'{"id": 1}', b"content-type: Application/JSON"),
    "old text": ("Gr\xfc\xdfe".encode("latin-1"), b"content-type: text/plain; charset=windows-1252"),
    "other bytes": (b'{"name": "\xff"', JSON),
    "not gzip": (b"plain", JSON + b"\r\ncontent-encoding: gzip"),
    "long header": (b"{}", JSON + b"\r\nlocation: /" + b"x" * 60_000),
}
READ = {
    "100 deep": json.loads("[" * 100 + "]" * 100), "other charset": {"name": "Jos\xe9"}, "wide": {"name": "Jos\xe9"},
    "no such charset": {"id": 1}, "byte order mark": {"id": 1}, "capitals": {"id": 1}, "old text": "Gr\xfc\xdfe",
}  # fmt: skip
"""The bodies that are read. Every other one is kept as text."""


@pytest.mark.parametrize("answer", ANSWERS)
async def test_an_answer_that_cannot_be_read_is_an_effect_with_its_text(raw: tuple[str, list[bytes]], answer: str) -> None:
    """Through the whole activity, which checks that an output can be kept."""
    (found,) = await attempts(raw, answer)
    assert isinstance(found, CallSucceeded), found
    assert found.broken == ""
    output: Any = found.output
    body = ANSWERS[answer][0].decode(errors="replace")
    if answer == "not gzip":
        assert (output["body"], "not encoded" in output["note"]) == (None, True)
    elif answer == "long header":
        assert (output["body"], "location" in output["headers"]) == ({}, False)
    else:
        assert output["body"] == READ.get(answer, body)


CUT = b"content-length: 100\r\n\r\nsaid no"
NOT_GZIP = b"content-encoding: gzip\r\ncontent-length: 7\r\n\r\nsaid no"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n50\r\nsaid"
BROKEN: dict[str, tuple[bytes, str, str, float]] = {
    "404 cut": (b"HTTP/1.1 404 No\r\n" + CUT, "failed", "was answered 404", 0),
    "413 in chunks, cut": (b"HTTP/1.1 413 No\r\n" + CHUNKED, "failed", "was answered 413", 0),
    "403 not gzip": (b"HTTP/1.1 403 No\r\n" + NOT_GZIP, "failed", "was answered 403", 0),
    "429 cut": (b"HTTP/1.1 429 No\r\nretry-after: 7\r\n" + CUT, "again", "was answered 429", 7),
    "500 cut": (b"HTTP/1.1 500 No\r\n" + CUT, "in_doubt", "was answered 500", 0),
    "503 not gzip": (b"HTTP/1.1 503 No\r\n" + NOT_GZIP, "in_doubt", "was answered 503", 0),
    "303 cut": (b"HTTP/1.1 303 No\r\nlocation: /x\r\n" + CUT, "in_doubt", "was answered 303", 0),
    "200 cut": (b"HTTP/1.1 200 OK\r\n" + CUT, "in_doubt", "its answer was lost", 0),
    "200 in chunks, cut": (b"HTTP/1.1 200 OK\r\n" + CHUNKED, "in_doubt", "its answer was lost", 0),
    "header cut": (b"HTTP/1.1 200 OK\r\ncontent-le", "in_doubt", "its answer was lost", 0),
    "only 100": (b"HTTP/1.1 100 Go on\r\n\r\n", "in_doubt", "its answer was lost", 0),
}
"""Answers that break off or cannot be decoded, with the outcome, its text, and the seconds to wait."""


@pytest.mark.parametrize("answer", BROKEN)
async def test_the_status_of_an_answer_that_breaks_off_still_counts(raw: tuple[str, list[bytes]], answer: str) -> None:
    """A refusal tells all by its status. A success whose connection broke may be a target that broke off itself."""
    (found,) = await attempts(raw, answer)
    _, kind, said, after = BROKEN[answer]
    assert (found.kind, said in getattr(found, "error", ""), getattr(found, "after", 0.0)) == (kind, True, after), found


async def attempts(raw: tuple[str, list[bytes]], answer: str) -> tuple[Any, ...]:
    """Make one POST that is answered so, and return the attempts."""
    host, received = raw
    catalogue = Catalogue([http_request], settings={"http": {"allow_hosts": host}})
    env = ActivityEnvironment()
    env.info = dataclasses.replace(env.info, workflow_type="PlanWorkflow", workflow_id="plan-p")
    args: dict[str, Any] = {
        "url": f"http://{host}/charge",
        "method": "POST",
        "headers": {"X-Answer": answer.lower()},
        "body": 5,
    }
    step = Step(id="s", agent="a", tool="http_request", args=args, confidence=1.0)
    request = CallRequest(step=step, contract=catalogue.contract("http_request", args))
    calls = CallActivities(Toolbox(catalogue, Policy()))
    found: tuple[Any, ...] = (await env.run(calls.call, ChainRequest(plan_id="p", calls=(request,)))).attempts
    assert len(received) == 1
    return found
