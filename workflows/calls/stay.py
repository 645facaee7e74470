"""A stay in LIVE: whether another call may begin, and what has ended the stay."""

import asyncio
from contextlib import suppress
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from airlock.run.call_record import CallStatus
    from airlock.run.decisions.approval_age import too_old
    from airlock.run.decisions.entry import take_turned_away
    from airlock.run.state import Run
    from airlock.workflows.timers import wait_until


class Stay:
    """One stay of a run in LIVE.

    Args:
        run: The plan's run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._moves = run.moves
        self.steps = {step.id: step for step in run.steps}
        """The steps as admission froze them, by id."""
        by_status = run.steps_with
        self.trouble = bool(by_status[CallStatus.FAILED] or by_status[CallStatus.IN_DOUBT])
        """True after a failure or a doubt: no other call may begin."""
        self.deadline_passed = False
        self.aged = ""
        """The reason why the approval is too old to begin a call; empty while it is valid."""
        self.turned_away = ""
        """The reason why LIVE must be entered again before the next call; empty if it need not be."""

    def may_start(self) -> bool:
        """Return True while another call may begin: the approval is valid, and no stop, failure or doubt is known."""
        if self.stopped() or self.trouble or self.turned_away or self._is_cancelled():
            return False
        self.aged = self.aged or too_old(self._run, workflow.now())
        return not self.aged

    def _is_cancelled(self) -> bool:
        # the cancellation may have arrived in this very workflow task, and not have had its effect yet
        return workflow.cancellation_reason() is not None and not self._run.cancel_heeded

    def stopped(self) -> bool:
        """Return True once the plan has left LIVE, even if it came back since, or its deadline has passed."""
        return self._run.moves != self._moves or self.deadline_passed

    async def pause(self, pause: timedelta, step: str) -> None:
        """Wait before the next attempt; return early when the plan stops."""
        await wait_until(workflow.now() + pause, f"before {step} is tried again", lambda: not self.may_start())

    async def renew(self) -> None:
        """Let the run enter LIVE again, where its approval is examined; wait first if that did not help before."""
        take_turned_away(self._run, self.turned_away, workflow.now())
        if self._run.renewals > 1 and not self.stopped():
            pause = timedelta(seconds=2**self._run.renewals)
            with suppress(asyncio.TimeoutError):
                await workflow.wait_condition(self.stopped, timeout=pause, timeout_summary="before LIVE is entered again")

    async def watch_deadline(self) -> None:
        """End the stay at the plan's deadline, if it has one."""
        deadline = self._run.deadline_at
        if deadline is None:
            return
        left = (deadline - workflow.now()).total_seconds()
        if left > 0:
            await workflow.sleep(left, summary="the plan's deadline")
        self.deadline_passed = True
