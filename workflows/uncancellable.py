"""Protection of a workflow's main coroutine from cancellation."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


async def uncancellable(main: Coroutine[Any, Any, None], cancelled: Callable[[], None]) -> None:
    """Run a workflow's main coroutine to its end, however often the workflow is cancelled.

    Args:
        main: The coroutine.
        cancelled: Called for each cancellation before the end.

    Raises:
        BaseException: The exception that ended the coroutine; a continue-as-new is one.
    """
    task = asyncio.create_task(main)
    while not task.done():
        try:
            await asyncio.shield(task)  # without the shield a cancellation would stop activities in flight
        except asyncio.CancelledError:
            if not task.done():
                cancelled()
    task.result()
