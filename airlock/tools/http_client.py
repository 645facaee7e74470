"""Requests to hosts that the operator allows, for `http_request` and the tools that `http_tool` creates."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NotRequired

from pydantic import JsonValue
from typing_extensions import TypedDict

from airlock.base.errors import ToolFailed
from airlock.base.text import MAX_OUTPUT_BYTES
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool_call import Preview, ToolCall
from airlock.tools.common import json_of, require_mine
from airlock.tools.web import (
    KEPT_HEADERS,
    READ_METHODS,
    HttpSettings,
    Reply,
    TargetRefused,
    client_of,
    exchange,
    is_gone,
    json_bytes,
)

if TYPE_CHECKING:
    import httpx

Query = Mapping[str, str | int | float | bool]

_PORTS = {"http": 80, "https": 443}
_RESERVED = ("host", "content-length", "transfer-encoding", "connection")


class HttpAnswer(TypedDict):
    """An answer of a server."""

    status: int
    headers: dict[str, str]
    body: JsonValue
    """The body: JSON if the server says so, else text."""
    note: NotRequired[str]
    """A note that the body of a write was too large and is left out. A read with such a body fails instead."""


def allowed(url: str, settings: HttpSettings) -> "httpx.URL":
    """Return the URL if the operator allows its host.

    Raises:
        ToolFailed: If it is not an http or https URL, holds credentials, or its host is not allowed.
    """
    import httpx

    try:
        parsed = httpx.URL(url)
        host = parsed.host  # decoded, which fails for a name such as xn--a
    except (httpx.InvalidURL, ValueError) as error:
        raise ToolFailed(f"that is not a URL: {error}") from error
    if parsed.scheme not in _PORTS or not host:
        raise ToolFailed("a URL must begin with http:// or https:// and name a host")
    if parsed.userinfo:
        raise ToolFailed("a URL must not hold credentials: use a header with a $secret")
    port = parsed.port or _PORTS[parsed.scheme]
    names = {f"{host}:{port}"} | ({host} if port == _PORTS[parsed.scheme] else set())
    if not names & {each.lower() for each in settings.allow_hosts}:
        hosts = ", ".join(settings.allow_hosts) or "none"
        raise ToolFailed(f"host {min(names, key=len)!r} is not in settings.http.allow_hosts (allowed: {hosts})")
    return parsed


async def send(
    call: ToolCall,
    method: str,
    url: str,
    *,
    query: Query | None = None,
    headers: Mapping[str, str] | None = None,
    body: JsonValue | bytes = None,
    settings: HttpSettings | None = None,
    changes: bool | None = None,
    hide: Sequence[str] = (),
) -> HttpAnswer:
    """Make one request. A body of text or bytes is sent as it is, any other as JSON.

    Args:
        call: The call.
        method: The HTTP method.
        url: The address.
        query: Added to the query of the address.
        headers: The headers.
        body: The body.
        settings: Other settings than those of the call.
        changes: True if the request changes something; None decides by its method.
        hide: Texts, beside the values of headers, that must not appear in an error.

    Raises:
        ToolFailed: If it had no effect.
        InDoubt: If it was sent and its effect is not known.
    """
    settings = call.settings if settings is None else settings
    changes = method not in READ_METHODS if changes is None else changes
    target = allowed(url, settings)
    sent = dict(headers or {})
    if reserved := [name for name in sent if name.lower() in _RESERVED]:
        raise ToolFailed(f"header {reserved[0]!r} is set by the tool itself: remove it")
    async with client_of(settings.timeout, environment=settings.trust_environment) as client:
        # merged only where there is something to merge: merging writes the query of an address in another way
        request = _request(client, method, target.copy_merge_params(dict(query)) if query else target, sent, body)
        if changes:
            await require_mine(call)
        hidden = [*hide, *(value for value in sent.values() if len(value) >= 8)]
        reply = await exchange(client, request, hide=hidden, changes=changes)
    return answer(reply, reads=not changes)


def _request(
    client: "httpx.AsyncClient", method: str, url: "httpx.URL", headers: Mapping[str, str], body: JsonValue | bytes
) -> "httpx.Request":
    # without compression, so that a small answer cannot become a large one
    fixed = {"accept-encoding": "identity", "user-agent": "airlock"}
    try:
        if body is None:
            return client.build_request(method, url, headers={**fixed, **headers})
        if isinstance(body, str | bytes):
            content = body.encode() if isinstance(body, str) else body
            return client.build_request(method, url, headers={**fixed, **headers}, content=content)
        return client.build_request(method, url, headers={**fixed, **headers}, json=body)
    except ValueError as error:
        raise ToolFailed(f"that is not a request HTTP can carry: {type(error).__name__}") from error


def answer(reply: Reply, *, reads: bool) -> HttpAnswer:
    """Return an answer as the output of a call, within the size limit of outputs."""
    output: HttpAnswer = {"status": reply.status, "headers": reply.kept_headers(), "body": reply.body()}
    if reply.content is not None and json_bytes(output) <= MAX_OUTPUT_BYTES:
        return output
    too_large = f"the body was larger than {MAX_OUTPUT_BYTES} bytes"
    if reads:
        raise ToolFailed(f"{too_large}: ask for less")
    if reply.undecoded:
        return {**output, "body": None, "note": "the body is not encoded as its headers say and was left out"}
    return {**output, "body": None, "note": f"{too_large} and was left out"}


def open_answer() -> HttpAnswer:
    """Return the answer that a mock gives: a later step may refer to any part of it, which only the server knows."""
    return {"status": 200, "headers": dict.fromkeys(KEPT_HEADERS, UNKNOWN), "body": UNKNOWN}


async def read_before(call: ToolCall, shown: str, read: Callable[[], Awaitable[HttpAnswer]]) -> Preview:
    """Return the preview of a reading request, which is made now.

    Behind writes of its own plan, an answer that there is no such thing says nothing: they may make it.

    Args:
        call: The dry run.
        shown: The beginning of the sentence about the request and its answer.
        read: The function that makes it.

    Raises:
        ToolFailed: If the request fails in any other way.
    """
    try:
        output = await read()
    except TargetRefused as refusal:
        if not (call.follows_writes and is_gone(refusal)):
            raise
        effect = f"Would {shown} answered {refusal.status} now; earlier steps of the plan may make it."
        return Preview(effect=effect)
    return Preview(effect=f"Would {shown} answered {output['status']} now.", output=json_of(output))


async def reachable(url: "httpx.URL", settings: HttpSettings) -> None:
    """Check that the host accepts a connection; skipped if a proxy may stand in between.

    Raises:
        ToolFailed: If the host does not accept a connection.
    """
    if settings.trust_environment:
        return
    port = url.port or _PORTS[url.scheme]
    try:
        async with asyncio.timeout(settings.timeout):
            _, writer = await asyncio.open_connection(url.host, port)
            writer.close()
            await writer.wait_closed()
    except (OSError, TimeoutError) as error:
        raise ToolFailed(f"{url.host}:{port} cannot be reached: {type(error).__name__}", retry=True) from error
