"""The short way to a preview: admission, mocks and the first dry runs of a plan in one activity."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from temporalio import activity
from temporalio.exceptions import ApplicationError

from airlock.activities.admit import AdmitActivities
from airlock.activities.heartbeat import run_to_completion
from airlock.activities.rehearsals.preview import PAYLOAD_BUDGET, PreviewActivities, outcomes_in, progress_left
from airlock.activities.rehearsals.rehearse import RehearseActivities
from airlock.activities.toolbox import Toolbox
from airlock.admission.admitted import Admitted
from airlock.base.canonical import digest
from airlock.plans.contract import Mode
from airlock.run.handed_back import ELSEWHERE
from airlock.run.live.read_lane import may_be_read
from airlock.run.own_steps import own_steps
from airlock.run.rehearsal import begin_previews, begin_rehearsal, take_mocks
from airlock.run.state import Run
from airlock.temporal.proof_converter import Progress
from airlock.wire import Prepared, PrepareRequest, PreviewResult, rehearsal_request

DRY_RUNS_FOR: Final = 5.0
"""Seconds for the dry runs here. What has not ended by then is asked for again, in the state DRY_RUN."""


@dataclass
class _DryRuns:
    """The dry runs that ended so far, for the next attempt after the loss of a worker."""

    admitted: str = ""
    """The digest of what admission said; dry runs under another admission are made again."""
    dumped: list[Any] = field(default_factory=list)
    """The outcomes of the dry runs, as JSON."""

    def take_up(self, admitted: Admitted) -> None:
        self.admitted = digest(admitted.model_dump(mode="json"))
        before = progress_left()
        if before and before[0] == {"admitted": self.admitted}:
            self.dumped += before[1:]

    def progress(self) -> Progress | None:
        return Progress([{"admitted": self.admitted}, *self.dumped]) if self.dumped else None


class PrepareActivities:
    """Admission and rehearsal on one worker that rehearses, for a plan that is new."""

    def __init__(self, toolbox: Toolbox, rehearse: RehearseActivities, preview: PreviewActivities) -> None:
        self._toolbox = toolbox
        self._admission, self._mocks, self._dry_runs = AdmitActivities(toolbox), rehearse, preview

    @activity.defn(name="prepare")
    async def prepare(self, request: PrepareRequest) -> Prepared:
        """Admit a plan, mock its steps, and preview those that time and one payload allow. Safe to repeat.

        The answer says nothing that `admit`, `rehearse` and `preview` would not have said one after the other.

        Raises:
            ApplicationError: If this worker admits plans by another policy, other contracts or another key than the worker
                that asks, which then asks for each part; or if it was stopped before the last mock.
        """
        self._toolbox.require_plan(request.plan.plan_id)
        if request.setup != self._toolbox.setup:
            raise ApplicationError(
                "this worker admits plans by another policy, other contracts or another AIRLOCK_INDEX_KEY",
                type=ELSEWHERE, non_retryable=True,
            )  # fmt: skip
        stopped, enough = asyncio.Event(), asyncio.Event()

        def stop() -> None:
            stopped.set()
            enough.set()

        made = _DryRuns()
        return await run_to_completion(self._prepare(request, made, stopped, enough), made.progress, stop)

    async def _prepare(
        self, request: PrepareRequest, made: _DryRuns, stopped: asyncio.Event, enough: asyncio.Event
    ) -> Prepared:
        admission = await self._admission.judge(request.plan)
        answer = Prepared(admission=admission, admitted_at=datetime.now(UTC))
        if admission.admitted is None:
            return answer
        # what a step may still do after its mock is judged by the rules of the run, on a run of this activity's own
        run = Run(plan=request.plan, submitted_at=answer.admitted_at, since=answer.admitted_at)
        begin_rehearsal(run, admission.admitted)
        mocked = await self._mocks.mock_all(rehearsal_request(run, run.left(Mode.MOCK), run.outputs), stopped)
        answer = answer.model_copy(update={"mocked": mocked, "mocked_at": datetime.now(UTC)})
        take_mocks(run, mocked.failures)
        spent = await asyncio.to_thread(_size, answer)
        if any(failure.unlooked for failure in mocked.failures) or spent > PAYLOAD_BUDGET:
            return answer
        if may_be_read(run):  # the dry runs see what was read
            return answer
        made.take_up(admission.admitted)
        previewed = await self._preview(run, made, enough, PAYLOAD_BUDGET - spent)
        return answer.model_copy(update={"previewed": previewed})

    async def _preview(self, run: Run, made: _DryRuns, enough: asyncio.Event, budget: int) -> PreviewResult | None:
        begin_previews(run)
        asked = run.left(Mode.DRY_RUN)
        if not asked:
            return None
        request = rehearsal_request(run, asked, run.outputs).model_copy(update=own_steps(run, asked, {}))
        done = outcomes_in(made.dumped)
        looking = asyncio.ensure_future(self._dry_runs.preview_all(request, done, made.dumped, enough, budget))
        await asyncio.wait((looking,), timeout=DRY_RUNS_FOR)
        enough.set()
        if not looking.done():  # a dry run that takes longer is made again by `preview`, for as long as its contract allows
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking
            looking = asyncio.ensure_future(self._dry_runs.preview_all(request, done, made.dumped, enough, budget))
        return await looking


def _size(answer: Prepared) -> int:
    return len(answer.model_dump_json())
