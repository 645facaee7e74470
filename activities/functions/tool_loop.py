"""Coroutines of tools in the event loop of another thread, where what they share is open."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def in_loop(loop: asyncio.AbstractEventLoop | None, work: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine in an event loop; its context variables are those of the caller.

    A caller that is cancelled cancels the coroutine, and does not wait until it has ended.

    Args:
        loop: The event loop, which must run; None for that of the caller.
        work: The coroutine.
    """
    if loop is None or loop is asyncio.get_running_loop():
        return await work
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))
