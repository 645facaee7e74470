"""Heartbeats of activities, and their protection from cancellation in the middle of a call."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

from temporalio import activity
from temporalio.client import AsyncActivityHandle
from temporalio.converter import ActivitySerializationContext

from airlock.activities.options import HEARTBEAT_INTERVAL
from airlock.activities.still_mine import begin_beating, note_heartbeat

T = TypeVar("T")

_sent: ContextVar[list[bool] | None] = ContextVar("airlock_heartbeat_sent", default=None)
"""One element: True once the SDK was given a heartbeat of the activity in this context."""


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
    _sent.set([False])
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
        _send(progress())


def _send(details: Any) -> None:
    if (sent := _sent.get()) is not None:
        sent[0] = True
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
    if (sent := _sent.get()) is None or sent[0]:
        # the SDK holds heartbeats back for seconds: an older one must not overwrite this one
        _send(details)
    await own_handle().heartbeat(details)
    note_heartbeat()


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
