"""Answers to a write that no output can hold as they are, from a real service, through the whole activity."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from temporalio.testing import ActivityEnvironment

from airlock.activities.call import CallActivities
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.plans.catalogue import Catalogue
from airlock.plans.outcome import CallSucceeded
from airlock.plans.plan import Step
from airlock.run.live.call_messages import CallRequest, ChainRequest
from airlock.tools import http_request


@pytest.fixture
async def raw() -> AsyncIterator[tuple[str, list[bytes]]]:
    """A real service that answers every request with the bytes it is given in the header X-Answer."""
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            received.append(await reader.readuntil(b"\r\n\r\n"))
            head = dict(line.lower().split(b": ", 1) for line in received[-1].split(b"\r\n")[1:] if b": " in line)
            await reader.readexactly(int(head[b"content-length"]))
            body, kind = ANSWERS[head[b"x-answer"].decode()]
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%s\r\n\r\n%s" % (len(body), kind, body))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", received


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
    "other bytes": (b'{"name": "\xff"', JSON),
    "not gzip": (b"plain", JSON + b"\r\ncontent-encoding: gzip"),
    "long header": (b"{}", JSON + b"\r\nlocation: /" + b"x" * 60_000),
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_an_answer_that_cannot_be_read_is_an_effect_with_its_text(raw: tuple[str, list[bytes]], answer: str) -> None:
    """Through the whole activity, which checks that an output can be kept."""
    host, received = raw
    catalogue = Catalogue([http_request], settings={"http": {"allow_hosts": host}})
    env = ActivityEnvironment()
    env.info = dataclasses.replace(env.info, workflow_type="PlanWorkflow", workflow_id="plan-p")
    args = {"url": f"http://{host}/charge", "method": "POST", "headers": {"X-Answer": answer.lower()}, "body": 5}
    step = Step(id="s", agent="a", tool="http_request", args=args, confidence=1.0)
    request = CallRequest(step=step, contract=catalogue.contract("http_request", args))
    calls = CallActivities(Toolbox(catalogue, Policy()))
    (found,) = (await env.run(calls.call, ChainRequest(plan_id="p", calls=(request,)))).attempts
    assert len(received) == 1
    assert isinstance(found, CallSucceeded), found
    assert found.broken == ""
    body = ANSWERS[answer][0].decode(errors="replace")
    if answer == "not gzip":
        assert (found.output["body"], "not encoded" in found.output["note"]) == (None, True)
    elif answer == "long header":
        assert (found.output["body"], "location" in found.output["headers"]) == ({}, False)
    else:
        assert found.output["body"] == (json.loads(body) if answer == "100 deep" else body)
