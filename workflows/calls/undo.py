"""ROLLBACK: compensate live calls in reverse dependency order; park the plan where a compensation fails."""

import asyncio
from collections.abc import Callable
from functools import partial

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from airlock.base.text import shorten
    from airlock.plans.outcome import UndoFailed, UndoOutcome
    from airlock.plans.parents import reversed_parents
    from airlock.plans.schedule import MAX_IN_FLIGHT, Schedule
    from airlock.plans.state import State
    from airlock.run.call_record import CallStatus
    from airlock.run.live.call_results import after_rollback, keep, take_undo
    from airlock.run.live.load import Load, weight
    from airlock.run.state import Run
    from airlock.run.undo_scope import steps_to_undo
    from airlock.workflows import commands
    from airlock.workflows.answers import NoAnswer, answered
    from airlock.workflows.calls.call_requests import made_call, undo_request
    from airlock.workflows.calls.probes import probe_calls_in_doubt


class UndoStage:
    """The ROLLBACK stage of a run.

    It ends when no compensation is in flight, and the run has left ROLLBACK or must continue as new.

    Args:
        run: The plan's run.
        publish: Called after each change that `status`, details or search attributes show.
        full: Returns True when the history is so long that the run must continue as new.
    """

    def __init__(self, run: Run, publish: Callable[[], None], full: Callable[[], bool]) -> None:
        self._run = run
        self._publish = publish
        self._full = full
        self._moves = run.moves
        self._outcomes: list[UndoOutcome] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._wanted: tuple[str, ...] = ()
        self._schedule = Schedule({}, wanted=())
        self._load = Load(self._weight, bounded=run.contracts().epoch >= 1)

    async def run(self) -> None:
        """Compensate the calls, then advance the run to its next state."""
        await probe_calls_in_doubt(self._run)
        self._wanted = steps_to_undo(self._run)
        parents = reversed_parents(self._run.contracts().parents)
        # a call in doubt may have to be undone before its parents: these stay until an operator settles it
        waiting = {*self._wanted, *self._run.steps_with[CallStatus.IN_DOUBT]}
        self._schedule = Schedule(parents, wanted=self._wanted, done=set(parents) - waiting)
        while True:
            if self._may_start():
                self._start()
            self._run.in_flight = self._schedule.running if self._tasks else ()
            self._publish()
            if not self._tasks:
                break
            await workflow.wait_condition(lambda: bool(self._outcomes) or not self._tasks)
            self._record_outcomes()
        if not self._full() or self._run.parked or not self._remains_any():
            after_rollback(self._run, workflow.now())

    def _may_start(self) -> bool:
        return self._run.state is State.ROLLBACK and self._run.moves == self._moves and not self._full()

    def _remains_any(self) -> bool:
        return bool(set(steps_to_undo(self._run)).intersection(self._wanted))

    def _start(self) -> None:
        while chains := self._schedule.take(MAX_IN_FLIGHT - len(self._tasks), self._load.take):
            for (step,) in chains:
                if self._needs_no_compensation(step):
                    self._schedule.finish(step)
                    self._load.drop((step,))
                else:
                    task = asyncio.create_task(self._undo(step))
                    self._tasks.add(task)
                    task.add_done_callback(partial(self._ended, step))

    def _weight(self, step: str) -> int:
        return weight(made_call(self._run, step))

    def _ended(self, step: str, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._load.drop((step,))

    def _needs_no_compensation(self, step: str) -> bool:
        """Return True if a step needs no compensation: it only read, failed before it wrote, or is irreversible."""
        record = self._run.calls[step]
        contract = self._run.contracts().contract(step)
        if contract.undoable:
            return record.status is CallStatus.FAILED and record.undo is None
        if contract.irreversible and record.status is CallStatus.LIVE:
            keep(self._run, step, workflow.now())
        return True

    async def _undo(self, step_id: str) -> None:
        record = self._run.calls[step_id]
        if record.token_lost and record.undo is None:
            error = "its undo token was lost with its worker: undo it by hand, or retry if the tool needs no token"
            self._outcomes.append(UndoFailed(step=step_id, error=error))
            return
        try:
            # the compensation may have taken effect however this await ends; it is safe to repeat
            outcome: UndoOutcome = await answered(commands.compensate(undo_request(self._run, step_id)))
        except ActivityError as error:
            outcome = UndoFailed(step=step_id, error=shorten(f"no answer from its worker: {error.cause}"))
        except NoAnswer as error:
            outcome = UndoFailed(step=step_id, error=f"{error}; it may have been undone: look, then settle it")
        self._outcomes.append(outcome)

    def _record_outcomes(self) -> None:
        outcomes, self._outcomes = self._outcomes, []
        for outcome in outcomes:
            take_undo(self._run, outcome, workflow.now())
            if self._run.calls[outcome.step].status is CallStatus.UNDONE:
                self._schedule.finish(outcome.step)
