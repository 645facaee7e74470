"""MOCK and DRY_RUN: stages without effects, which a stop of the plan interrupts immediately."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError
from temporalio.workflow import ActivityHandle

with workflow.unsafe.imports_passed_through():
    from airlock.base.text import shorten
    from airlock.plans.contract import Mode
    from airlock.plans.state import Event
    from airlock.run.approval import approved_steps, waived_by_policy
    from airlock.run.audit import AuditKind
    from airlock.run.decisions import decide
    from airlock.run.messages import Abort
    from airlock.run.rehearsal import record_conflicts, seal_run, take_mocks, take_previews
    from airlock.run.state import Run
    from airlock.wire import AdmitRequest, RehearsalRequest
    from airlock.workflows import commands
    from airlock.workflows.answers import NoAnswer, answered_unless_moved

T = TypeVar("T")


class Rehearsal:
    """The MOCK or DRY_RUN stage of a run. It ends when the run has left that state.

    Args:
        run: The plan's run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    async def mock(self) -> None:
        """Admit the plan under the operator's catalogue and policy, then mock its remaining steps."""
        run, moves = self._run, self._run.moves
        admission = await self._unless_moved(lambda: commands.admit(AdmitRequest(plan=run.plan)))
        if admission is None:
            return
        if admission.admitted is None:
            problems = "; ".join(str(problem) for problem in admission.problems)
            for problem in admission.problems[:20]:
                run.record(AuditKind.ADMISSION, "refused", workflow.now(), reason=str(problem))
            self._end_early(f"refused at admission: {problems}")
            return
        admitted = admission.admitted
        run.record(AuditKind.ADMISSION, "admitted", workflow.now(), reason=f"catalogue {admitted.catalogue_hash[:12]}")
        record_conflicts(run, admitted.conflicts, workflow.now())
        run.begin_rehearsal(admitted)
        asked = self._request(run.left(Mode.MOCK), run.outputs)
        mocked = await self._unless_moved(lambda: commands.rehearse(asked))
        if mocked is None or run.moves != moves:
            return
        take_mocks(run, mocked.failures)
        event = Event.REHEARSED if run.left(Mode.DRY_RUN) else Event.CAPPED
        run.apply(event, workflow.now(), reason=_lowest_reason(run) if event is Event.CAPPED else "")

    async def preview(self) -> None:
        """Dry-run the steps whose ceiling allows it, and seal the preview that the approver will see."""
        run, moves = self._run, self._run.moves
        run.begin_previews()
        asked = run.left(Mode.DRY_RUN)
        outputs = dict(run.outputs)
        while asked:
            request = self._request(asked, outputs)
            result = await self._unless_moved(partial(commands.preview, request))
            if result is None or run.moves != moves:
                return
            take_previews(run, result.previews)
            outputs |= {step: preview.output for step, preview in run.previews.items()}
            still = set(run.left(Mode.DRY_RUN))
            asked = tuple(step for step in result.remaining if step in still)
        if not run.left(Mode.LIVE):
            run.apply(Event.CAPPED, workflow.now(), reason=_lowest_reason(run))
            return
        seal_run(run, workflow.now())
        run.apply(Event.PREVIEWED, workflow.now())
        if waived_by_policy(run):
            run.approved = approved_steps(run)
            run.record(AuditKind.DECISION, "approve", workflow.now(), by="policy", digest=run.digest)
            run.apply(Event.APPROVED, workflow.now(), by="policy", reason="the policy waives approval for every step")

    async def _unless_moved(self, ask: Callable[[], ActivityHandle[T]]) -> T | None:
        """Return the answer of an activity without effects, or None when the plan moved on meanwhile.

        An activity that fails for good ends the plan: nothing that could not be rehearsed may go live.
        """
        try:
            return await answered_unless_moved(self._run, ask)
        except ActivityError as error:
            self._end_early(shorten(f"{error.activity_type} could not be carried out: {error.cause}"))
        except NoAnswer as error:
            self._end_early(f"answers that no worker of Airlock made: {error}")
        return None

    def _end_early(self, reason: str) -> None:
        decide(self._run, "abort", Abort(by="airlock", reason=reason[:2_000]), workflow.now())

    def _request(self, wanted: Sequence[str], outputs: Mapping[str, Any]) -> RehearsalRequest:
        admitted = self._run.contracts()
        by_id = {step.id: step for step in self._run.steps}
        return RehearsalRequest(
            plan_id=self._run.plan.plan_id,
            steps=tuple(by_id[step] for step in wanted),
            contracts=admitted.contracts,
            contract_of=admitted.contract_of,
            outputs=dict(outputs),
        )


def _lowest_reason(run: Run) -> str:
    """Return why no step may go higher, with the reasons of the first step as an example."""
    ceiling = run.ceilings[run.contracts().order[0]]
    return f"nothing may go higher, for example: {'; '.join(ceiling.reasons)}"
