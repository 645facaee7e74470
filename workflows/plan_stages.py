"""The stages of a plan in their order, from MOCK to its end."""

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from airlock.admission.admitted import OPENING_EPOCH
    from airlock.base.errors import AirlockError
    from airlock.base.text import shorten
    from airlock.monitoring.outbox import Outbox
    from airlock.plans.state import Event, State
    from airlock.run.audit import AuditKind
    from airlock.run.decisions.approval import rehearses
    from airlock.run.decisions.authority import asked_of_rollback
    from airlock.run.decisions.decision import decide
    from airlock.run.live.call_results import outcome_of, stop_calls
    from airlock.run.live.gate_requests import leave_request
    from airlock.run.messages import Abort, Lock, Rollback
    from airlock.run.outcome import Outcome
    from airlock.run.state import Run
    from airlock.run.stored import MAX_STORED, too_large
    from airlock.wire import PlanStart
    from airlock.workflows.amendments import Amendments
    from airlock.workflows.calls.gate_visits import GateVisits
    from airlock.workflows.calls.opening import live
    from airlock.workflows.calls.undo import UndoStage
    from airlock.workflows.history_budget import HistoryBudget
    from airlock.workflows.patches import REHEARSED_FULL, from_here_on
    from airlock.workflows.plan_display import PlanDisplay
    from airlock.workflows.rehearse import Rehearsal
    from airlock.workflows.undo_run import UndoRun
    from airlock.workflows.votes import Votes

HISTORY = HistoryBudget(events=1_200, bytes=8_000_000)
"""The calls in flight at that point still fit below 2,000 events."""


