"""The activity `prepare` on the queue of the workflows, where Temporal lets it begin at once in the worker that asks.

It is carried out by the rehearsing role of the same process, if there is one: its tools run in the event loop of that
role, where what they share is open.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError

from airlock.activities.rehearsals.prepare import PrepareActivities
from airlock.activities.rehearsals.preview import PreviewActivities
from airlock.activities.rehearsals.rehearse import RehearseActivities
from airlock.activities.toolbox import Toolbox
from airlock.run.handed_back import ELSEWHERE
from airlock.wire import Prepared, PrepareRequest

WAITING: Final = 50
"""Plans that wait for a place at the same time; those beyond are handed back."""
PLACE_WITHIN: Final = 5.0
"""Seconds that a plan waits for a place before it is handed back; less than the time without a heartbeat."""


class LentRole:
    """The rehearsing role of a process, as its orchestrating role borrows it from another thread.

    Args:
        places: The number of plans that are rehearsed for the orchestrating role at the same time.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self._lock = threading.Lock()
        self._role: PrepareActivities | None = None
        self._borrowers = 0
        self._idle: Future[None] | None = None

    def open(self, toolbox: Toolbox) -> None:
        """Lend a role with these tools from now on."""
        role = PrepareActivities(toolbox, RehearseActivities(toolbox), PreviewActivities(toolbox))
        with self._lock:
            self._role = role

    @asynccontextmanager
    async def opened(self, toolbox: Toolbox) -> AsyncIterator[None]:
        """Lend the role whose tools run in this event loop; in the end, wait until none of them is in use."""
        self.open(replace(toolbox, loop=asyncio.get_running_loop()))
        try:
            yield
        finally:
            with self._lock:
                self._role = None
                self._idle = Future() if self._borrowers else None
            if self._idle is not None:
                await asyncio.wrap_future(self._idle)

    @contextmanager
    def borrowed(self) -> Iterator[PrepareActivities | None]:
        """Yield the role, which stays open meanwhile; None if it is not lent now."""
        with self._lock:
            role = self._role
            self._borrowers += role is not None
        try:
            yield role
        finally:
            with self._lock:
                self._borrowers -= role is not None
                if not self._borrowers and self._idle is not None and not self._idle.done():
                    self._idle.set_result(None)


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
            ApplicationError: If a worker of the rehearsals' queue must do it: the process does not rehearse, or not now.
        """
        if self._lent is None:
            raise _elsewhere("this process does not rehearse")
        with self._lent.borrowed() as role:
            if role is None:
                raise _elsewhere("this process does not rehearse now")
            await self._take_place()
            try:
                return await role.prepare(request)
            finally:
                self._places.release()

    async def _take_place(self) -> None:
        if self._waiting >= WAITING:
            raise _elsewhere("this process rehearses as many plans as it may")
        self._waiting += 1
        try:
            await asyncio.wait_for(self._places.acquire(), PLACE_WITHIN)
        except TimeoutError:
            raise _elsewhere("this process rehearses as many plans as it may") from None
        finally:
            self._waiting -= 1


def _elsewhere(why: str) -> ApplicationError:
    return ApplicationError(why, type=ELSEWHERE, non_retryable=True)
