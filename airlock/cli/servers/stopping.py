"""Work that a signal stops cleanly: its own `finally` and `async with` blocks do the stopping."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from airlock.cli.output import INTERRUPTED, OK, emit_line, say, warn

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


TOO_EARLY = "stopped before everything was up; what had been started has ended"


async def until_stopped(run: Callable[[Callable[[], None]], Coroutine[Any, Any, None]], *, as_json: bool) -> int:
    """Keep something up until a signal stops it, and return the exit code: 130 if it was not up yet.

    Args:
        run: Starts it, calls its argument once everything is up, and goes on until it is cancelled.
        as_json: True to print nothing but one line of JSON, if it was not up yet.
    """
    up = False

    def is_up() -> None:
        nonlocal up
        up = True

    def stopping() -> None:
        if not as_json:
            say("stopping ...")

    if await stoppable(run(is_up), stopping) or up:
        if not as_json:
            say("everything has stopped")
        return OK
    emit_line({"error": TOO_EARLY, "problems": []}) if as_json else warn(TOO_EARLY)
    return INTERRUPTED


async def stoppable(work: Coroutine[Any, Any, None], stopping: Callable[[], None] = lambda: None) -> bool:
    """Do the work until it ends, or cancel it on SIGINT, SIGTERM or SIGHUP and wait until it has cleaned up.

    Args:
        work: The work.
        stopping: Called when the first of these signals arrives.

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
            stopping()
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
