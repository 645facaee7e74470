"""Lock and unlock of the live gate by signal, for the chaos run and the benchmarks. Only the gate's proof counts."""

import asyncio
import time
from datetime import timedelta
from typing import Any

from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from airlock.base import names

_LOOK = 0.1


async def lock(client: Client, reason: str) -> float:
    """Close the live gate, and wait until it has proof that everything that was live has stopped.

    Returns:
        The moment from which that was certain, in seconds since the epoch.
    """
    gate = client.get_workflow_handle(names.LIVE_GATE)
    sent = False
    while True:
        try:
            if not sent:
                await gate.signal("lock", {"by": "robot", "reason": reason})
                sent = True
            view = await gate.query("status", rpc_timeout=timedelta(seconds=5))
        except (RPCError, WorkflowQueryFailedError):
            view = {}  # no worker or no server at this moment
        if quiesced(view):
            return time.time()
        await asyncio.sleep(_LOOK)


async def unlock(client: Client, reason: str) -> None:
    """Open the live gate again."""
    await client.get_workflow_handle(names.LIVE_GATE).signal("unlock", {"by": "robot", "reason": reason})


def quiesced(view: Any) -> bool:
    """Return True if the gate is locked, and every plan that it stopped has given its slot back."""
    return bool(view.get("locks")) and all(told.get("quiesced_at") for told in view.get("told", ()))
