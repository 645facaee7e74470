"""The life of a plan: MOCK, DRY_RUN, AWAITING_APPROVAL, LIVE, ROLLBACK, as a durable run."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RawValue, SearchAttributeKey
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from pydantic import ValidationError

    from airlock.base import names
    from airlock.base.canonical import deeper_than
    from airlock.base.errors import AirlockError
    from airlock.base.incoming import MalformedMessage, Verdict
    from airlock.base.text import shorten
    from airlock.gates.protocol import Granted
    from airlock.monitoring.outbox import Outbox
    from airlock.plans.state import Event, State
    from airlock.run.call_results import outcome_of
    from airlock.run.decisions import asked_undo, decide, refuse
    from airlock.run.gate_requests import leave_request
    from airlock.run.messages import Abort, Lock, Rollback, Unlock, parse_decision, parse_message
    from airlock.run.state import Outcome, Run
    from airlock.run.views import (
        AuditView,
        PlanResult,
        PreviewView,
        StatusView,
        audit_view,
        details,
        plan_result,
        preview_view,
        status_view,
    )
    from airlock.wire import PlanStart
    from airlock.workflows.gate_visits import GateVisits
    from airlock.workflows.history_budget import HistoryBudget
    from airlock.workflows.live import LiveStage
    from airlock.workflows.rehearse import Rehearsal
    from airlock.workflows.uncancellable import uncancellable
    from airlock.workflows.undo import UndoStage
    from airlock.workflows.undo_run import UndoRun

T = TypeVar("T")

HISTORY = HistoryBudget(events=1_200, bytes=8_000_000)
"""The calls in flight at that point still fit below 2,000 events."""
_MAX_DEPTH = 180
"""Levels of a started plan's arguments. No run with deeper ones ever got past its admission, so none is open."""
_STATE = SearchAttributeKey.for_keyword(names.ATTRIBUTE_STATE)
_SINCE = SearchAttributeKey.for_datetime(names.ATTRIBUTE_SINCE)
_RISK = SearchAttributeKey.for_keyword(names.ATTRIBUTE_RISK)
_OUTCOME = SearchAttributeKey.for_keyword(names.ATTRIBUTE_OUTCOME)
_RESOURCES = SearchAttributeKey.for_keyword_list(names.ATTRIBUTE_RESOURCES)


