"""Heartbeats of activities, and their protection from cancellation in the middle of a call."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

from temporalio import activity
from temporalio.client import AsyncActivityHandle
from temporalio.converter import ActivitySerializationContext

from airlock.activities.calls.still_mine import begin_beating, note_heartbeat
from airlock.activities.options import HEARTBEAT_INTERVAL

T = TypeVar("T")

SILENCES = 3
"""Intervals after which the SDK is given a heartbeat even if records went out since: it counts only its own."""


class Beats:
    """The heartbeats of one activity: those that the SDK was given, and the records that were stored directly.

    Args:
        now: The time of the activity's start, in seconds of any clock.
    """

    def __init__(self, now: float) -> None:
        self.given = False
        """True once the SDK was given a heartbeat."""
        self._last = self._last_given = now

    def give(self, now: float) -> None:
        """Note that the SDK was given a heartbeat."""
        self.given, self._last, self._last_given = True, now, now

    def store(self, now: float) -> None:
        """Note that Temporal stored a record."""
        self._last = now

    def due(self, interval: float) -> float:
        """Return the time at which the clock sends the next heartbeat: a record that is newer makes it needless."""
        return min(self._last + interval, self._last_given + SILENCES * interval)


_beats: ContextVar[Beats | None] = ContextVar("airlock_beats", default=None)
"""The heartbeats of the activity in this context."""


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
    beats = Beats(_now())
    _beats.set(beats)
    task = asyncio.ensure_future(work)
    heartbeats = asyncio.ensure_future(_send_heartbeats(progress, beats))
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


async def _send_heartbeats(progress: Callable[[], Any], beats: Beats) -> None:
    while True:
        if (left := beats.due(HEARTBEAT_INTERVAL) - _now()) > 0:
            await asyncio.sleep(left)
        else:
            _send(progress(), beats)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _send(details: Any, beats: Beats | None) -> None:
    if beats is not None:
        beats.give(_now())
    note_heartbeat()
    if details is None:
        activity.heartbeat()
    else:
        activity.heartbeat(details)


async def record_heartbeat(details: Any) -> None:
    """Send one heartbeat, and wait until Temporal has stored it.

    Raises:
        Exception: If Temporal did not store it: the activity is cancelled, paused, timed out, or Temporal is away.
    """
    beats = _beats.get()
    if beats is None or beats.given:
        # the SDK holds heartbeats back for seconds: an older one must not overwrite this one
        _send(details, beats)
    await own_handle().heartbeat(details)
    note_heartbeat()
    if beats is not None:
        beats.store(_now())


def own_handle() -> AsyncActivityHandle:
    """Return the handle of the activity that runs in this context, whose payloads are those of the activity.

    Raises:
        RuntimeError: Without a client, as in tests of tools.
    """
    info = activity.info()
    return activity.client().get_async_activity_handle(task_token=info.task_token).with_context(
        ActivitySerializationContext(
            namespace=info.namespace, workflow_id=info.workflow_id, workflow_type=info.workflow_type,
            activity_id=info.activity_id, activity_type=info.activity_type, activity_task_queue=info.task_queue,
            is_local=info.is_local,
        )
    )  # fmt: skip
