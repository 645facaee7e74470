"""Patience with workers that are busy: a late answer is no silence while a worker goes on asking for work."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from airlock.client.pollers import WORKFLOWS, is_served, last_poll

_LATE = (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)
"""Ends of a question whose time is over. Temporal answers otherwise when it knows of no worker."""
_MOMENT = 3.0
"""Seconds of silence before Temporal is asked whether there is a worker at all."""
_Answer = TypeVar("_Answer")


async def answered(client: Client, ask: Callable[[], Awaitable[_Answer]], *, patient: bool) -> _Answer:
    """Ask once; with patience ask again after each timeout, for as long as a worker polls for workflows.

    Only for questions, which may be asked twice. With patience the first silence ends at once if no worker polls. A worker
    that was killed looks alive for as long as a poll lasts.

    Args:
        client: A connected client.
        ask: A function that asks once, within a time of its own.
        patient: True to ask again.

    Raises:
        RPCError: The timeout, without patience or if no worker polls any more; any other refusal at once.
    """
    while True:
        try:
            return await (_while_served(client, ask) if patient else ask())
        except RPCError as error:
            if not patient or error.status not in _LATE or await last_poll(client) is None:
                raise


async def _while_served(client: Client, ask: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """Ask, and give up after a moment if no worker polls: Temporal itself would go on waiting for one."""
    asking = asyncio.ensure_future(ask())
    try:
        done, _ = await asyncio.wait({asking}, timeout=_MOMENT)
        if not done and not await is_served(client, *WORKFLOWS):
            raise RPCError("no worker polls for workflows", RPCStatusCode.DEADLINE_EXCEEDED, b"")
        return await asking
    finally:
        asking.cancel()
