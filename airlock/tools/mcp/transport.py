"""The way to a server: its command with an environment, or its URL with headers."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TextIO

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import Implementation

from airlock.admission.mcp_config import Given, McpServer, SecretName
from airlock.program import version
from airlock.tools.mcp.child import tethered

_PATIENCE = httpx2.Timeout(30.0, read=None)
"""Seconds for a connection; the contract of a tool says how long its answer may take."""
Resolve = Callable[[str], str]
"""A function that resolves the name of a secret."""


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
            httpx2.AsyncClient(headers=headers, timeout=_PATIENCE, trust_env=False) as http,
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
    )
    async with Client(stdio_client(parameters, errors), client_info=about, cache=None) as client:
        yield client


def _resolved(value: Given, secret: Resolve) -> str:
    return secret(value.name) if isinstance(value, SecretName) else value
