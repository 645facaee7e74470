"""Calls that no worker began, as Temporal says: believed once no worker has said otherwise."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from airlock.admission.admitted import LOST_CHAIN_EPOCH, RECORD_EPOCH, UNBEGUN_EPOCH
    from airlock.plans.outcome import Attempt
    from airlock.run.live.call_messages import CallRequest
    from airlock.run.live.recovery import unrecorded
    from airlock.run.live.sent_back import BEGUN, DEAF_FROM, HURRIED, QUIET, SET_BACK, UNHEARD, UNRECORDED
    from airlock.run.state import Run
    from airlock.temporal.seeds import seeds
    from airlock.workflows.calls.chain_attempts import (
        all_in_doubt,
        attempts_after_failure,
        behind_the_record,
        recorded,
    )
    from airlock.workflows.timers import is_over


class Unbegun:
    """The wait of one stay for the word of workers about calls that no worker seems to have begun.

    Args:
        run: The plan's run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._since: datetime | None = None
        self._silence: asyncio.Task[None] | None = None
        self._hurried = False

    async def doubt(self, calls: Sequence[CallRequest]) -> str:
        """Return why calls that ended as if no worker had begun them may have been made; empty if they were not.

        A worker that had begun them says so, which is waited for.

        Without keys any client could say anything about them, so that nothing is waited for.
        """
        if not self._is_known(UNBEGUN_EPOCH) or all(call.contract.read_only for call in calls):
            return ""
        if await self._heard(calls[0].fence):
            return BEGUN
        if self._hurried:
            return HURRIED
        return UNHEARD if _is_deaf() else ""

    async def after_failure(self, error: ActivityError, calls: Sequence[CallRequest]) -> list[Attempt]:
        """Return the attempts of a chain whose activity failed, timed out or was cancelled after a worker had begun it.

        Any client can overwrite the record of an activity with an earlier genuine one, or with nothing. A worker whose
        attempt has timed out says which calls it had begun, which is waited for. One that says nothing is gone: then every
        call that the record does not tell of may have been made. Those stand behind the attempt at the first of them.
        """
        attempts, made = attempts_after_failure(error, calls), recorded(error)
        rest = () if made is None else unrecorded(calls, made)
        if made is None or not self._is_known(RECORD_EPOCH) or all(call.contract.read_only for call in rest):
            return attempts
        begun, why = tuple[str, ...](), SET_BACK
        if await self._heard(calls[0].fence):
            begun = self._run.begun.get(calls[0].fence or 0, ())
        elif self._is_known(LOST_CHAIN_EPOCH):
            return behind_the_record(attempts, rest, UNRECORDED)
        elif self._hurried or _is_deaf():
            begun, why = tuple(call.step.id for call in rest), HURRIED if self._hurried else UNHEARD
        more = [number for number, call in enumerate(calls) if call in rest and call.step.id in begun]
        return [*made, *all_in_doubt(calls[len(made) : more[-1] + 1], why)] if more else attempts

    def _is_known(self, epoch: int) -> bool:
        return seeds().proofs_due and self._run.contracts().epoch >= epoch

    async def _heard(self, fence: int | None) -> bool:
        """Return True if a worker says that it began the activity with this token; wait for its word."""
        run = self._run
        if self._silence is None or self._since != workflow.now():  # those that end together share a timer
            self._since = workflow.now()
            self._silence = asyncio.create_task(workflow.sleep(QUIET, summary="does a worker say that it had begun?"))
        silence, until = self._silence, self._since + timedelta(seconds=QUIET)
        await workflow.wait_condition(lambda: silence.done() or fence in run.sent_back)
        self._hurried = self._hurried or (silence.done() and not is_over(until))
        return fence in run.sent_back


def _is_deaf() -> bool:
    return workflow.info().get_current_history_length() >= DEAF_FROM