@workflow.defn(name=names.PLAN_WORKFLOW, failure_exception_types=[AirlockError])
class PlanWorkflow:
    """One plan. Its input is a `PlanStart`; anything else fails the run at once with the reason."""

    @workflow.init
    def __init__(self, start: Any) -> None:
        self._problem = ""
        self._published: State | None = None
        self._cancel_taken = False
        try:
            self._run, self._outbox = _read_start(start, workflow.now())
        except (ValidationError, ValueError) as error:
            self._problem = shorten(f"the input is not a plan: {error}")
            return
        self._entrance = GateVisits(self._run, self._outbox, self._publish, HISTORY.is_spent)
        # Temporal gives a run a new seed at the point to which it was reset, in every replay of it
        workflow.register_random_seed_callback(lambda _: self._run.displace())
        info = workflow.info()
        if info.run_id != (first := info.original_execution_run_id or info.run_id):
            self._run.reset_from = first  # carried on: a run that continues this one must know it too
        expected = names.workflow_id_of(self._run.name)
        if info.workflow_id != expected:
            self._problem = (
                f"plan {self._run.plan.plan_id!r} must run as workflow {expected!r}: keys of its calls depend on it"
            )

    @workflow.run
    async def run(self, start: Any) -> PlanResult:
        """Live the plan's life; a cancelled workflow rolls back what is live and then ends with its result."""
        if self._problem:
            raise ApplicationError(self._problem, type="InvalidPlan", non_retryable=True)
        await uncancellable(self._life(), self._cancelled)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return plan_result(self._run)

    async def _life(self) -> None:
        self._publish()
        while self._run.outcome is None and not self._run.state.closed:
            state = self._run.state
            if self._run.displaced:
                await self._take_new_places()
            else:
                await self._stay()
            self._publish()
            self._report(state)
            await self._entrance.leave()
            self._continue_if_full()
        if not self._outbox.ended:  # a decision ended it while it released its slots, or before it began
            self._report(self._run.state)
            await self._entrance.leave()
        self._finish()

    async def _take_new_places(self) -> None:
        """After a reset: release what the run remembers to hold; what is not live yet is previewed and approved again."""
        self._run.displaced = False
        await self._entrance.start_over()
        if self._run.state is State.LIVE:
            why = "the run was reset: its places at the gates and its claims may be others' by now"
            self._run.apply(Event.STALE, workflow.now(), reason=why)

    def _report(self, state: State) -> None:
        self._outbox.stage_ended(self._run, state, workflow.info().first_execution_run_id, workflow.now())

    async def _stay(self) -> None:
        """One stay in the state the run is in."""
        match self._run.state:
            case State.MOCK | State.DRY_RUN | State.LIVE if self._run.undoing is not None:
                await UndoRun(self._run).go()
            case State.MOCK:
                await Rehearsal(self._run).mock()
            case State.DRY_RUN:
                await Rehearsal(self._run).preview()
            case State.AWAITING_APPROVAL:
                await self._await_approval()
            case State.LIVE:
                if await self._entrance.enter():
                    await LiveStage(self._run, self._entrance, self._publish, HISTORY.is_spent).go()
            case State.ROLLBACK:
                if await self._entrance.enter():
                    await UndoStage(self._run, self._publish, HISTORY.is_spent).go()
            case State.LOCKED:
                await self._locked()
            case _:
                raise AirlockError(f"no stage for {self._run.state.value}")

    async def _locked(self) -> None:
        """LOCKED: until a person says what happens next, or there is something to release that was kept so far."""
        run, later = self._run, self._run.unlock_later
        if later is not None:
            run.unlock_later = None
            decide(run, "unlock", later, workflow.now())
        holder = workflow.info().workflow_id
        await workflow.wait_condition(
            lambda: run.state is not State.LOCKED or HISTORY.is_spent() or leave_request(run, holder) is not None
        )

    async def _await_approval(self) -> None:
        """AWAITING_APPROVAL: costs nothing until a person decides or the approval expires."""
        run = self._run
        left = (run.expires_at - workflow.now()).total_seconds() if run.expires_at else None
        try:
            await workflow.wait_condition(
                lambda: run.state is not State.AWAITING_APPROVAL or run.outcome is not None or HISTORY.is_spent(),
                timeout=max(left, 0.001) if left is not None else None,
                timeout_summary="the time for approval",
            )
        except TimeoutError:
            if run.state is State.AWAITING_APPROVAL and run.outcome is None:
                run.apply(Event.EXPIRED, workflow.now())
                run.outcome = Outcome.EXPIRED

    def _cancelled(self) -> None:
        """Honour a cancelled workflow: roll back what is live, in whatever state the plan is."""
        if self._cancel_taken:
            return
        self._cancel_taken = True
        run, now = self._run, workflow.now()
        undo_unapproved = run.undoing is not None and not run.approved
        who, why = "temporal", shorten(workflow.cancellation_reason() or "") or "the workflow was cancelled"
        if undo_unapproved or run.state in (State.MOCK, State.DRY_RUN, State.AWAITING_APPROVAL):
            if undo_unapproved or not run.live:
                decide(run, "abort", Abort(by=who, reason=why), now)
                return
            decide(run, "lock", Lock(by=who, reason=why), now)
        if run.state is not State.ROLLBACK:
            decide(run, "rollback", Rollback(by=who, reason=why), now)

    def _continue_if_full(self) -> None:
        """Continue as new between stages; calls are never in flight here, and handlers never wait.

        A cancellation that arrived in this very task is honoured first: the next run would not know of it.
        """
        if workflow.cancellation_reason() is not None and not self._cancel_taken:
            self._cancelled()
            return
        if HISTORY.is_spent() and self._run.outcome is None and not self._run.state.closed:
            workflow.continue_as_new(PlanStart(run=self._run, outbox=self._outbox))

    def _publish(self) -> None:
        """Show where the plan is: search attributes when the state changed, and the details of the Temporal UI."""
        run = self._run
        if self._published is not run.state or len(run.plan.steps) <= 100:
            workflow.set_current_details(details(run))
        if self._published is run.state:
            return
        first, self._published = self._published is None, run.state
        if first and workflow.info().typed_search_attributes.get(_STATE) == run.state.value:
            return
        updates: list[Any] = [_STATE.value_set(run.state.value), _SINCE.value_set(run.since)]
        if run.admitted is not None and workflow.info().typed_search_attributes.get(_RISK) is None:
            updates.append(_RISK.value_set(run.admitted.risk.value))
            if run.admitted.resource_index:
                updates.append(_RESOURCES.value_set(list(run.admitted.resource_index)))
        if run.state.closed or run.outcome is not None:
            updates.append(_OUTCOME.value_set(outcome_of(run).value))
        workflow.upsert_search_attributes(updates)

    def _finish(self) -> None:
        self._run.outcome = outcome_of(self._run)
        self._published = self._published if self._published is self._run.state else None
        workflow.set_current_details(details(self._run))

    def _say(self, name: str, arguments: Sequence[Any]) -> Verdict:
        """Return a signal's way: parsed, judged, recorded; never raises."""
        if self._problem:
            return Verdict(accepted=False, reason=self._problem)
        try:
            message = parse_message(name, tuple(arguments))
        except MalformedMessage as error:
            return refuse(self._run, name, str(error), workflow.now())
        if isinstance(message, Unlock) and message.gate:
            self._entrance.reopened()
        return decide(self._run, name, message, workflow.now())

    def refuse_signal(self, name: str, why: str) -> None:
        """Record a signal that could not be handled at all; called by the worker's interceptor."""
        if not self._problem:
            refuse(self._run, name, why, workflow.now())

    # Signals take `*arguments: Any`: whatever was sent arrives, and nothing is dropped without a trace.

    @workflow.signal(description='{"by", "digest", "steps"?, "reason"?, "signature"?}: approve the sealed preview')
    def approve(self, *arguments: Any) -> None:
        """Approve the sealed preview, whole or some steps."""
        self._say("approve", arguments)

    @workflow.signal(description='{"by", "reason", "digest"?}: deny the plan')
    def deny(self, *arguments: Any) -> None:
        """Deny the plan."""
        self._say("deny", arguments)

    @workflow.signal(description='{"by", "reason"}: stop; no further call starts')
    def lock(self, *arguments: Any) -> None:
        """Stop: no further call starts until an unlock."""
        self._say("lock", arguments)

    @workflow.signal(description='{"by", "reason"}: go on; the remaining steps are rehearsed and approved again')
    def unlock(self, *arguments: Any) -> None:
        """Go on after a lock."""
        self._say("unlock", arguments)

    @workflow.signal(description='{"by", "reason", "to_step"?}: undo what is live, whole or back to a step')
    def rollback(self, *arguments: Any) -> None:
        """Undo what is live."""
        self._say("rollback", arguments)

    @workflow.signal(description='{"by", "reason"}: end the plan without undoing anything')
    def abort(self, *arguments: Any) -> None:
        """End the plan without undoing anything."""
        self._say("abort", arguments)

    @workflow.signal(description='{"by", "step", "outcome", "output"?, "reason"}: settle a parked step')
    def resolve(self, *arguments: Any) -> None:
        """Settle a parked step."""
        self._say("resolve", arguments)

    @workflow.signal(description='{"gate", "request"}: a gate has a place; it is asked whether that is so')
    def granted(self, *arguments: Any) -> None:
        """Take the news that a gate has a place."""
        try:
            news = Granted.model_validate(arguments[0] if len(arguments) == 1 else None)
        except ValidationError:
            self.refuse_signal("granted", 'takes one JSON object: {"gate", "request"}')
            return
        if not self._problem:
            self._entrance.granted(news.gate)

    @workflow.signal(dynamic=True)
    def unknown_signal(self, name: str, arguments: Sequence[RawValue]) -> None:
        """Record an unknown signal."""
        self._say(name, arguments)

    @workflow.update(name="decide", description="a signal's object with a field `decision`; answers whether it counted")
    def decide_update(self, *arguments: Any) -> Verdict:
        """Decide, and learn whether it counted; refusals are recorded like those of signals."""
        name, message = parse_decision(arguments)
        return decide(self._run, name, message, workflow.now())

    @decide_update.validator
    def _well_formed(self, *arguments: Any) -> None:
        if self._problem:
            raise ApplicationError(self._problem, type="InvalidPlan", non_retryable=True)
        try:
            parse_decision(arguments)
        except MalformedMessage as error:
            raise ApplicationError(str(error), type="Malformed", non_retryable=True) from error

    @workflow.query(description="where the plan is, what it waits for, what was refused")
    def status(self) -> StatusView:
        """Return the state of the plan."""
        return status_view(self._valid_run())

    @workflow.query(description="the sealed preview, as text and as data")
    def preview(self) -> PreviewView:
        """Return the sealed preview."""
        return preview_view(self._valid_run())

    @workflow.query(description="everything the run recorded, oldest first")
    def audit(self) -> AuditView:
        """Return everything the run recorded."""
        return audit_view(self._valid_run())

    @workflow.query(description="the whole run, for the undo of a plan that has ended")
    def carry(self) -> Run:
        """Return the whole run, as a continue-as-new would carry it on."""
        return self._valid_run()

    def _valid_run(self) -> Run:
        if self._problem:
            raise ApplicationError(self._problem, type="InvalidPlan", non_retryable=True)
        return self._run


def _read_start(start: Any, now: datetime) -> tuple[Run, Outbox]:
    read = PlanStart.model_validate(start)
    if read.run is not None and workflow.info().continued_run_id is None:
        # a client that starts a workflow could otherwise hand in a run that says it was approved
        raise ValueError('run: only a continue-as-new may carry a run on; start a plan with {"plan": ...}')
    if read.run is not None:
        return read.run, read.outbox or Outbox()
    if read.plan is None:
        raise ValueError('plan: is missing; start a plan with {"plan": ...}')
    if deeper_than([step.args for step in read.plan.steps], _MAX_DEPTH):
        raise ValueError(f"plan: its arguments are nested more than {_MAX_DEPTH} levels deep; make them flatter")
    undoing = None if read.undo is None else asked_undo(read.undo)
    return Run(plan=read.plan, undoing=undoing, submitted_at=now, since=now), Outbox()
