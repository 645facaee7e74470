"""The tools of all servers that `airlock.toml` names."""

import asyncio
import re
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from airlock.admission.configuration.mcp_config import McpServer, McpTool
from airlock.base.errors import AirlockError, ConfigError, Problem
from airlock.base.text import shorten
from airlock.plans.shared import Opening, Shared
from airlock.plans.tool import Tool
from airlock.plans.tool_call import ToolCall
from airlock.tools.common import hidden
from airlock.tools.mcp.answers import ServerSession, open_answer, output_type
from airlock.tools.mcp.child import error_log
from airlock.tools.mcp.connection import Connection, connection
from airlock.tools.mcp.transport import Resolve, client_of
from airlock.tools.rated.definitions import Definition, Definitions, UnusableDefinitions, read_definitions
from airlock.tools.rated.rated_entry import tools_of, wrong_name
from airlock.tools.rated.system import RatedSystem

T = TypeVar("T")
_AT_ONCE = 16
"""Servers that are asked for their tools at the same time."""
_LAST_WORDS = 300
"""Characters of the end of a command's standard error that a message holds."""
_LAST_LINES = 3
_WAY = {"command", "args", "env", "cwd", "url", "headers", "roles", "errors"}
"""The keys of a section that decide what a call reaches, and what an error means. Of secrets they hold the names."""


def tools_of_servers(
    servers: Mapping[str, McpServer], secret: Resolve, contracts: Mapping[str, Mapping[str, Any]] | None = None
) -> tuple[list[Tool], list[Problem]]:
    """Return the tools of some servers, and a problem for each server and each entry that cannot be used.

    Servers that must be asked for their tools are asked at the same time.

    Args:
        servers: The sections, by name.
        secret: Resolves the secrets of servers that are asked for their tools.
        contracts: The sections `[contracts]`, by tool.
    """
    tools: list[Tool] = []
    problems: list[Problem] = []
    with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="airlock-mcp") as threads:
        asked = {name: threads.submit(pinned_definitions, name, server, secret) for name, server in servers.items()}
    for name, server in servers.items():
        try:
            found = asked[name].result()
        except ConfigError as error:
            problems += error.problems
            continue
        made, wrong = tools_of(_system(name, server, found), contracts or {})
        tools += made
        problems += wrong
    return tools, problems


def pinned_definitions(name: str, server: McpServer, secret: Resolve) -> dict[str, Definition]:
    """Return the definitions of a server's tools: those of its file, or else what the server says now.

    Raises:
        ConfigError: If there are none; the message says what to do.
    """
    where = f"mcp.{name}"
    if wrong := wrong_name("mcp", name):
        raise ConfigError([wrong])
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
            said = _last_words(hide(errors.read()))
            message = f"{error}{f' (it wrote: {said})' if said else ''}"
            fix = (
                "let its author correct it: none of its tools is offered before"
                if isinstance(error.__cause__, UnusableDefinitions)
                else f"make it start here, or name a file made by `airlock tools import {name}` in definitions"
            )
            raise ConfigError([Problem(where=f"mcp.{name}", message=message, fix=fix)]) from error


def _last_words(errors: str) -> str:
    """Return the last lines of a text, as one: the end of a traceback says what it is about."""
    lines = [" ".join(line.split()) for line in errors.splitlines()]
    told = [line for line in lines if re.search(r"\w", line)][-_LAST_LINES:]
    return shorten(" | ".join(told), _LAST_WORDS)


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


def _system(name: str, server: McpServer, definitions: Definitions) -> RatedSystem:
    connected = _shared(name, server)

    async def reach(call: ToolCall) -> tuple[ServerSession, Definitions]:
        session, found = await call.shared(connected).listed()
        return ServerSession(session, definitions, over_http=server.url is not None), found

    return RatedSystem(
        section="mcp",
        name=name,
        shown=f"MCP server {name!r}",
        definitions=definitions,
        entries=server.tools,
        entry_model=McpTool,
        way=server.model_dump(mode="json", include=_WAY),
        reach=reach,
        output=output_type,
        open_answer=open_answer,
        secrets=server.secrets,
        rehearses="rehearse" in server.roles,
        errors_have_no_effect=server.errors == "no_effect",
        shared=(connected,),
    )


def _shared(name: str, server: McpServer) -> Shared[Connection]:
    async def hook(opening: Opening) -> AsyncIterator[Connection]:
        hide = _Hidden(opening.secret)
        with error_log(name, hide) as errors:
            connect = lambda: client_of(server, hide.resolve, errors)  # noqa: E731
            async with connection(name, connect, server.connect_timeout, hide) as opened:
                yield opened

    hook.__qualname__ = f"[mcp.{name}]"
    return Shared(hook)
