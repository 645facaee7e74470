"""Gates: take a plan's places in one order, and give them back."""

from temporalio import activity

from activities.toolbox import Toolbox
from airlock.gating import AcquireRequest, AcquireResult, LeaveRequest, LeaveResult


class GateActivities:
    """Runs on the operator's worker, next to the workflows."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox

    @activity.defn(name="acquire")
    async def acquire(self, request: AcquireRequest) -> AcquireResult:
        """Not written yet."""
        raise NotImplementedError

    @activity.defn(name="leave")
    async def leave(self, request: LeaveRequest) -> LeaveResult:
        """Not written yet."""
        raise NotImplementedError
