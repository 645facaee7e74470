"""Work that a signal stops cleanly: its own `finally` and `async with` blocks do the stopping."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def stoppable(work: Coroutine[Any, Any, None]) -> bool:
    """Do the work until it ends, or cancel it on SIGINT, SIGTERM or SIGHUP and wait until it has cleaned up.

    Returns:
        True if it ended by itself.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    stopped = False

    def stop() -> None:
        nonlocal stopped
        if not stopped:  # a second Ctrl-C must not break off the cleaning up, which takes seconds at most
            stopped = True
            task.cancel()

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not stopped:
            raise
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
    return not stopped
