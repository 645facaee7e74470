"""A workflow that a cancellation does not end: its life goes on to its own end, and is told."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


async def uncancellable(life: Coroutine[Any, Any, None], cancelled: Callable[[], None]) -> None:
    """Live a life to its end, whatever cancels the workflow meanwhile.

    Args:
        life: What the workflow does.
        cancelled: Called for each cancellation that comes before the end.

    Raises:
        BaseException: Whatever ended the life, a continue-as-new among it.
    """
    task = asyncio.create_task(life)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                cancelled()
    task.result()
