"""Deadlines that pass on the clock of the wall, where no time can be skipped: as short as the machine allows."""

from collections.abc import Awaitable, Callable

from airlock.client import PlanHandle
from airlock.client.errors import PlanEnded
from airlock.plans.state import State
from airlock.run.presentation.views import StatusView

SHORTEST = 4


class TooSlow(Exception):
    """The machine was too busy to get a plan where a test wanted it before the plan's deadline."""


async def in_time(attempt: Callable[[int], Awaitable[None]], longest: int = 128) -> None:
    """Attempt something with a deadline in seconds, and with one twice as long each time the machine was too slow for it."""
    deadline = SHORTEST
    while True:
        try:
            return await attempt(deadline)
        except TooSlow:
            deadline *= 2
            assert deadline <= longest, "the machine is too slow for any deadline"


async def approve_in_time(handle: PlanHandle, status: StatusView) -> None:
    """Approve, unless the deadline was faster."""
    if status.state is not State.AWAITING_APPROVAL or status.outcome is not None:
        raise TooSlow
    try:
        verdict = await handle.decide("approve", by="alice", digest=status.digest)
    except PlanEnded as ended:
        raise TooSlow from ended
    if not verdict.accepted:
        assert "expired" in verdict.reason, verdict
        raise TooSlow
