"""Activities that heartbeat by themselves and cannot be cut short in the middle of a call."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from temporalio import activity

from airlock.activities.options import BEAT

T = TypeVar("T")


async def to_its_end(work: Coroutine[Any, Any, T], progress: Callable[[], Any], stop: Callable[[], None]) -> T:
    """Run something to its end while heartbeating.

    A cancellation, a worker that shuts down and a paused activity only call `stop`: the outcome of a call in flight must
    be learned, not guessed. The work itself decides whether it can end early.

    Args:
        work: What to run.
        progress: Gives what a next attempt needs, sent with every heartbeat; None for nothing.
        stop: Called once when the work is to end.
    """
    task = asyncio.ensure_future(work)
    beats = asyncio.ensure_future(_beat(progress))
    try:
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                if not task.done():
                    stop()
        return task.result()
    finally:
        beats.cancel()


async def _beat(progress: Callable[[], Any]) -> None:
    while True:
        await asyncio.sleep(BEAT)
        beat(progress())


def beat(details: Any) -> None:
    """Send one heartbeat."""
    if details is None:
        activity.heartbeat()
    else:
        activity.heartbeat(details)
