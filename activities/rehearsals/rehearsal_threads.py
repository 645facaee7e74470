"""Threads for the plain functions of mocks and dry runs. One that hangs takes no thread from a live call."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from temporalio import activity

from airlock.base.errors import ToolFailed

POOL = 32
"""Threads of one pool; a pool with half of them hanging is left to itself."""
MAX_HANGING = 256
"""Functions that may hang in one process, each with its thread and what it holds; beyond it none is called any more."""


class RehearsalThreads:
    """Pools of threads for functions that may never return."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(POOL, "airlock-rehearsal")
        self._running: set[object] = set()
        self._hanging: set[object] = set()
        self._in_pool = 0

    @property
    def hanging(self) -> int:
        """The number of functions that did not return within their time and still run."""
        return len(self._hanging)

    def start(self, key: object, function: Callable[[], Any]) -> "asyncio.Future[Any]":
        """Call a function in a thread; the key stands for this call.

        Raises:
            ToolFailed: If too many functions hang already.
        """
        if self.hanging >= MAX_HANGING:
            raise ToolFailed(f"{self.hanging} mocks and dry runs hang in this worker, so it calls no more: restart it")
        context = contextvars.copy_context()
        return asyncio.get_running_loop().run_in_executor(self._pool, lambda: context.run(self._call, key, function))

    def _call(self, key: object, function: Callable[[], Any]) -> Any:
        with self._lock:
            self._running.add(key)
        try:
            return function()
        finally:
            with self._lock:
                self._running.discard(key)
                self._hanging.discard(key)

    def left_hanging(self, key: object) -> None:
        """Count a call that did not return in time, until it does."""
        with self._lock:
            if key not in self._running:
                return
            self._hanging.add(key)
            self._in_pool += 1
            if self._in_pool >= POOL // 2:
                self._in_pool = 0
                self._pool.shutdown(wait=False)
                self._pool = ThreadPoolExecutor(POOL, "airlock-rehearsal")
        activity.logger.warning("a mock or dry run did not return in time; %s hang in this worker", self.hanging)


REHEARSALS = RehearsalThreads()
"""Those of this process."""
