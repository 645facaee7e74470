"""Heartbeats of activities, and their protection from cancellation in the middle of a call."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from temporalio import activity

from airlock.activities.options import HEARTBEAT_INTERVAL
from airlock.activities.still_mine import begin_beating, note_heartbeat

T = TypeVar("T")


async def run_to_completion(work: Coroutine[Any, Any, T], progress: Callable[[], Any], stop: Callable[[], None]) -> T:
    """Run work to its end while heartbeating.

    A cancellation, a shutdown of the worker and a pause of the activity only call `stop`: the outcome of a call in flight
    must be known. The work itself decides whether it can end early.

    Args:
        work: The work.
        progress: Returns the details of the next heartbeat, which the next attempt gets; None for no details.
        stop: Called once when the work is to end.
    """
    begin_beating()
    task = asyncio.ensure_future(work)
    heartbeats = asyncio.ensure_future(_send_heartbeats(progress))
    try:
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                # swallowed on purpose: to raise here would abandon a call that may already have taken effect
                if not task.done():
                    stop()
        return task.result()
    finally:
        heartbeats.cancel()


async def _send_heartbeats(progress: Callable[[], Any]) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_INTERVAL)
        send_heartbeat(progress())


def send_heartbeat(details: Any) -> None:
    """Send one heartbeat."""
    note_heartbeat()
    if details is None:
        activity.heartbeat()
    else:
        activity.heartbeat(details)
