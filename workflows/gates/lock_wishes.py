"""Questions of the live gate to monitors: a bounded number at a time, however many signals ask for one."""

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from airlock.base.incoming import MalformedMessage
    from airlock.gates.protocol import LockWish
    from airlock.monitoring.messages import AutoLock
    from airlock.workflows.gates import gate_rounds

AT_ONCE = 100
"""Questions at the same time. Temporal fails every task of a run that wants more than 2,000 activities at once: the gate
would never answer again. Below this number a question is asked in the task of its signal, as the recorded histories do."""
MAX_WAITING = 1_000
"""Monitors whose question waits; there are far fewer."""


class LockWishes:
    """The questions of one run of the live gate."""

    def __init__(self) -> None:
        self._asked = 0
        self._free = asyncio.Semaphore(AT_ONCE)
        self._waiting: set[str] = set()

    async def of(self, asked: AutoLock) -> LockWish | None:
        """Return the lock that a monitor wants.

        Raises:
            MalformedMessage: If the monitor is about to be asked anyway, and its answer will be the newest then.
            ActivityError: If it cannot be asked.
            NoAnswer: If no worker of Airlock answered.
        """
        if asked.monitor in self._waiting:
            raise MalformedMessage(f"auto_lock: {asked.monitor} is about to be asked already")
        if len(self._waiting) >= MAX_WAITING:
            raise MalformedMessage("auto_lock: too many monitors are about to be asked")
        self._waiting.add(asked.monitor)
        try:
            await self._free.acquire()
        finally:
            self._waiting.discard(asked.monitor)
        try:
            self._asked += 1
            return await gate_rounds.lock_wish(asked, self._asked)
        finally:
            self._free.release()
