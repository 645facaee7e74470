"""The activity `prepare` on the queue of the workflows, where Temporal lets it begin at once in the worker that asks.

The rehearsing role of the same process carries it out, in its own event loop: nothing of a tool runs in the loop of the
workflows. Where that loop does not answer, or the process does not rehearse, the plan is handed back.
"""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, Final

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from airlock.activities.rehearsals.prepare import PrepareActivities
from airlock.activities.rehearsals.preview import PreviewActivities
from airlock.activities.rehearsals.rehearse import RehearseActivities
from airlock.activities.stopped import stopped_early
from airlock.activities.toolbox import Toolbox
from airlock.run.handed_back import ELSEWHERE
from airlock.wire import Prepared, PrepareRequest

WAITING: Final = 50
"""Plans that wait for a place at the same time; those beyond are handed back."""
PLACE_WITHIN: Final = 1.0
"""Seconds that a plan waits for a place before it is handed back."""
TICK_WITHIN: Final = 0.5
"""Seconds in which the loop of the rehearsing role answers; a tool may not have given it back."""
_LOOK_AGAIN: Final = 1.0
_CLOSED: Final = "this process does not rehearse now"


class LentRole:
    """The rehearsing role of a process, as its orchestrating role borrows it.

    Args:
        places: The number of plans that are rehearsed for the orchestrating role at the same time.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self._role: PrepareActivities | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lost: asyncio.Event | None = None
        self._lent: set[asyncio.Task[Any]] = set()
        """Plans that are rehearsed for the other role; used in the loop of this one only."""

    def open(self, toolbox: Toolbox, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Lend a role with these tools from now on; it works in the event loop, or in that of the borrower."""
        self._loop = loop  # before the role: another thread may look
        self._role = PrepareActivities(toolbox, RehearseActivities(toolbox), PreviewActivities(toolbox))

    @asynccontextmanager
    async def opened(self, toolbox: Toolbox, lost: asyncio.Event) -> AsyncIterator[None]:
        """Lend the role of this event loop; in the end, stop what runs for the other role and wait until it has ended.

        Args:
            toolbox: Its tools.
            lost: Set when something that the tools share has ended: from then on nothing is lent.
        """
        self._lost = lost
        self.open(toolbox, asyncio.get_running_loop())
        try:
            yield
        finally:
            self._role = None
            for task in self._lent:
                task.cancel()
            if self._lent:
                await asyncio.wait(self._lent)

    async def prepare(self, request: PrepareRequest) -> Prepared:
        """Carry out the activity that runs in this context.

        Raises:
            ApplicationError: See `PrepareActivities.prepare`; also if the role is not lent, or its loop does not answer.
        """
        if self._role is None:
            raise _elsewhere(_CLOSED)
        loop = self._loop
        if loop is None or loop is asyncio.get_running_loop():
            return await self._carried_out(request)
        await _tick(loop)
        context = activity._Context.current()
        # the SDK makes a task of each heartbeat, in the loop of its worker
        beat, home, own = context.heartbeat, asyncio.get_running_loop(), contextvars.copy_context()

        def heartbeat(*details: Any) -> None:
            if beat is not None:
                home.call_soon_threadsafe(beat, *details, context=own)

        token = activity._Context.set(replace(context, heartbeat=heartbeat))
        try:
            return await _in_loop(loop, self._carried_out(request))
        finally:
            activity._Context.reset(token)

    async def _carried_out(self, request: PrepareRequest) -> Prepared:
        role, task = self._role, asyncio.current_task()
        if role is None or task is None or (self._lost is not None and self._lost.is_set()):
            raise _elsewhere(_CLOSED)
        self._lent.add(task)
        try:
            return await role.prepare(request)
        finally:
            self._lent.discard(task)


class PrepareHereActivities:
    """`prepare` for runs whose workflow task a worker of this process carried out.

    Args:
        lent: The rehearsing role of the process; None if it has none.
    """

    def __init__(self, lent: LentRole | None) -> None:
        self._lent = lent
        self._places = asyncio.Semaphore(lent.places if lent else 0)
        self._waiting = 0

    @activity.defn(name="prepare")
    async def prepare(self, request: PrepareRequest) -> Prepared:
        """Admit a plan, mock its steps and preview the first ones; see `PrepareActivities`. Safe to repeat.

        Raises:
            ApplicationError: If this process does not rehearse, or not now: the run asks for each part then.
        """
        if self._lent is None:
            raise _elsewhere("this process does not rehearse")
        await self._take_place()
        try:
            return await self._lent.prepare(request)
        finally:
            self._places.release()

    async def _take_place(self) -> None:
        full = "this process rehearses as many plans as it may"
        if self._waiting >= WAITING:
            raise _elsewhere(full)
        self._waiting += 1
        try:
            await asyncio.wait_for(self._places.acquire(), PLACE_WITHIN)
        except TimeoutError:
            raise _elsewhere(full) from None
        finally:
            self._waiting -= 1


def _elsewhere(why: str) -> ApplicationError:
    """Return the failure with which a worker hands a plan back. It is part of the course of things, and logged as such."""
    return ApplicationError(why, type=ELSEWHERE, non_retryable=True, category=ApplicationErrorCategory.BENIGN)


async def _tick(loop: asyncio.AbstractEventLoop) -> None:
    answered = asyncio.Event()
    home = asyncio.get_running_loop()
    try:
        loop.call_soon_threadsafe(home.call_soon_threadsafe, answered.set)
        await asyncio.wait_for(answered.wait(), TICK_WITHIN)
    except (TimeoutError, RuntimeError):  # a RuntimeError is that of a closed loop
        raise _elsewhere("the rehearsing role of this process does not answer") from None


async def _in_loop(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Prepared]) -> Prepared:
    """Await a coroutine in another event loop. A cancellation is passed on, and the outcome awaited all the same.

    Raises:
        ApplicationError: If the loop ended before; Temporal tries again.
    """
    tasks: list[asyncio.Task[Any] | None] = []
    cancelled = False

    async def noted() -> Prepared:
        tasks.append(asyncio.current_task())
        if cancelled:  # before it had begun: there was no task to pass it on to
            work.close()
            raise asyncio.CancelledError
        return await work

    begun = noted()
    try:
        outcome = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(begun, loop))
    except RuntimeError:  # the loop was closed since it answered
        begun.close()
        work.close()
        raise _elsewhere(_CLOSED) from None
    while not outcome.done():
        try:
            await asyncio.wait((outcome,), timeout=_LOOK_AGAIN)
        except asyncio.CancelledError:
            cancelled = True
            for task in filter(None, tasks):
                with suppress(RuntimeError):  # that of a closed loop
                    loop.call_soon_threadsafe(task.cancel)
        if loop.is_closed():
            break
    if not outcome.done() or outcome.cancelled():
        raise stopped_early("the rehearsing role of this process has ended")
    return outcome.result()
