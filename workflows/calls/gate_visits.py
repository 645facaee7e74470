"""Entry of a run into LIVE and ROLLBACK through the gates, and the release of its slots afterwards."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TypeVar

from temporalio import workflow
from temporalio.workflow import ActivityHandle

with workflow.unsafe.imports_passed_through():
    from airlock.gates.answers import AcquireClosed, AcquireDenied, AcquireResult
    from airlock.gates.protocol import AcquireRequest, LeaveRequest
    from airlock.monitoring.outbox import LeaveWithReports, Outbox, monitor_of
    from airlock.plans.state import Event, State
    from airlock.run.decisions.approval_age import too_old
    from airlock.run.decisions.evidence import EntryRequest
    from airlock.run.handed_back import asked_since, pause
    from airlock.run.live.call_results import after_calls
    from airlock.run.live.gate_reactions import take_acquired, take_late, take_wait
    from airlock.run.live.gate_requests import (
        entry_request,
        last_begin,
        leave_request,
        must_start_over,
        rollback_request,
        start_over,
        take_left,
    )
    from airlock.run.live.opening import Opening
    from airlock.run.live.own_release import may_release_itself
    from airlock.run.state import Run
    from airlock.workflows import commands
    from airlock.workflows.answers import answered_at_last, answered_unless_dropped
    from airlock.workflows.calls.own_release import told_by_signals
    from airlock.workflows.patches import ANNOUNCED_EARLY, from_here_on

LOOK_AGAIN = timedelta(minutes=5)
"""Time after which a queued run asks its gate again, in case the gate was terminated with its queue."""

BUSY_PAUSE = timedelta(seconds=15)
"""Time after which a run asks again that a full queue turned away."""


Asked = TypeVar("Asked", bound=AcquireRequest)


class GateVisits:
    """The gates and claims between a run and its calls.

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
        self._requests = 0
        self._slot_announced = self._announced_early = self._heeds_early = False
        self._reopened = False

    def reopened(self) -> None:
        """Note that a lock of the live gate was lifted; an answer under way may still report the lock."""
        self._reopened = True

    def granted(self, gate: str) -> None:
        """Note that a gate announced a slot. The run asks that gate again, because any client can send this signal.

        The slot may be that of the next gate, in whose queue the run stands by an answer that is still on its way.
        """
        waits = self._run.gate_wait
        if waits is None or waits.gate == gate:
            self._slot_announced = True
        else:
            self._announced_early = True

    def begin_stay(self, asked: EntryRequest) -> EntryRequest:
        """Begin a stay in LIVE; return its request to the gates, which the first calls of the run take along.

        Args:
            asked: The request as `entry_request` made it before the stay.
        """
        self._run.stays += 1
        self._forget_announcements()
        return self._asked(asked.model_copy(update={"request": str(self._run.stays)}))

    async def enter(self, opening: Opening | None = None) -> bool:
        """Wait until the run holds every slot and claim that its state needs.

        Args:
            opening: The attempt to enter together with the first calls, which made none of them.

        Returns:
            False if the run has left the state, or must continue as new first.
        """
        run, moves = self._run, opening.moves if opening else self._run.moves
        if must_start_over(run, workflow.info().workflow_id):
            await self.start_over()
        if not run.gates and run.gate_wait is None and opening is None:
            run.stays += 1
        answer = opening.answer if opening else None
        while answer is not None or (run.moves == moves and not self._full() and not self.too_late()):
            result, answer = answer, None
            if result is None:
                request = self._request()
                if request is None:
                    return True
                self._forget_announcements()
                # signals arrive during this await: they may stop the plan, or lift a lock that the answer still reports
                result = await self._entered(request, moves)
            if result is not None and (entered := await self._taken(result, moves)) is not None:
                return entered
        return False

    def _forget_announcements(self) -> None:
        self._slot_announced = self._announced_early = self._reopened = False

    async def _taken(self, result: AcquireResult, moves: int) -> bool | None:
        """Take an answer of the gates. Return what `enter` returns; None if the run asks again."""
        run = self._run
        if run.moves != moves:  # the plan moved on: record the slots so that they are released, and enter nothing
            take_late(run, result)
            take_wait(run, result)
            return False
        if isinstance(result, AcquireClosed) and self._reopened:
            take_late(run, result)
            return None
        if take_acquired(run, result, workflow.now()):
            # the gates, or a queue without a worker, may have let the run wait for too long
            return run.contracts().epoch < 1 or not self.too_late()
        self._publish()
        await self._wait(result, moves)
        return None

    async def _wait(self, result: AcquireResult, moves: int) -> None:
        if self._run.gate_wait is not None:
            await self._wait_for_slot(moves)
        elif isinstance(result, AcquireDenied) and self._run.moves == moves:
            await self._pause_after_refusal(moves)

    async def granted_to(self, request: EntryRequest, moves: int, *, enter: bool) -> AcquireResult:
        """Return what the gates granted to a request whose answer was lost; they return the same slots for the same request.

        Args:
            request: The request.
            moves: The changes of the run's state when it was made.
            enter: True to enter again for a call that is to be repeated; a live worker must answer then. Otherwise an
                orchestrating worker asks, because the live worker that asked may have been the only one.
        """
        if enter and (entered := await self._entered(request, moves)) is not None:
            return entered
        return await self.acquire(_outright(request))

    async def acquire(self, request: AcquireRequest) -> AcquireResult:
        """Ask the gates once for all slots and claims of a request."""
        self._requests += 1
        return await answered_at_last(self._run, self._question(request))

    def _question(self, request: AcquireRequest) -> Callable[[], ActivityHandle[AcquireResult]]:
        known = isinstance(request, EntryRequest) and self._run.contracts().epoch >= 1
        return partial(commands.acquire, self._asked(request), self._requests, last_begin(self._run) if known else None)

    def _asked(self, request: Asked) -> Asked:
        return request.model_copy(update={"execution": workflow.info().first_execution_run_id})

    async def _entered(self, request: AcquireRequest, moves: int) -> AcquireResult | None:
        """Ask the gates; return None if the question was dropped: no worker had begun when the run could wait no longer."""
        # before there were epochs a worker of the workflows answered, and no question was dropped
        if not isinstance(request, EntryRequest) or self._run.contracts().epoch < 1:
            return await self.acquire(request)
        self._requests += 1
        ask, given = self._question(request), self._question(_outright(request))
        return await answered_unless_dropped(self._run, ask, partial(self._has_moved, moves), given=given)

    def _has_moved(self, moves: int) -> bool:
        return self._run.moves != moves

    async def _pause_after_refusal(self, moves: int) -> None:
        """Wait before the live role is asked again: another worker may answer then, or this one with other keys."""
        run = self._run
        limit = pause(run, workflow.now()) if asked_since(run) else timedelta(seconds=2**run.entry_refusals)
        with suppress(asyncio.TimeoutError):
            await workflow.wait_condition(
                partial(self._has_moved, moves), timeout=limit, timeout_summary="before the live worker is asked again"
            )

    async def leave(self) -> None:
        """Release the slots that the run's state does not need, and send the reports that are due."""
        await self._release(leave_request(self._run, workflow.info().workflow_id))

    async def start_over(self) -> None:
        """Release every slot and claim, whatever the state."""
        await self._release(start_over(self._run, workflow.info().workflow_id))

    async def _release(self, request: LeaveRequest | None) -> None:
        run, reports = self._run, self._outbox.due(self._run, giving_back=request is not None)
        if request is None and not reports:
            return
        info = workflow.info()
        given = request or LeaveRequest(plan_id=run.plan.plan_id, holder=info.workflow_id, request=str(run.stays))
        given = given.model_copy(update={"execution": info.first_execution_run_id, "said_at": workflow.now()})
        asked = LeaveWithReports(**dict(given), monitor=monitor_of(run), reports=reports)
        if not (may_release_itself(run, asked) and await told_by_signals(asked)):
            self._requests += 1
            # retried until it succeeds: a slot that is never released would stop other plans for good
            await answered_at_last(run, partial(commands.leave, asked, self._requests))
        take_left(run, given)
        self._outbox.sent(reports)

    def _request(self) -> AcquireRequest | None:
        holder = workflow.info().workflow_id
        if self._run.state is State.ROLLBACK:
            return rollback_request(self._run, holder)
        return entry_request(self._run, holder)

    async def _wait_for_slot(self, moves: int) -> None:
        run = self._run
        if self._announced_early and not self._slot_announced:
            self._heeds_early = self._heeds_early or from_here_on(ANNOUNCED_EARLY)
            if self._heeds_early:
                return
        limit = LOOK_AGAIN if run.gate_wait and run.gate_wait.position else BUSY_PAUSE
        if run.state is State.LIVE and run.deadline_at is not None:
            limit = max(timedelta(seconds=1), min(limit, run.deadline_at - workflow.now()))
        if run.approved_until is not None and (run.state is State.LIVE or run.undoing is not None):
            limit = max(timedelta(seconds=1), min(limit, run.approved_until - workflow.now()))
        waits = run.gate_wait.name if run.gate_wait else ""
        try:
            await workflow.wait_condition(
                lambda: self._slot_announced or run.moves != moves or self._full(),
                timeout=limit,
                timeout_summary=f"before {waits} is asked for again",
            )
        except TimeoutError:
            return

    def too_late(self) -> bool:
        """Return True after the plan's deadline, or once its approval is too old: the run has then left the state."""
        run, now = self._run, workflow.now()
        if run.state is State.LIVE and run.deadline_at is not None and now >= run.deadline_at:
            after_calls(run, [], now, deadline_passed=True)
            return True
        return self._approval_too_old()

    def _approval_too_old(self) -> bool:
        """Send the run back to a new preview and approval if the one it has is too old; return True if so."""
        run, now = self._run, workflow.now()
        aged = too_old(run, now) if run.state is State.LIVE or run.undoing is not None else ""
        return bool(aged) and run.apply(Event.STALE, now, reason=aged)


def _outright(request: AcquireRequest) -> AcquireRequest:
    """Return a request without the evidence that only a live worker examines: any worker may ask the gates with it."""
    return AcquireRequest(**{name: getattr(request, name) for name in AcquireRequest.model_fields})
