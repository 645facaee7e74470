"""MOCK and DRY_RUN: stages without effects, which a stop of the plan interrupts immediately."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.workflow import ActivityHandle

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel

    from airlock.admission.admitted import Admission
    from airlock.plans.contract import Mode
    from airlock.plans.outcome import Previewed
    from airlock.plans.own_steps import Left
    from airlock.plans.state import Event
    from airlock.run.audit import AuditKind
    from airlock.run.decisions.approval import approved_steps, waived_by_policy
    from airlock.run.decisions.kept_votes import forget_votes, kept_sentence
    from airlock.run.handed_back import PATIENCE
    from airlock.run.kept_previews import keep_previews, note_leaving
    from airlock.run.live.read_lane import end_as_read, forget_reads, may_be_read
    from airlock.run.own_steps import own_steps
    from airlock.run.rehearsal import (
        begin_previews,
        begin_rehearsal,
        record_conflicts,
        seal_run,
        take_mocks,
        take_previews,
        time_of,
    )
    from airlock.run.state import Run
    from airlock.run.stored import MAX_SEALED, MAX_STORED, too_large
    from airlock.run.unrehearsed import end_unrehearsed, end_without_answer
    from airlock.wire import AdmitRequest, Prepared, PreviewResult, rehearsal_request
    from airlock.workflows import commands
    from airlock.workflows.answers import HandedBackError, abort, answered_or_aborted, apart
    from airlock.workflows.asking_again import answered_by_its_generation
    from airlock.workflows.read_first import read_first
    from airlock.workflows.short_path import prepared_at_once


T = TypeVar("T")


class Rehearsal:
    """The MOCK or DRY_RUN stage of a run. It ends when the run has left that state.

    Args:
        run: The plan's run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    async def mock(self) -> None:
        """Admit the plan under the operator's catalogue and policy, then mock its remaining steps.

        The worker that admits a new plan may mock and preview it in the same activity; then DRY_RUN ends here too.
        """
        run, moves = self._run, self._run.moves
        if run.amendment is not None and run.amendment.moves == moves:  # admission judged it before it was accepted
            forget_reads(run)
            await self._mock(None)
            return
        prepared = await prepared_at_once(run)
        if run.moves != moves:
            return
        admission = prepared.admission if prepared else await self._admission()
        if admission is None:
            return
        at = time_of(run, prepared.admitted_at, workflow.now()) if prepared else workflow.now()
        if admission.admitted is None:
            problems = "; ".join(str(problem) for problem in admission.problems)
            for problem in admission.problems[:20]:
                run.record(AuditKind.ADMISSION, "refused", at, reason=str(problem))
            abort(run, f"refused at admission: {problems}")
            return
        admitted = admission.admitted
        run.record(AuditKind.ADMISSION, "admitted", at, reason=f"catalogue {admitted.catalogue_hash[:12]}")
        record_conflicts(run, admitted.conflicts, at)
        forget_reads(run)
        begin_rehearsal(run, admitted)
        await self._mock(prepared)

    async def _mock(self, prepared: Prepared | None) -> None:
        """Mock the remaining steps of an admitted plan."""
        run, moves = self._run, self._run.moves
        mocked = prepared.mocked if prepared else None
        if mocked is None:
            asked = rehearsal_request(run, run.left(Mode.MOCK), run.outputs)
            mocked = await self._answer(lambda: commands.rehearse(asked, apart(run)))
        if mocked is None or run.moves != moves:
            return
        take_mocks(run, mocked.failures)
        if end_unrehearsed(run, mocked.failures, workflow.now()):
            return
        event = Event.REHEARSED if run.left(Mode.DRY_RUN) else Event.CAPPED
        at = time_of(run, prepared.mocked_at, workflow.now()) if prepared else workflow.now()
        run.apply(event, at, reason=_lowest_reason(run) if event is Event.CAPPED else "")
        if event is Event.REHEARSED and prepared and (prepared.previewed or may_be_read(run)):
            await self.preview(prepared.previewed)

    async def _admission(self) -> Admission | None:
        run = self._run
        return await answered_or_aborted(run, lambda: commands.admit(AdmitRequest(plan=run.plan), apart(run)))

    async def preview(self, first: PreviewResult | None = None) -> None:
        """Dry-run the steps whose ceiling allows it, and seal the preview that the approver will see.

        Args:
            first: The first dry runs, where they were made already.
        """
        run, moves = self._run, self._run.moves
        forget_reads(run)
        begin_previews(run)
        await read_first(run)
        if run.moves != moves:
            return
        keep_previews(run, workflow.now())
        asked = tuple(step for step in run.left(Mode.DRY_RUN) if step not in run.previews)
        outputs = dict(run.outputs) | {step: preview.output for step, preview in run.previews.items()}
        run.leaving = ()
        leaves: dict[str, dict[str, Left]] = {}
        while asked:
            result, first = first or await self._previews(asked, outputs, leaves), None
            if result is None or run.moves != moves:
                return
            leaves |= {preview.step: preview.leaves for preview in result.previews if isinstance(preview, Previewed)}
            note_leaving(run, result.previews)
            take_previews(run, result.previews)
            if end_unrehearsed(run, result.previews, workflow.now()):
                return
            outputs |= {step: preview.output for step, preview in run.previews.items()}
            still = set(run.left(Mode.DRY_RUN))
            asked = tuple(step for step in result.remaining if step in still)
        if not run.left(Mode.LIVE) and not run.only_read:
            run.apply(Event.CAPPED, workflow.now(), reason=_lowest_reason(run))
            return
        seal_run(run, workflow.now())
        if run.earlier and too_large(run, MAX_SEALED, "the seals before the amendment"):
            forget_votes(run)
        if self._too_large(run, MAX_SEALED, "arguments, previews and texts of this plan are too large together"):
            return
        run.apply(Event.PREVIEWED, workflow.now(), reason=kept_sentence(run))
        if run.only_read:
            end_as_read(run, workflow.now())
        elif waived_by_policy(run):
            run.approved = approved_steps(run)
            run.record(AuditKind.DECISION, "approve", workflow.now(), by="policy", digest=run.digest)
            run.apply(Event.APPROVED, workflow.now(), by="policy", reason="the policy waives approval for every step")

    async def _previews(
        self, asked: Sequence[str], outputs: Mapping[str, Any], leaves: Mapping[str, dict[str, Left]]
    ) -> PreviewResult | None:
        run = self._run
        request = rehearsal_request(run, asked, outputs).model_copy(update=own_steps(run, asked, leaves))
        if self._too_large(request, MAX_STORED, "the predicted outputs are too large together"):
            return None
        return await self._answer(lambda: commands.preview(request, apart(run)))

    async def _answer(self, ask: Callable[[], ActivityHandle[T]]) -> T | None:
        """Return the answer of a worker that has the plan's contracts; None if the run has left this stage."""
        run = self._run
        try:
            return await answered_by_its_generation(run, ask)
        except HandedBackError as error:
            minutes = int(PATIENCE.total_seconds() // 60)
            why = f"no rehearsing worker with the contracts of this plan answered for {minutes} minutes: {error}"
            end_without_answer(run, why, workflow.now())
            return None

    def _too_large(self, message: BaseModel, limit: int, what: str) -> bool:
        """Return True after ending the rehearsal, with the reason, of a plan that Temporal could not store."""
        run = self._run
        why = too_large(message, limit, what) if run.contracts().epoch >= 1 else ""
        return bool(why) and run.apply(Event.CAPPED, workflow.now(), reason=why)


def _lowest_reason(run: Run) -> str:
    """Return why no step may go higher, with the reasons of the first step as an example."""
    order = run.contracts().order
    # a step that was read has no reason to stay below LIVE
    first = next((step for step in order if step not in run.calls or run.calls[step].read is None), order[0])
    ceiling = run.ceilings[first]
    return f"nothing may go higher, for example: {'; '.join(ceiling.reasons)}"