class PlanStages:
    """The course of one run: one stage after the other, with the release of slots and the reports between them.

    Args:
        run: The plan's run.
        outbox: Its reports to the monitors.
    """

    def __init__(self, run: Run, outbox: Outbox) -> None:
        self._run = run
        self._outbox = outbox
        self._display = PlanDisplay(run)
        self._cannot_continue = False
        self.votes = Votes(run)
        self.amendments = Amendments(run, self._full, self.votes.policy_now)
        self.gates = GateVisits(run, outbox, self._display.update, self._full)

    async def run(self) -> None:
        """Run stages until the plan has an outcome, and continue as new between them when the history is long."""
        self._display.update()
        following = asyncio.create_task(self._display.follow_refusals())  # it issues no command
        try:
            await self._run_stages()
        finally:
            following.cancel()

    async def _run_stages(self) -> None:
        while self._run.outcome is None and not self._run.state.closed:
            state = self._run.state
            if self._run.displaced:
                await self._start_over()
            else:
                await self._run_stage()
            await self.votes.release()
            self._display.update(shown=not self._opens_soon())
            self._report(state)
            await self.gates.leave()
            await self._continue_as_new_if_due()
        await self.votes.settle()  # they came too late, and are recorded as refused
        if not self._outbox.ended:  # a decision ended the plan during `leave`, or before its first stage
            self._report(self._run.state)
            await self.gates.leave()
        self._run.outcome = outcome_of(self._run)
        self._display.update_details()

    def _opens_soon(self) -> bool:
        """Return True if the next stage decides itself when the search attributes tell that the plan is live."""
        run = self._run
        return run.state is State.LIVE and run.undoing is None and run.contracts().epoch >= OPENING_EPOCH

    def show(self) -> None:
        """Write the search attributes if they do not tell the state of the run yet."""
        if self._opens_soon():
            self._display.update()

    def cancel(self) -> None:
        """Roll back the live calls, whatever the state of the plan; later cancellations change nothing.

        Where the policy has rules about who rolls back, stop the plan instead: any client can cancel a workflow.
        """
        if self._run.cancel_heeded:
            return
        run, now = self._run, workflow.now()
        run.cancel_heeded = True
        undo_unapproved = run.undoing is not None and not run.approved
        who, why = "temporal", shorten(workflow.cancellation_reason() or "") or "the workflow was cancelled"
        if undo_unapproved or run.state in (State.MOCK, State.DRY_RUN, State.AWAITING_APPROVAL):
            if undo_unapproved or not run.lasting:
                decide(run, "abort", Abort(by=who, reason=why), now)
                return
            decide(run, "lock", Lock(by=who, reason=why), now)
        if run.state is State.ROLLBACK:
            return
        if asked := asked_of_rollback(run):
            refused = f"a cancelled workflow is not rolled back here, but stopped: a rollback needs a decision {asked}"
            run.record(AuditKind.REFUSED, "rollback", now, by=who, reason=shorten(refused))
            if run.state is State.LIVE:
                decide(run, "lock", Lock(by=who, reason=why), now)
        else:
            decide(run, "rollback", Rollback(by=who, reason=why), now)

    async def _run_stage(self) -> None:
        match self._run.state:
            case State.MOCK | State.DRY_RUN | State.LIVE if self._run.undoing is not None:
                await UndoRun(self._run).run()
            case State.MOCK:
                await Rehearsal(self._run).mock()
            case State.DRY_RUN:
                await Rehearsal(self._run).preview()
            case State.AWAITING_APPROVAL:
                await self._await_approval()
            case State.LIVE:
                await live(self._run, self.gates, self._display, self._full)
            case State.ROLLBACK:
                if await self.gates.enter():
                    await UndoStage(self._run, self._display.update, self._full).run()
            case State.LOCKED:
                await self._await_unlock()
            case _:
                raise AirlockError(f"no stage for {self._run.state.value}")

    async def _start_over(self) -> None:
        """Release the slots that a reset run remembers; its calls that are not live need a new preview and approval."""
        self._run.displaced = False
        # until this answers the gates may count slots of the run that was reset: nothing may go live before
        await self.gates.start_over()
        if self._run.state is State.LIVE:
            why = "the run was reset: other plans may hold its slots and claims by now"
            self._run.apply(Event.STALE, workflow.now(), reason=why)

    async def _await_unlock(self) -> None:
        """Wait in LOCKED for a decision; also return when there are slots to release that were kept so far."""
        run, later = self._run, self._run.unlock_later
        if later is not None:
            run.unlock_later = None
            decide(run, "unlock", later, workflow.now())
        holder = workflow.info().workflow_id
        await workflow.wait_condition(
            lambda: run.state is not State.LOCKED or self._full() or leave_request(run, holder) is not None
        )

    async def _await_approval(self) -> None:
        """Wait in AWAITING_APPROVAL for a decision or the expiry. No activity runs while nothing arrives."""
        run = self._run
        while True:
            await self.votes.settle()
            left = (run.expires_at - workflow.now()).total_seconds() if run.expires_at else None
            try:
                await workflow.wait_condition(
                    lambda: self._decided() or bool(run.pending_votes) or self._full(),
                    timeout=max(left, 0.001) if left is not None else None,
                    timeout_summary="the time for approval",
                )
            except TimeoutError:
                if self.votes.judging:  # an update that arrived in time waits for its verdict
                    await workflow.wait_condition(lambda: not self.votes.judging)
                # a decision may arrive in the same workflow task as the expiry: the decision counts
                if not run.pending_votes and not self._decided():
                    run.apply(Event.EXPIRED, workflow.now())
                    run.outcome = Outcome.EXPIRED
            if not run.pending_votes:
                return

    def _decided(self) -> bool:
        return self._run.state is not State.AWAITING_APPROVAL or self._run.outcome is not None

    def _report(self, state: State) -> None:
        self._outbox.stage_ended(self._run, state, workflow.info().first_execution_run_id, workflow.now())

    async def _continue_as_new_if_due(self) -> None:
        """Continue as new if the history is long. No call is in flight between stages, and no handler waits.

        A cancellation that arrived in this very workflow task is honoured first: the next run would not know of it.
        """
        if HISTORY.is_spent() and (self.votes.judging or self.amendments.waiting):
            if rehearses(self._run) and from_here_on(REHEARSED_FULL):
                return
            await workflow.wait_condition(lambda: not (self.votes.judging or self.amendments.waiting))
        if self._run.pending_votes and not self._decided():
            return  # the stage begins again and judges them: the next run would not find them in its history
        if workflow.cancellation_reason() is not None and not self._run.cancel_heeded:
            self.cancel()
            return
        run = self._run
        if not HISTORY.is_spent() or run.outcome is not None or run.state.closed:
            return
        start = PlanStart(run=run, outbox=self._outbox)
        weighed = run.admitted is not None and run.admitted.epoch >= 1
        what = "undo tokens, outputs and texts of this plan are too large together"
        why = too_large(start, MAX_STORED, what) if weighed else ""
        if not why:
            workflow.continue_as_new(start)
        # Temporal would terminate the run, with its calls live. What is live is undone in this run, however long it gets.
        self._cannot_continue = True
        if run.state is State.LIVE:
            stop_calls(run, why, workflow.now())

    def _full(self) -> bool:
        """Return True if the run should continue as new, and can."""
        return HISTORY.is_spent() and not self._cannot_continue
