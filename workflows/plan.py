"""The workflow of a plan: its signals, updates and queries. Its stages are in `plan_stages`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from pydantic import ValidationError

    from airlock.admission.admitted import VOICE_EPOCH
    from airlock.base import names
    from airlock.base.canonical import deeper_than
    from airlock.base.errors import AirlockError
    from airlock.base.incoming import TOO_MUCH, MalformedMessage, ReadingLoad, Verdict, wrong_fields
    from airlock.base.text import shorten
    from airlock.gates.protocol import Granted
    from airlock.monitoring.outbox import Outbox
    from airlock.run.decisions.consequences import asked_undo
    from airlock.run.decisions.decision import refuse
    from airlock.run.displacement import can_be_displaced, displace
    from airlock.run.live.sent_back import SentBack, take_sent_back
    from airlock.run.messages import Amend, Unlock, parse_decision, parse_message, require_few_steps
    from airlock.run.presentation.views import (
        AuditView,
        PlanResult,
        PreviewView,
        StatusView,
        audit_view,
        plan_result,
        preview_view,
        status_view,
    )
    from airlock.run.rehearsal import begin_life
    from airlock.run.sealing.kept_seals import keep_seal
    from airlock.run.sealing.seal_record import SealsView, seals_view
    from airlock.run.state import Run
    from airlock.run.stored import storable
    from airlock.temporal.seeds import seeds
    from airlock.wire import PlanStart
    from airlock.workflows import origin
    from airlock.workflows.patches import SEEN_RESET, patched
    from airlock.workflows.plan_stages import PlanStages
    from airlock.workflows.uncancellable import uncancellable
    from airlock.workflows.update_arguments import valid

_MAX_DEPTH = 180
"""Levels of a started plan's arguments. No run with deeper ones ever got past its admission, so none is open."""


