"""Clients that the hooks of one event loop have opened, for the calls of its activities.

Each hook runs in a task of its own: what it opens may have to be closed by the task that opened it.
"""

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from airlock.activities.functions.secrets import Secrets
from airlock.activities.functions.tool_defects import explain
from airlock.activities.toolbox import Finder, Toolbox
from airlock.base.errors import AirlockError, ContractError
from airlock.plans.catalogue import Catalogue
from airlock.plans.shared import Opening, Shared
from airlock.plans.tool import Tool

logger = logging.getLogger("airlock.shared")

OPEN_WITHIN = 60.0
"""Seconds that one start hook may take."""
CLOSE_WITHIN = 10.0
"""Seconds that the stop hooks of one event loop may take together."""
_LAST_WORDS = 0.5
"""Seconds that a stop hook has left after it was cancelled."""
_REHEARSED = frozenset(("mock", "dry_run", "undo_check"))
"""The functions that a rehearsing worker calls."""


class OpeningFailed(AirlockError):
    """A start hook that failed; the worker does not start without what its calls share."""


class HookEnded(AirlockError):
    """A hook that ended by itself, with what it had opened; the worker does not go on without it."""


class Opened:
    """The open clients of one event loop. Create, open and close it there.

    Args:
        secrets: Makes the source of secrets for one hook.
    """

    def __init__(self, secrets: Callable[[], Secrets] = Secrets) -> None:
        self._secrets = secrets
        self.lost = asyncio.Event()
        """Set when a hook has ended by itself."""
        self.loss: HookEnded | None = None
        """The first hook that has ended by itself, as an error; None if there is none."""
        self._holders: dict[Shared[Any], _Holder] = {}

    async def open(self, wanted: Shared[Any], settings: BaseModel | None) -> None:
        """Run a start hook.

        Raises:
            OpeningFailed: If it fails, or takes longer than `OPEN_WITHIN`.
        """
        holder = self._holders[wanted] = _Holder(wanted, settings, self._secrets(), self._lose)
        await holder.open()

    async def close(self) -> None:
        """Run the stop hooks in reverse order. One that fails or hangs is logged, and the next one gets its turn."""
        loop, left = asyncio.get_running_loop(), list(self._holders.values())
        deadline = loop.time() + CLOSE_WITHIN
        while left:
            await left[-1].close(max(deadline - loop.time(), 0.0) / len(left))
            left.pop()

    def finder(self, tool: Tool, secrets: Secrets) -> Finder:
        """Return the function behind `ToolCall.shared` for one call.

        Args:
            tool: The tool that is called.
            secrets: The secrets of the call; those that a hook has asked for are redacted as its own are.
        """

        def find(wanted: Shared[Any]) -> Any:
            if wanted not in tool.shared:
                raise ContractError(f"tool {tool.name!r} does not declare {wanted.name} in `shared`")
            if wanted not in self._holders:
                raise ContractError(f"{wanted.name} is not open here")
            secrets.know(self._holders[wanted].secrets)
            return self._holders[wanted].value

        return find

    def _lose(self, loss: HookEnded) -> None:
        self.loss = self.loss or loss
        self.lost.set()


@asynccontextmanager
async def opened(
    toolbox: Toolbox, parts: Iterable[str], secrets: Callable[[], Secrets] = Secrets
) -> AsyncIterator[tuple[Toolbox, Opened]]:
    """Open what the tools of some roles share, and close it in the end.

    Args:
        toolbox: The operator's catalogue and policy.
        parts: The roles whose activities run in this event loop; `orchestrate` calls no tool.
        secrets: Makes the source of secrets for one hook.

    Raises:
        OpeningFailed: If a start hook fails; what was opened before is closed.
    """
    found = Opened(secrets)
    try:
        for wanted in shared_of(toolbox.catalogue, parts):
            await found.open(wanted, toolbox.catalogue.settings_of(wanted))
        yield replace(toolbox, finder=found.finder), found
    finally:
        await found.close()


def shared_of(catalogue: Catalogue, parts: Iterable[str]) -> tuple[Shared[Any], ...]:
    """Return what the tools share whose functions some roles call, each once, in the order of their tools."""
    chosen = set(parts)
    tools = [tool for name in catalogue.names if (tool := catalogue.get(name)) is not None]
    called = [tool for tool in tools if "live" in chosen or ("rehearse" in chosen and _REHEARSED & set(tool.functions))]
    return tuple(dict.fromkeys(wanted for tool in called for wanted in tool.shared))


class _Holder:
    """One hook, and the task that runs it.

    Args:
        wanted: What is opened.
        settings: Its validated settings.
        secrets: The secrets that it may ask for, and then those that it has asked for.
        lose: Called when the hook ends by itself.
    """

    def __init__(
        self, wanted: Shared[Any], settings: BaseModel | None, secrets: Secrets, lose: Callable[[HookEnded], None]
    ) -> None:
        self.value: Any = None
        self.secrets = secrets
        self._name = f"shared {wanted.name}"
        self._wanted, self._settings, self._lose = wanted, settings, lose
        self._ready, self._closing = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._task = asyncio.create_task(self._hold(), name=self._name)
        self._task.add_done_callback(self._ended)
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait({self._task, ready}, timeout=OPEN_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if self._task.done():
            raise OpeningFailed(f"{self._name}: its start hook failed: {self._failure(self._task)}")
        if not self._ready.is_set():
            raise OpeningFailed(f"{self._name}: its start hook took longer than {OPEN_WITHIN:g} s")

    async def close(self, within: float) -> None:
        task = self._task
        if task is None or task.done():
            return
        self._closing.set()
        if not self._ready.is_set():
            task.cancel()  # its start hook still runs
        await asyncio.wait({task}, timeout=within)
        if not task.done():
            logger.error("%s: its stop hook took longer than %.1f s", self._name, within)
            task.cancel()
            await asyncio.wait({task}, timeout=_LAST_WORDS)
        elif self._ready.is_set() and (why := self._failure(task)):
            logger.error("%s: its stop hook failed: %s", self._name, why)

    async def _hold(self) -> None:
        opening = Opening(settings=self._settings, secret=self.secrets.resolve)
        try:
            async with _running(self._wanted, opening) as self.value:
                self._ready.set()
                await self._closing.wait()
        except (SystemExit, KeyboardInterrupt) as error:  # in a task, they would end the event loop
            raise AirlockError(f"it raised {type(error).__name__}: {error}") from error

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if self._ready.is_set() and not self._closing.is_set():
            self._lose(HookEnded(f"{self._name} ended while calls shared it: {self._failure(task)}"))

    def _failure(self, task: "asyncio.Task[None]") -> str:
        """Return why the hook ended, without secrets; empty if it ended as it should."""
        error = asyncio.CancelledError("cancelled") if task.cancelled() else task.exception()
        return "" if error is None else explain(error, self.secrets, self._name)


def _running(wanted: Shared[Any], opening: Opening) -> AbstractAsyncContextManager[Any]:
    hook: Any = wanted.hook
    if inspect.isasyncgenfunction(hook):
        return asynccontextmanager(hook)(opening)
    return _in_threads(contextmanager(hook)(opening))


@asynccontextmanager
async def _in_threads(plain: AbstractContextManager[Any]) -> AsyncIterator[Any]:
    value = await asyncio.to_thread(plain.__enter__)
    try:
        yield value
    finally:
        await asyncio.to_thread(plain.__exit__, None, None, None)
