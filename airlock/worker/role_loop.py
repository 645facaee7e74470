"""Workers of one role in a thread with an event loop of its own, so that a tool that blocks it blocks no other role."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TypeVar

from temporalio.worker import Worker

from airlock.activities.opened import Opened

T = TypeVar("T")


class RoleLoop:
    """One thread with some workers. Create, start and stop it in the event loop of the process.

    Args:
        name: The role, for the names of its threads.
        build: Opens what the calls share and makes the workers; used in the thread.
        threads: The number of threads for plain functions of tools.
    """

    def __init__(
        self, name: str, build: Callable[[], AbstractAsyncContextManager[tuple[Sequence[Worker], Opened]]], threads: int
    ) -> None:
        self.name = name
        self.ended = asyncio.Event()
        """Set when the thread has ended, or has failed."""
        self.error: BaseException | None = None
        self._build = build
        self._threads = threads
        self._home = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._started = False
        self._told = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    async def start(self) -> None:
        """Return when the workers poll, or were told to stop before.

        Raises:
            BaseException: What kept them from it.
        """
        self._started = True
        # a daemon: a tool that never returns must not keep the process from ending
        threading.Thread(target=self._run, name=f"airlock-{self.name}", daemon=True).start()
        await self._ready.wait()
        if self.error is not None:
            raise self.error

    async def stop(self, within: float) -> bool:
        """Tell the workers to stop. Return False if they have not stopped after so many seconds."""
        if not self._started:
            return True
        self._told = True  # before the look at the loop, which the thread may not have made yet
        if self._loop is not None and self._stop is not None and not self.ended.is_set():
            self._loop.call_soon_threadsafe(self._stop.set)
        try:
            await asyncio.wait_for(self.ended.wait(), within)
        except TimeoutError:
            return False
        return True

    def _run(self) -> None:
        try:
            asyncio.run(self._work())
        except BaseException as error:  # noqa: BLE001  # raised again in the process's own loop
            self.error = error
        self._home.call_soon_threadsafe(self._over)

    def _over(self) -> None:
        self.ended.set()
        self._ready.set()

    async def _work(self) -> None:
        self._stop, self._loop = asyncio.Event(), asyncio.get_running_loop()
        if self._told:
            return
        # with too few threads, one slow tool would hold up the others
        self._loop.set_default_executor(ThreadPoolExecutor(self._threads, thread_name_prefix=f"airlock-{self.name}"))
        try:
            await self._serve(self._stop)
        finally:
            # a new executor: a closing loop waits for its threads, and one whose call timed out cannot be stopped
            self._loop.set_default_executor(ThreadPoolExecutor(max_workers=1))

    async def _serve(self, stop: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            made = await _unless(stop, stack.enter_async_context(self._build()))
            if made is None:
                return
            workers, opened = made
            for worker in workers:
                await stack.enter_async_context(worker)
            self._home.call_soon_threadsafe(self._ready.set)
            await _unless(stop, opened.lost.wait())
            # concurrently: in sequence, the workers at the end would go on taking new work
            await asyncio.gather(*(worker.shutdown() for worker in workers))
        if opened.loss is not None:
            raise opened.loss


async def _unless(stop: asyncio.Event, coming: Awaitable[T]) -> T | None:
    """Return what is awaited; None, after cancelling it, if the event is set before."""
    stopped, awaited = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(coming)
    await asyncio.wait({stopped, awaited}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not awaited.done():
        awaited.cancel()
        await asyncio.wait({awaited})
    return None if awaited.cancelled() else awaited.result()
