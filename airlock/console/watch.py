"""Readings of the system as a whole, made once for all pages that show them, and word of each change."""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, Generic, TypeVar

from temporalio.service import RPCError

from airlock.base import names
from airlock.base.errors import AirlockError
from airlock.base.model import WireModel
from airlock.client.facts import history_length
from airlock.client.inbox import Inbox, SystemLock
from airlock.client.inbox_reader import InboxReader
from airlock.client.live_gate import LiveGate, Proof
from airlock.client.plans import Airlock

FRESH = 1.5
"""Seconds for which a reading is shown again."""
BEAT = 15.0
"""Seconds without a change after which a stream says that it is there."""
SOON = 3.0
"""Seconds that a page waits for the lock: everything else on it can be read without."""
_T = TypeVar("_T")


class LockNow(WireModel):
    """The system lock, with its proof if everything is locked."""

    lock: SystemLock
    proof: Proof | None = None


class _Reading(Generic[_T]):
    """One reading that many pages share. It goes on when the page that asked for it does not wait any more."""

    def __init__(self, read: Callable[[], Coroutine[Any, Any, _T]]) -> None:
        self._read = read
        self._task: asyncio.Task[_T] | None = None
        self._until = 0.0
        """The time until which the reading is shown again."""
        self._old = False

    def outdate(self) -> None:
        """Have the next page read again: a page has shown something newer than this reading."""
        self._old = True

    async def get(self, *, fresh: bool = False, within: float | None = None) -> _T:
        """Return the value, whose reading has ended at most `FRESH` seconds ago.

        Args:
            fresh: True for a value that is read from now on.
            within: Seconds to wait; None waits as long as it takes.

        Raises:
            TimeoutError: If it takes longer.
        """
        task, now = self._task, time.monotonic()
        if task is None or fresh or self._old or (task.done() and now - self._until >= 0):
            task = self._task = asyncio.ensure_future(self._read())
            task.add_done_callback(self._ended)
            self._old, self._until = False, now + FRESH
        done, _ = await asyncio.wait({task}, timeout=within)
        if not done:
            raise TimeoutError
        return task.result()

    def _ended(self, task: "asyncio.Task[_T]") -> None:
        """Show a reading for a while after its end, too: where each takes longer than a page waits, none would be shown."""
        if task is self._task:
            self._until = max(self._until, time.monotonic() + FRESH)
        # without a look at it, the error of a reading for which no page waits any more would be reported as lost
        if not task.cancelled():
            task.exception()


class Watch:
    """The readings of one connection.

    Args:
        airlock: The connection.
    """

    def __init__(self, airlock: Airlock) -> None:
        self._airlock = airlock
        self._reader = InboxReader(airlock.client)
        self._gate = LiveGate(airlock.client)
        self._inbox = _Reading(self._reader.read)
        self._lock = _Reading(self._lock_now)
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End all streams: the process ends, and would wait for them."""
        self._closing.set()

    async def inbox(self, *, fresh: bool = False) -> Inbox:
        """Return the inbox, whose reading has ended at most `FRESH` seconds ago. Raises like `InboxReader.read`."""
        return await self._inbox.get(fresh=fresh)

    async def lock(self, *, fresh: bool = False) -> LockNow:
        """Return the system lock, read like the inbox; a gate that does not answer soon is a problem of its own."""
        try:
            return await self._lock.get(fresh=fresh, within=SOON)
        except TimeoutError:
            silent = "the live gate has not answered yet; while it does not, no plan goes live"
            return LockNow(lock=SystemLock(problem=silent))

    async def proof(self, scope: str | None) -> Proof:
        """Return the proof of one lock as it is now."""
        return await anext(self._gate.barrier(scope, within=0))

    async def mark_of_plan(self, plan_id: str) -> str:
        """Return a mark of all that a plan tells. Read it before the plan is asked: then the page is never newer.

        Raises:
            NoSuchPlan: If there is no such plan.
        """
        run, events = await history_length(self._airlock.client, names.workflow_id_of(plan_id))
        return f"{run}-{events}"

    async def _lock_now(self) -> LockNow:
        lock = await self._reader.system_lock()
        return LockNow(lock=lock, proof=await self.proof(None) if lock.everything else None)

    async def changes(self, plan_id: str | None, seen: Mapping[str, str], alive: Callable[[], bool]) -> AsyncIterator[str]:
        """Yield a word for each change: `inbox`, `lock`, `plan`; and `beat` where nothing changes for a while.

        Args:
            plan_id: The plan that a page shows, if it shows one.
            seen: The mark of what the page shows, by these words: it may have changed since.
            alive: Returns False once the listener may not listen any more.
        """
        last = dict(seen)
        said = time.monotonic()
        while alive() and not self._closing.is_set():
            now = await self._seen(plan_id, with_inbox="inbox" in seen)
            changed = [name for name, value in now.items() if last.get(name) not in (None, value)]
            last = {**last, **now}
            if "plan" in changed:
                self._inbox.outdate()  # a list that still has the plan as it was would contradict its page
            for name in changed:
                yield name
            if changed:
                said = time.monotonic()
            elif time.monotonic() - said >= BEAT:
                said = time.monotonic()
                yield "beat"
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), FRESH)

    async def _seen(self, plan_id: str | None, *, with_inbox: bool) -> dict[str, str]:
        """Return a mark of all that a page shows; what cannot be read now, or not soon, is left out.

        The plan comes first: a list in which one plan answers slowly must not hold up the page of another one.
        """
        seen: dict[str, str] = {}
        if plan_id is not None:
            with contextlib.suppress(AirlockError, RPCError):
                seen["plan"] = await self.mark_of_plan(plan_id)
        with contextlib.suppress(AirlockError, RPCError):
            seen["lock"] = mark_of(await self.lock())
        if with_inbox:
            with contextlib.suppress(AirlockError, RPCError):
                seen["inbox"] = mark_of(await self.inbox())
        return seen


def mark_of(shown: Inbox | LockNow) -> str:
    """Return a mark of what a page shows: the same for the same, whenever it was read."""
    return hashlib.sha256(shown.model_dump_json(exclude={"at"}).encode()).hexdigest()[:24]
