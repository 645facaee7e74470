"""Calls that ended before any worker began them, as Temporal says: believed once no worker has said otherwise."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from airlock.admission.admitted import UNBEGUN_EPOCH
    from airlock.run.live.call_messages import CallRequest
    from airlock.run.live.sent_back import BEGUN, DEAF_FROM, QUIET, UNHEARD
    from airlock.run.state import Run
    from airlock.temporal.seeds import seeds


class Unbegun:
    """The wait of one stay for the word of workers about calls that ended unbegun.

    Args:
        run: The plan's run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._since: datetime | None = None
        self._silence: asyncio.Task[None] | None = None

    async def doubt(self, calls: Sequence[CallRequest]) -> str:
        """Return why calls that ended as if no worker had begun them may have been made; empty if they were not.

        A worker that had begun them says so, which is waited for.

        Without keys any client could say anything about them, so that nothing is waited for.
        """
        run, fence = self._run, calls[0].fence
        known = seeds().proofs_due and run.contracts().epoch >= UNBEGUN_EPOCH
        if not known or all(call.contract.read_only for call in calls):
            return ""
        if self._silence is None or self._since != workflow.now():  # those that end together share a timer
            self._since = workflow.now()
            self._silence = asyncio.create_task(workflow.sleep(QUIET, summary="does a worker say that it had begun?"))
        silence = self._silence
        await workflow.wait_condition(lambda: silence.done() or fence in run.sent_back)
        if fence in run.sent_back:
            return BEGUN
        return UNHEARD if workflow.info().get_current_history_length() >= DEAF_FROM else ""
