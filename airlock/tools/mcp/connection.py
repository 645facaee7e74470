"""The connection of one event loop to one MCP server: opened when it is needed, opened again when it is lost.

A session must be closed by the task that opened it, so each has a task of its own. Calls of any task share it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from mcp import Client, MCPError
from mcp.client.session import ClientSession
from mcp.types import CONNECTION_CLOSED, ListToolsResult, PaginatedRequestParams
from pydantic import ValidationError

from airlock.base.errors import ToolFailed
from airlock.base.text import shorten
from airlock.tools.mcp.silence import Silence
from airlock.tools.mcp.statuses import HttpRefusal, refusal_of
from airlock.tools.outcomes import Asked, http_meaning
from airlock.tools.rated.definitions import MAX_TOOLS, Definition, UnusableDefinitions, definitions_of

_PAGES = 50
"""Pages of a list of tools."""
LIST_WITHIN = 15.0
"""Seconds for the list of tools of an open session."""
_LIST_AGAIN_WITHIN = 1.0
"""Seconds for it if earlier calls have waited for it in vain as long."""
_CLOSE_WITHIN = 8.0
"""Seconds for the end of a session; the SDK ends the process of a server after four."""

_CREDENTIALS = (401, 403)
"""Statuses by which a server refuses the headers with which a session was opened."""
_LIMITS = (413, 429)
"""Statuses by which it refuses a request for its size, or for how many there were: the session goes on."""

Connect = Callable[[], AbstractAsyncContextManager[Client]]
"""Opens a client of the server."""


class Session:
    """An open session, which counts its calls that have no answer yet.

    Args:
        inner: The session of the SDK.
    """

    def __init__(self, inner: ClientSession) -> None:
        self.inner = inner
        self.under_way = 0
        self.has_listed = False
        """True if the server has told its tools in this session."""
        self._silence = Silence()

    async def tools(self) -> list[Definition]:
        """Return the tools of the server, by a list that no cache answers.

        Calls that end before their list has come wait for it together: a server that hangs would otherwise never be found
        out by calls that are shorter than the wait for a list.

        Raises:
            TimeoutError: If the server does not answer in time.
        """
        silent = 0.0 if self.under_way else self._silence.seconds
        with self._silence.lasting():
            async with asyncio.timeout(max(LIST_WITHIN - silent, _LIST_AGAIN_WITHIN)):
                try:
                    found = await _tools(self.inner)
                except MCPError:
                    self._silence.end()
                    raise
        self._silence.end()
        self.has_listed = True
        return found

    async def call_tool(self, tool: str, args: dict[str, Any], meta: Mapping[str, Any] | None) -> Any:
        """Call a tool once; the SDK is kept from asking the tool again when it wants input."""
        self.under_way += 1
        try:
            return await self.inner.call_tool(tool, args, meta=meta, allow_input_required=True)  # type: ignore[arg-type]
        finally:
            self.under_way -= 1
            self._silence.end()  # of a server that does one thing at a time, no other answer was due before


class Connection:
    """Sessions with one server, one at a time.

    Args:
        server: The name of the server, for messages.
        connect: Opens a client.
        within: Seconds that opening a session may take.
        hide: Texts, such as credentials, that must not appear in an error.
    """

    def __init__(self, server: str, connect: Connect, within: float, hide: Callable[[str], str]) -> None:
        self._server, self._connect, self._within, self._hide = server, connect, within, hide
        self._opening = asyncio.Lock()
        self._owner: _Owner | None = None

    async def listed(self) -> tuple[Session, dict[str, Definition]]:
        """Return an open session and the tools that the server has at this moment; nothing else was asked of it.

        Raises:
            ToolFailed: If the server cannot be reached or turns the request away, or its list of tools cannot be used.
        """
        why: Exception | None = None
        owner: _Owner | None = None
        for _ in range(2):  # a session that was lost in the meantime is found out here, before anything is called
            owner = None
            try:
                owner = await self._open()
                return owner.session, definitions_of(await owner.session.tools())
            except UnusableDefinitions as error:
                raise ToolFailed(f"MCP server {self._server!r}: {error}") from error
            except Exception as error:  # noqa: BLE001  # transports raise errors of their own
                why, refusal = error, refusal_of(_innermost(error))
                if owner is None:  # it cannot be opened: another attempt of the call may try again
                    break
                if owner.session.under_way and not _lost(error):
                    break  # a server that does one thing at a time; closing would cut off what it does
                if refusal is None or refusal.status not in _LIMITS:
                    await self._drop(owner)
                if refusal is not None and _turned_away(refusal):
                    break
        raise self._failure(why, once_good=owner is not None and owner.session.has_listed) from why

    async def close(self) -> None:
        """Close the session, if there is one."""
        if self._owner is not None:
            await self._drop(self._owner)

    def _failure(self, error: Exception | None, *, once_good: bool) -> ToolFailed:
        """Return an error as the failure of a call that was not made.

        Args:
            error: The error of a session, or of its opening.
            once_good: True if the server has taken the headers of the session before.
        """
        said, refusal = self._hide(told(error)), refusal_of(_innermost(error))
        if refusal is None or not _turned_away(refusal):
            return ToolFailed(f"MCP server {self._server!r} cannot be reached: {said}", retry=True)
        again = http_meaning(Asked.HTTP_READ, refusal.status, refusal.after).again
        again = again or (once_good and refusal.status in _CREDENTIALS)  # the next session reads its secret again
        return ToolFailed(f"MCP server {self._server!r} lists no tools: {said}", retry=again, after=refusal.after or 0.0)

    async def _drop(self, owner: "_Owner") -> None:
        """Close a session; the next call opens another one. One that another call has opened meanwhile stays."""
        async with self._opening:
            if self._owner is owner:
                self._owner = None
        await owner.close()

    async def _open(self) -> "_Owner":
        async with self._opening:
            if self._owner is None or self._owner.ended:
                self._owner = _Owner(self._connect)
                try:
                    async with asyncio.timeout(self._within):
                        await self._owner.opened()
                except BaseException:
                    owner, self._owner = self._owner, None
                    await owner.close()
                    raise
            return self._owner


@asynccontextmanager
async def connection(
    server: str, connect: Connect, within: float, hide: Callable[[str], str] = str
) -> AsyncIterator[Connection]:
    """Create a connection, and close its session in the end. Nothing is opened before the first call."""
    made = Connection(server, connect, within, hide)
    try:
        yield made
    finally:
        await made.close()


class _Owner:
    """One session, and the task that opens and closes it."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._session: Session | None = None
        self._ready, self._closing = asyncio.Event(), asyncio.Event()
        self._task = asyncio.create_task(self._hold())

    @property
    def ended(self) -> bool:
        return self._task.done()

    @property
    def session(self) -> Session:
        assert self._session is not None
        return self._session

    async def opened(self) -> None:
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if not self._ready.is_set():
            self._task.result()
            raise ConnectionError("its session ended at once")

    async def close(self) -> None:
        self._closing.set()
        if not self._ready.is_set():
            self._task.cancel()
        await asyncio.wait({self._task}, timeout=_CLOSE_WITHIN)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1.0)
        if self._task.done() and not self._task.cancelled():
            self._task.exception()  # retrieved: a session that was lost fails when it is closed, too

    async def _hold(self) -> None:
        async with self._connect() as client:
            self._session = Session(client.session)
            self._ready.set()
            await self._closing.wait()


