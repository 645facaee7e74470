"""One tool that does next to nothing, so that a benchmark measures Airlock and Temporal alone."""

import asyncio
import time
from typing import Any

from pydantic import BaseModel

from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall

WORKS_FOR = 0.001
"""Seconds that one call takes."""
BEGUN: list[float] = []
"""Times at which the calls of this process began, by `time.perf_counter`; a benchmark that reads them empties it before."""


async def work(number: int) -> dict[str, int]:
    """Return the number a millisecond later."""
    BEGUN.append(time.perf_counter())
    await asyncio.sleep(WORKS_FOR)
    return {"number": number}


class Nothing(BaseModel):
    """Takes a number and ignores it."""

    number: int = 0


@tool(name="nothing", risk="MEDIUM", reversibility="reversible")
async def nothing(args: Nothing, call: ToolCall) -> dict[str, Any]:
    """Do nothing, reversibly."""
    return await work(args.number)


@nothing.dry_run
async def _look(args: Nothing, call: ToolCall) -> Preview:
    return Preview(effect="nothing", output={"number": args.number}, undo="nothing")


@nothing.compensate
async def _undo(args: Nothing, call: ToolCall) -> None:
    return None


@tool(name="look", risk="LOW", reversibility="read_only")
async def look(args: Nothing, call: ToolCall) -> dict[str, Any]:
    """Read a number."""
    return await work(args.number)
