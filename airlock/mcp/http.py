"""The server over streamable HTTP: who may connect, from where, and how it ends."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp, Receive, Scope, Send

from airlock.base.errors import AirlockError, ConfigError
from airlock.mcp.callers import SCOPE_KEY
from airlock.mcp.tokens import agent_of, read_tokens
from airlock.serving import is_loopback

PATH = "/mcp"
MAX_REQUEST = 4 * 1024 * 1024
"""Bytes of a request; the largest plan is smaller."""
_CHALLENGE = b'Bearer realm="airlock"'
_log = logging.getLogger(__name__)


class RequireToken:
    """A check before the application: every request carries a token of the file, which names its agent."""

    def __init__(self, app: ASGIApp, tokens: Path) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with the agent of its token, or answer 401."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = _bearer(scope)
        agent = self._agent(given) if given else None
        if agent is None:
            await _unauthorized(send, known=bool(given))
            return
        await self._app({**scope, SCOPE_KEY: agent}, receive, send)

    def _agent(self, token: str) -> str | None:
        try:
            return agent_of(token, read_tokens(self._tokens))
        except ConfigError as error:
            _log.warning("no request is let in: %s", error)
            return None


def _bearer(scope: Scope) -> str | None:
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(found) != 1:  # two of them could be read differently by a proxy
        return None
    scheme, _, token = found[0].decode("latin-1").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


async def _unauthorized(send: Send, *, known: bool) -> None:
    challenge = _CHALLENGE + (b', error="invalid_token"' if known else b"")
    body = json.dumps({"error": "invalid_token" if known else "unauthorized"}).encode()
    headers = [(b"content-type", b"application/json"), (b"www-authenticate", challenge)]
    await send({"type": "http.response.start", "status": 401, "headers": [*headers, (b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


def require_safe(host: str, tokens: Path | None, allowed: Sequence[str]) -> None:
    """Require that an address is one that this server may listen on.

    Raises:
        AirlockError: If others could reach it without a token, or no Host header would be right.
    """
    if is_loopback(host):
        return
    if tokens is None:
        raise AirlockError(f"{host} can be reached by others: give the tokens that are let in with --tokens FILE")
    if host in ("0.0.0.0", "::") and not allowed:
        raise AirlockError(f"{host} is every address: name the hosts that clients write with --allow-host NAME[:PORT]")


def application(server: MCPServer[Any], host: str, tokens: Path | None, allowed: Sequence[str]) -> ASGIApp:
    """Return the application: stateless, so that any process answers any request, also after a restart.

    Args:
        server: The server.
        host: The address that it listens on.
        tokens: The file of tokens; None on loopback alone.
        allowed: Further values of the Host header, for a server behind another name.
    """
    names = ["127.0.0.1", "localhost", "[::1]"] if is_loopback(host) else [f"[{host}]" if ":" in host else host]
    hosts = [form for name in names for form in (name, f"{name}:*")] + list(allowed)
    origins = [f"{scheme}://{name}" for name in hosts for scheme in ("http", "https")]
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        stateless_http=True,
        max_request_body_size=MAX_REQUEST,
        transport_security=TransportSecuritySettings(
            enable_dns_rebinding_protection=True, allowed_hosts=hosts, allowed_origins=origins
        ),
        host=host,
    )
    return app if tokens is None else RequireToken(app, tokens)
