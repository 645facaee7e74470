"""The way to a server: its command with an environment, or its URL with headers."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TextIO

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import Implementation

from airlock.admission.configuration.mcp_config import McpServer
from airlock.admission.configuration.tool_entries import Given, SecretName
from airlock.program import version
from airlock.tools.mcp.child import tethered
from airlock.tools.mcp.statuses import StatusTransport

_PATIENCE = httpx2.Timeout(30.0, read=None)
"""Seconds for a connection; the contract of a tool says how long its answer may take."""
_NOISE = "an MCP server wrote a line to its standard output that is no message; it is left out"
Resolve = Callable[[str], str]
"""A function that resolves the name of a secret."""


def _quiet(record: logging.LogRecord) -> bool:
    """Take out of a line of the SDK's log what a server has written, which may hold its secrets."""
    if record.exc_info:
        record.msg, record.args, record.exc_info, record.exc_text = _NOISE, (), None, None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


logging.getLogger("mcp.client.stdio").addFilter(_quiet)


@asynccontextmanager
async def client_of(server: McpServer, secret: Resolve, errors: TextIO) -> AsyncIterator[Client]:
    """Open a client of a server: it answers no question of the server, and keeps no list of its tools.

    Args:
        server: The server.
        secret: Resolves its secrets.
        errors: The standard error of a command.

    Raises:
        SecretError: If a secret is missing.
    """
    about = Implementation(name="airlock", version=version())
    if server.url is not None:
        headers = {name: _resolved(value, secret) for name, value in server.headers.items()}
        async with (
            httpx2.AsyncClient(
                headers=headers,
                timeout=_PATIENCE,
                transport=StatusTransport(httpx2.AsyncHTTPTransport(trust_env=False)),
                trust_env=False,
            ) as http,
            Client(streamable_http_client(server.url, http_client=http), client_info=about, cache=None) as client,
        ):
            yield client
        return
    command, arguments = tethered(server)
    parameters = StdioServerParameters(
        command=command,
        args=arguments,
        env={name: _resolved(value, secret) for name, value in server.env.items()},
        cwd=server.cwd,
        encoding_error_handler="replace",  # a line of other bytes is noise, too, and not the end of the session
    )
    async with Client(stdio_client(parameters, errors), client_info=about, cache=None) as client:
        yield client


def _resolved(value: Given, secret: Resolve) -> str:
    return secret(value.name) if isinstance(value, SecretName) else value
