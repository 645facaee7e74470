"""Into LIVE and ROLLBACK through the gates, and out again: the run asks, waits for its turn, and gives back."""

from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from airlock.gates.answers import AcquireClosed, AcquireResult
    from airlock.gates.protocol import AcquireRequest, LeaveRequest
    from airlock.monitoring.outbox import LeaveWithReports, Outbox, monitor_of
    from airlock.plans.state import State
    from airlock.run.call_results import after_calls
    from airlock.run.gate_requests import (
        entry_request,
        leave_request,
        must_start_over,
        rollback_request,
        start_over,
        take_acquired,
        take_late,
        take_left,
        take_wait,
    )
    from airlock.run.state import Run
    from airlock.workflows import commands

LOOK_AGAIN = timedelta(minutes=5)
"""A run that waits asks its gate again after this long, in case the gate and its queue are gone."""

BUSY_PAUSE = timedelta(seconds=15)
"""A run that got no place in a queue either asks again after this long."""


class GateVisits:
    """What stands between a run and its calls.

    Args:
        run: The plan's run.
        outbox: Its reports, which are sent when it gives something back.
        publish: Called when what people see has changed.
        full: Says whether the history is so long that the run must continue as new.
    """

    def __init__(self, run: Run, outbox: Outbox, publish: Callable[[], None], full: Callable[[], bool]) -> None:
        self._run = run
        self._outbox = outbox
        self._publish = publish
        self._full = full
        self._asked = 0
        self._news = False
        self._reopened = False

    def reopened(self) -> None:
        """Take the news that a lock of the live gate was lifted; an answer that was on its way may not know of it."""
        self._reopened = True

    def granted(self, gate: str) -> None:
        """Take the news that a gate has a place; whether that is true the gate itself is asked."""
        waits = self._run.gate_wait
        if waits is None or waits.gate == gate:
            self._news = True

    async def enter(self) -> bool:
        """Wait until the run holds what its state needs; False when it is somewhere else or must continue as new."""
        run, moves = self._run, self._run.moves
        if must_start_over(run, workflow.info().workflow_id):
            await self.start_over()
        if not run.gates and run.gate_wait is None:
            run.stays += 1
        while run.moves == moves and not self._full():
            request = self._request()
            if request is None:
                return True
            if self._deadline_passed():
                after_calls(run, [], workflow.now(), deadline_passed=True)
                return False
            self._news = self._reopened = False
            result = await self.acquire(request)
            if run.moves != moves:  # somebody spoke meanwhile: the answer is to an old question
                take_late(run, result)
                take_wait(run, result)
                return False
            if isinstance(result, AcquireClosed) and self._reopened:
                take_late(run, result)
                continue
            if take_acquired(run, result, workflow.now()):
                return True
            self._publish()
            if run.gate_wait is not None:
                await self._turn(moves)
        return False

    async def acquire(self, request: AcquireRequest) -> AcquireResult:
        """Ask the gates once."""
        self._asked += 1
        asked = request.model_copy(update={"execution": workflow.info().first_execution_run_id})
        return await commands.acquire(asked, self._asked)

    async def leave(self) -> None:
        """Give back what the run must not hold in the state it is in, and send the reports that are due."""
        await self._give_back(leave_request(self._run, workflow.info().workflow_id))

    async def start_over(self) -> None:
        """Give back everything, whatever the state."""
        await self._give_back(start_over(self._run, workflow.info().workflow_id))

    async def _give_back(self, request: LeaveRequest | None) -> None:
        run, reports = self._run, self._outbox.due(self._run, giving_back=request is not None)
        if request is None and not reports:
            return
        given = request or LeaveRequest(plan_id=run.plan.plan_id, holder=workflow.info().workflow_id, request=str(run.stays))
        self._asked += 1
        await commands.leave(LeaveWithReports(**dict(given), monitor=monitor_of(run), reports=reports), self._asked)
        take_left(run, given)
        self._outbox.sent(reports)

    def _request(self) -> AcquireRequest | None:
        holder = workflow.info().workflow_id
        if self._run.state is State.ROLLBACK:
            return rollback_request(self._run, holder)
        return entry_request(self._run, holder)

    async def _turn(self, moves: int) -> None:
        run = self._run
        limit = LOOK_AGAIN if run.gate_wait and run.gate_wait.position else BUSY_PAUSE
        if run.state is State.LIVE and run.deadline_at is not None:
            limit = max(timedelta(seconds=1), min(limit, run.deadline_at - workflow.now()))
        waits = run.gate_wait.name if run.gate_wait else ""
        try:
            await workflow.wait_condition(
                lambda: self._news or run.moves != moves or self._full(),
                timeout=limit,
                timeout_summary=f"before {waits} is asked for again",
            )
        except TimeoutError:
            return

    def _deadline_passed(self) -> bool:
        deadline = self._run.deadline_at
        return self._run.state is State.LIVE and deadline is not None and workflow.now() >= deadline
