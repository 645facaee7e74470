"""The word to a plan that its first calls take a while: short stays in LIVE leave its search attributes as they were."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from temporalio import activity
from temporalio.service import RPCError

from airlock.base import names

TOLD_AFTER: Final = 2.0
"""Seconds after which the plan is told."""


@asynccontextmanager
async def told_if_it_lasts() -> AsyncIterator[None]:
    """Tell the run of this activity if the body takes longer than `TOLD_AFTER` seconds. That changes no call."""
    telling = asyncio.ensure_future(_tell())
    try:
        yield
    finally:
        telling.cancel()


async def _tell() -> None:
    await asyncio.sleep(TOLD_AFTER)
    info = activity.info()
    try:
        run = activity.client().get_workflow_handle(info.workflow_id or "", run_id=info.workflow_run_id)
        await run.signal(names.LASTS)
    except (RPCError, RuntimeError) as error:  # closed or out of reach; without a server, as in tests of tools
        activity.logger.info("the plan was not told that its calls last: %s", error)
