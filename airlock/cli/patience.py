"""Waiting for a worker's answer, with a word once that takes long."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from airlock.cli.output import warn

_PATIENCE = 3.0
"""Seconds of silence before the command says what it waits for."""
_Answer = TypeVar("_Answer")


async def patiently(asked: Coroutine[Any, Any, _Answer]) -> _Answer:
    """Wait for an answer, and say what for once that takes long."""
    asking = asyncio.ensure_future(asked)
    await asyncio.wait({asking}, timeout=_PATIENCE)
    if not asking.done():
        warn("waiting for a worker to answer ...")
    return await asking
