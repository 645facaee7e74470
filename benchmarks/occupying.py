"""A tool that is at a place for a while and writes down from when to when. Times are seconds of one clock."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall


@dataclass
class Stay:
    """One live call; `ended` is None while it runs."""

    began: float
    ended: float | None = None


@dataclass
class Diary:
    """Every live call so far, in the order in which they began. While `held`, none of them comes to its end."""

    stays: list[Stay] = field(default_factory=list)
    held: bool = False

    @property
    def running(self) -> int:
        return sum(stay.ended is None for stay in self.stays)

    @property
    def last_end(self) -> float:
        return max(stay.ended for stay in self.stays if stay.ended is not None)


DIARY = Diary()


class Occupy(BaseModel):
    """Be at a place for so many seconds."""

    place: str
    seconds: float


@tool(name="occupy", risk="MEDIUM", reversibility="reversible", timeout=60, resources=["place:{place}"])
async def occupy(args: Occupy, call: ToolCall) -> dict[str, Any]:
    """Be there."""
    stay = Stay(time.time())
    DIARY.stays.append(stay)
    while DIARY.held:  # noqa: ASYNC110  a few dozen at most, and simpler than an event of each loop
        await asyncio.sleep(0.05)
    await asyncio.sleep(args.seconds)
    stay.ended = time.time()
    return {"place": args.place}


@occupy.dry_run
async def _look(args: Occupy, call: ToolCall) -> Preview:
    return Preview(effect=f"be at {args.place}", output={"place": args.place}, undo="nothing")


@occupy.compensate
async def _undo(args: Occupy, call: ToolCall) -> None:
    return None


def plan(plan_id: str, place: str, seconds: float) -> dict[str, Any]:
    """Return a plan of one call."""
    step = {
        "id": "occupy", "agent": "a", "tool": "occupy", "args": {"place": place, "seconds": seconds}, "confidence": 0.95,
    }  # fmt: skip
    return {"plan_id": plan_id, "requested_by": "bench", "steps": [step]}