def _lost(error: Exception) -> bool:
    """Return True unless an error says that the session goes on: no answer yet, or one that is none."""
    if isinstance(error, MCPError):
        return error.code == CONNECTION_CLOSED
    return not isinstance(error, TimeoutError)


def _turned_away(refusal: HttpRefusal) -> bool:
    """Return True if asking at once in another session would be of no use, or against the wish of the server."""
    return refusal.status in (*_CREDENTIALS, *_LIMITS) or refusal.after is not None


async def _tools(session: ClientSession) -> list[Definition]:
    """Return the tools of a server, by a list that no cache answers."""
    found: list[Definition] = []
    cursor: str | None = None
    for _ in range(_PAGES):
        try:
            page: ListToolsResult = await session.list_tools(
                params=PaginatedRequestParams(cursor=cursor) if cursor else None
            )
        except ValidationError as error:
            raise UnusableDefinitions(f"its list of tools cannot be read: {_misfit(error, len(found))}") from error
        found += [_definition(each) for each in page.tools]
        cursor = page.next_cursor
        if not cursor or len(found) > MAX_TOOLS:
            return found
    raise UnusableDefinitions(f"its list of tools has more than {_PAGES} pages")


def _misfit(error: ValidationError, before: int) -> str:
    """Return what is wrong with a page of the list that comes behind some tools of other pages."""
    wrong = error.errors(include_url=False, include_input=False)[0]
    place = [str(part) for part in wrong["loc"]]
    if len(wrong["loc"]) > 1 and isinstance(number := wrong["loc"][1], int):
        place = [f"tool {before + number + 1} of the list", ".".join(place[2:])]
    return f"{': '.join(filter(None, place))}: {wrong['msg']}, as the protocol says"


def _definition(tool: Any) -> Definition:
    written = tool.model_dump(mode="json", include={"name", "title", "description", "input_schema", "output_schema"})
    annotations = {} if tool.annotations is None else tool.annotations.model_dump(mode="json", exclude_none=True)
    return Definition(**written, annotations=annotations)


def told(error: BaseException | None) -> str:
    """Return an error of a transport in a few words: the innermost of a group."""
    error = _innermost(error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return shorten(f"{type(error).__name__} {error}".strip(), 200)


def _innermost(error: BaseException | None) -> BaseException | None:
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return error