@workflow.defn(name=names.PLAN_WORKFLOW, failure_exception_types=[AirlockError])
class PlanWorkflow:
    """One plan. Its input is a `PlanStart`; any other input fails the run immediately, with the reason."""

    @workflow.init
    def __init__(self, start: Any) -> None:
        self._reading = ReadingLoad()
        self._problem = origin.repeated(workflow.info())
        if self._problem:
            return
        try:
            self._run, outbox = _read_start(start, workflow.now())
        except (ValidationError, ValueError) as error:
            why = wrong_fields(error) if isinstance(error, ValidationError) else error
            self._problem = shorten(f"the input is not a plan: {why}")
            return
        self._run.namespace = workflow.info().namespace
        self._stages = PlanStages(self._run, outbox)
        # the only trace of a reset in a replay: Temporal gives the run a new seed at the point to which it was reset
        seeds().on_reset(self._begin_again)
        if not self._run.life:
            begin_life(self._run, f"{seeds().latest:x}")
        info = workflow.info()
        if info.run_id != (first := info.original_execution_run_id or info.run_id):
            self._run.reset_from = first  # carried by continue-as-new: the next run must know it too
        expected = names.workflow_id_of(self._run.name)
        if info.workflow_id != expected:
            self._problem = (
                f"plan {self._run.plan.plan_id!r} must run as workflow {expected!r}: keys of its calls depend on it"
            )

    def _begin_again(self, seed: int) -> None:
        """Note a reset to a later workflow task."""
        begin_life(self._run, f"{seed:x}")
        displace(self._run)

    def was_reset(self) -> None:
        """Note a reset to the first workflow task; called by the worker's interceptor before the run begins."""
        if not self._problem:
            begin_life(self._run, f"{seeds().latest:x}")
        # older code did not see such a reset: a run that went on then keeps going as its history says
        if not self._problem and can_be_displaced(self._run) and patched(SEEN_RESET):
            displace(self._run)

    @workflow.run
    async def run(self, start: Any) -> PlanResult:
        """Run the plan. Cancellation rolls back its live calls, then returns normally."""
        if self._problem:
            raise ApplicationError(self._problem, type="InvalidPlan", non_retryable=True)
        await uncancellable(self._stages.run(), self._stages.cancel)
        # the client of an update in progress would get no verdict if the run completed now
        await workflow.wait_condition(workflow.all_handlers_finished)
        return storable(plan_result(self._run))

    async def _decide_by_signal(self, name: str, arguments: Sequence[Any]) -> Verdict:
        """Parse, judge and record a signal. Never raise: an exception in a signal handler would wedge the run."""
        if self._problem:
            return Verdict(accepted=False, reason=self._problem)
        if self._reading.too_much(tuple(arguments), workflow.now()) and self._is_bounded():
            return refuse(self._run, name, TOO_MUCH, workflow.now())
        try:
            message = parse_message(name, tuple(arguments))
        except MalformedMessage as error:
            return refuse(self._run, name, str(error), workflow.now())
        if isinstance(message, Amend):
            return await self._stages.amendments.decide(message)
        if isinstance(message, Unlock) and message.gate:
            self._stages.gates.reopened()
        if self._stages.votes.take(name, message):
            return Verdict(accepted=False, reason="it is judged later")
        return await self._stages.votes.judge(name, message)

    def _is_bounded(self) -> bool:
        """Return True unless an earlier release admitted the run: it read everything that came at the same time."""
        return self._run.admitted is None or self._run.admitted.epoch >= VOICE_EPOCH

    def refuse_signal(self, name: str, why: str) -> None:
        """Record a signal whose handler raised; called by the worker's interceptor."""
        if not self._problem:
            refuse(self._run, name, why, workflow.now())

    # Signals take `*arguments: Any`: Temporal drops a signal that does not fit its handler's types, unrecorded.

    @workflow.signal(
        name="approve", description='{"by", "digest", "steps"?, "reason"?, "signature"?}: approve the sealed preview'
    )
    async def approve(self, *arguments: Any) -> None:
        """Approve all steps of the sealed preview, or some of them."""
        await self._decide_by_signal("approve", arguments)

    @workflow.signal(name="deny", description='{"by", "reason", "digest"?}: deny the plan')
    async def deny(self, *arguments: Any) -> None:
        """Deny the plan."""
        await self._decide_by_signal("deny", arguments)

    @workflow.signal(name="lock", description='{"by", "reason"}: stop; no further call starts')
    async def lock(self, *arguments: Any) -> None:
        """Stop: no further call starts until an unlock."""
        await self._decide_by_signal("lock", arguments)

    @workflow.signal(
        name="unlock", description='{"by", "reason"}: go on; the remaining steps are rehearsed and approved again'
    )
    async def unlock(self, *arguments: Any) -> None:
        """Continue after a lock."""
        await self._decide_by_signal("unlock", arguments)

    @workflow.signal(name="rollback", description='{"by", "reason", "to_step"?}: undo what is live, whole or back to a step')
    async def rollback(self, *arguments: Any) -> None:
        """Compensate the live calls."""
        await self._decide_by_signal("rollback", arguments)

    @workflow.signal(name="abort", description='{"by", "reason"}: end the plan without undoing anything')
    async def abort(self, *arguments: Any) -> None:
        """End the plan without undoing anything."""
        await self._decide_by_signal("abort", arguments)

    @workflow.signal(name="resolve", description='{"by", "step", "outcome", "output"?, "reason"}: settle a parked step')
    async def resolve(self, *arguments: Any) -> None:
        """Settle a parked step."""
        await self._decide_by_signal("resolve", arguments)

    @workflow.signal(
        name="amend",
        description='{"by", "reason", "steps"?, "remove"?, "whole"?, "digest"?}: change steps; the rest keeps its approvals',
    )
    async def amend(self, *arguments: Any) -> None:
        """Replace, add or remove steps of a plan that waits for approval."""
        await self._decide_by_signal("amend", arguments)

    @workflow.signal(name="granted", description='{"gate", "request"}: a gate has a place; it is asked whether that is so')
    def granted(self, *arguments: Any) -> None:
        """Note that a gate announced a slot."""
        try:
            news = Granted.model_validate(arguments[0] if len(arguments) == 1 else None)
        except ValidationError:
            self.refuse_signal("granted", 'takes one JSON object: {"gate", "request"}')
            return
        if not self._problem:
            self._stages.gates.granted(news.gate)

    @workflow.signal(
        name=names.LASTS, description="the first calls take a while: the search attributes tell that it is live"
    )
    def lasts(self, *arguments: Any) -> None:
        """Write the search attributes, which short stays in LIVE leave as they are. Any client may ask for it."""
        if not self._problem:
            self._stages.show()

    @workflow.signal(name=names.SENT_BACK, description="a worker began calls that Temporal does not know of any more")
    def sent_back(self, *arguments: Any) -> None:
        """Note that a worker began calls whose end the run did not, or will not, learn."""
        try:
            origin.require_worker(names.SENT_BACK, SentBack, workflow.now(), arguments)
            told = SentBack.model_validate(arguments[0] if len(arguments) == 1 else None)
        except (ValidationError, MalformedMessage) as error:
            why = wrong_fields(error) if isinstance(error, ValidationError) else str(error)
            self.refuse_signal(names.SENT_BACK, shorten(why))
            return
        if not self._problem and told.run_id == workflow.info().run_id:
            take_sent_back(self._run, told, workflow.now())

    @workflow.signal(dynamic=True)
    async def unknown_signal(self, name: str, arguments: Sequence[RawValue]) -> None:
        """Record an unknown signal."""
        await self._decide_by_signal(name, arguments)

    @workflow.update(name="decide", description="a signal's object with a field `decision`; answers whether it counted")
    async def decide_update(self, *arguments: Any) -> Verdict:
        """Decide, and return the verdict. A refusal is recorded like that of a signal."""
        if self._reading.too_much(arguments, workflow.now()) and self._is_bounded():
            return refuse(self._run, "decide", TOO_MUCH, workflow.now())
        name, message = parse_decision(arguments)
        if isinstance(message, Amend):
            return await self._stages.amendments.decide(message)
        return await self._stages.votes.decide(name, message)

    @decide_update.validator
    def _well_formed(self, *arguments: Any) -> None:
        if self._problem:
            raise ApplicationError(self._problem, type="InvalidPlan", non_retryable=True)
        valid(parse_decision, arguments)

    @workflow.query(name="status", description="where the plan is, what it waits for, what was refused")
    def status(self) -> StatusView:
        """Return the state of the plan."""
        return status_view(self._valid_run())

    @workflow.query(name="preview", description="the sealed preview, as text and as data")
    def preview(self) -> PreviewView:
        """Return the sealed preview."""
        return preview_view(self._valid_run())

    @workflow.query(name="audit", description="everything the run recorded, oldest first")
    def audit(self) -> AuditView:
        """Return everything the run recorded."""
        return audit_view(self._valid_run())

    @workflow.query(name="carry", description="the whole run, for the undo of a plan that has ended")
    def carry(self) -> Run:
        """Return the whole run, as a continue-as-new would carry it on."""
        return self._valid_run()

    @workflow.query(name="seals", description="all that the digests of this run's seals are made of; {number of the first}")
    def seals(self, first: int = 0) -> SealsView:
        """Return the seals that this run has made or carried, page by page."""
        run = self._valid_run().model_copy()  # a query changes nothing
        keep_seal(run)
        return seals_view(run.seals, first)

    def _valid_run(self) -> Run:
        if self._problem:
            raise ApplicationError(self._problem, type="InvalidPlan", non_retryable=True)
        return self._run


