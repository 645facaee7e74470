"""The tools of all servers that `airlock.toml` names."""

import asyncio
import re
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from airlock.admission.mcp_config import SERVER_NAME, McpServer
from airlock.base.errors import AirlockError, ConfigError, Problem
from airlock.base.likely import likely_fix
from airlock.plans.contract import Reversibility
from airlock.plans.shared import Opening, Shared
from airlock.plans.tool import Tool
from airlock.tools.common import hidden
from airlock.tools.mcp.child import error_log
from airlock.tools.mcp.connection import Connection, connection
from airlock.tools.mcp.definitions import Definition, UnusableDefinitions, read_definitions
from airlock.tools.mcp.entries import tool_of
from airlock.tools.mcp.transport import Resolve, client_of

T = TypeVar("T")
_LAST_WORDS = 300
"""Characters of the end of a command's standard error that a message holds."""


def tools_of_servers(
    servers: Mapping[str, McpServer], secret: Resolve, contracts: Mapping[str, Mapping[str, Any]] | None = None
) -> tuple[list[Tool], list[Problem]]:
    """Return the tools of some servers, and a problem for each server and each entry that cannot be used.

    Args:
        servers: The sections, by name.
        secret: Resolves the secrets of servers that are asked for their tools.
        contracts: The sections `[contracts]`, by tool.
    """
    tools: list[Tool] = []
    problems: list[Problem] = []
    for name, server in servers.items():
        try:
            found = pinned_definitions(name, server, secret)
        except ConfigError as error:
            problems += error.problems
            continue
        shared = _shared(name, server)
        for tool in found:
            made = tool_of(name, server, found, tool, shared)
            problems += [made] if isinstance(made, Problem) else []
            tools += [made] if isinstance(made, Tool) else []
            problems += _otherwise_rated(name, tool, server, (contracts or {}).get(f"{name}.{tool}", {}))
        problems += [_no_such_tool(name, tool, found) for tool in sorted(server.tools.keys() - found.keys())]
    return tools, problems


def pinned_definitions(name: str, server: McpServer, secret: Resolve) -> dict[str, Definition]:
    """Return the definitions of a server's tools: those of its file, or else what the server says now.

    Raises:
        ConfigError: If there are none; the message says what to do.
    """
    where = f"mcp.{name}"
    if not SERVER_NAME.fullmatch(name):
        fix = "use lower-case letters, digits, _ and -, such as [mcp.files]"
        raise ConfigError([Problem(where=where, message="is no name of a server", fix=fix)])
    if server.definitions is not None:
        try:
            return read_definitions(Path(server.definitions))
        except UnusableDefinitions as error:
            fix = f"write it with: airlock tools import {name} --definitions {server.definitions}"
            raise ConfigError([Problem(where=f"{where}.definitions", message=str(error), fix=fix)]) from error
    return ask_definitions(name, server, secret)


def ask_definitions(name: str, server: McpServer, secret: Resolve) -> dict[str, Definition]:
    """Ask a server for its tools: start it or connect to it, and leave it again.

    Raises:
        ConfigError: If it does not tell them in time.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        hide = _Hidden(secret)

        async def listed() -> dict[str, Definition]:
            connect = lambda: client_of(server, hide.resolve, errors)  # noqa: E731
            async with connection(name, connect, server.connect_timeout, hide) as found:
                return (await found.listed())[1]

        try:
            return _in_a_thread(listed)
        except AirlockError as error:
            errors.seek(0)
            said = hide(errors.read()[-_LAST_WORDS:].strip())
            message = f"{error}{f' (it wrote: {said})' if said else ''}"
            fix = f"make it start here, or name a file made by `airlock tools import {name}` in definitions"
            raise ConfigError([Problem(where=f"mcp.{name}", message=message, fix=fix)]) from error


class _Hidden:
    """Secrets that were resolved, kept out of messages."""

    def __init__(self, secret: Resolve) -> None:
        self._secret = secret
        self._values: set[str] = set()

    def resolve(self, name: str) -> str:
        value = self._secret(name)
        self._values.add(value)
        return value

    def __call__(self, text: str) -> str:
        return hidden(text, self._values)


def _in_a_thread(ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function to its end: a catalogue is loaded before, and sometimes within, an event loop."""
    done: list[T] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            done.append(asyncio.run(ask()))
        except BaseException as error:  # noqa: BLE001  # raised again in the thread that waits
            failed.append(error)

    thread = threading.Thread(target=work, name="airlock-mcp", daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]


def _shared(name: str, server: McpServer) -> Shared[Connection]:
    async def hook(opening: Opening) -> AsyncIterator[Connection]:
        hide = _Hidden(opening.secret)
        with error_log(name, hide) as errors:
            connect = lambda: client_of(server, hide.resolve, errors)  # noqa: E731
            async with connection(name, connect, server.connect_timeout, hide) as opened:
                yield opened

    hook.__qualname__ = f"[mcp.{name}]"
    return Shared(hook)


def _otherwise_rated(server: str, tool: str, section: McpServer, contract: Mapping[str, Any]) -> list[Problem]:
    """Return a problem if a section of `[contracts]` and the entry disagree on whether a tool only reads.

    The entry decides which calls are made before an approval: the section would change the words, and not the deeds.
    """
    chosen, entry = contract.get("reversibility"), section.tools.get(tool)
    rated = entry.promises.get("reversibility") if entry is not None else None
    if chosen is None or (chosen == Reversibility.READ_ONLY) == (rated == Reversibility.READ_ONLY):
        return []
    key = tool if re.fullmatch(r"[A-Za-z0-9_-]+", tool) else f'"{tool}"'
    return [
        Problem(
            where=f"contracts.{server}.{tool}.reversibility",
            message="the entry of the tool says otherwise, and decides whether it is called before an approval",
            fix=f"remove it here, and write it in [mcp.{server}.tools.{key}]",
        )
    ]


def _no_such_tool(server: str, tool: str, found: Mapping[str, Definition]) -> Problem:
    fix = likely_fix(tool, found, f"remove it; the server has: {', '.join(found)}")
    return Problem(where=f"mcp.{server}.tools.{tool}", message="the server has no tool of this name", fix=fix)