def _read_start(start: Any, now: datetime) -> tuple[Run, Outbox]:
    require_few_steps(start)
    read = PlanStart.model_validate(start)
    info = workflow.info()
    # otherwise any client that starts a workflow could supply a run that claims to be approved
    if read.run is not None and info.continued_run_id is None:
        raise ValueError('run: only a continue-as-new may carry a run on; start a plan with {"plan": ...}')
    if read.run is not None and (why := origin.foreign(start, PlanStart.__name__, info)):
        raise ValueError(f"run: {why}")
    if read.run is not None:
        return read.run, read.outbox or Outbox()
    if origin.forgetful(info):
        raise ValueError(f"run: {origin.FORGETFUL}")
    if read.plan is None:
        raise ValueError('plan: is missing; start a plan with {"plan": ...}')
    if deeper_than([step.args for step in read.plan.steps], _MAX_DEPTH):
        raise ValueError(f"plan: its arguments are nested more than {_MAX_DEPTH} levels deep; make them flatter")
    undoing = None if read.undo is None else asked_undo(read.undo)
    if undoing is None and names.occasion_of(read.plan.plan_id):
        # a plan that names a time itself would make the calls again that another plan has made
        raise ValueError("plan_id: ends with a time, which only a schedule appends; leave it out")
    plan = read.plan.on_occasion(workflow.info().workflow_id)
    return Run(plan=plan, undoing=undoing, submitted_at=now, since=now), Outbox()
