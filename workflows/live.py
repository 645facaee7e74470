"""LIVE: make the approved calls, as parallel as the graph allows, and record the outcome of every call."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError
from temporalio.workflow import ActivityHandle

with workflow.unsafe.imports_passed_through():
    from pydantic import JsonValue

    from airlock.activities import options
    from airlock.gates.answers import AcquireBusy, AcquireGranted
    from airlock.plans.outcome import (
        Attempt,
        CallOutcome,
        CallStale,
        CallSucceeded,
        CallUnpermitted,
        RetryableFailure,
    )
    from airlock.plans.schedule import MAX_IN_FLIGHT, Schedule
    from airlock.run.audit import AuditKind
    from airlock.run.call_record import CallStatus
    from airlock.run.decisions.approval_age import too_old
    from airlock.run.decisions.entry import take_no_worker, take_turned_away
    from airlock.run.handed_back import SINCE_EPOCH, HandedBack, asked_since
    from airlock.run.live.call_messages import CallRequest
    from airlock.run.live.call_results import after_calls, take_outcomes
    from airlock.run.live.gate_reactions import drop_duplicates, late_refusal, take_late
    from airlock.run.live.gate_requests import all_held, held_names, late_request, tool_slots
    from airlock.run.live.last_attempt import final_outcome, outcome_of_last_retry
    from airlock.run.live.load import Load, weight
    from airlock.run.live.opening import Opening
    from airlock.run.own_steps import wanted_states
    from airlock.run.state import Run
    from airlock.workflows import commands
    from airlock.workflows.answers import NoAnswer, answered, never_begun
    from airlock.workflows.call_requests import call_request, chain_request, new_fence
    from airlock.workflows.chain_attempts import all_in_doubt, attempts_in, not_begun_in_time
    from airlock.workflows.gate_visits import GateVisits
    from airlock.workflows.patches import LATE_GRANT, patched
    from airlock.workflows.probes import probe_calls_in_doubt
    from airlock.workflows.unbegun import Unbegun


class LiveStage:
    """The LIVE stage of a run, from entry to exit.

    It ends when no call is in flight, and the run has left LIVE or must continue as new.

    Args:
        run: The plan's run.
        gates: The gates that granted this run its slots.
        publish: Called after each change that `status`, details or search attributes show.
        full: Returns True when the history is so long that the run must continue as new between calls.
        held: The names of what the run will hold; by default of what it holds.
    """

    def __init__(
        self, run: Run, gates: GateVisits, publish: Callable[[], None], full: Callable[[], bool],
        held: frozenset[str] | None = None,
    ) -> None:  # fmt: skip
        self._run = run
        self._gates = gates
        self._publish = publish
        self._full = full
        self._moves = run.moves
        self._changed = False
        self._stale: list[CallStale] = []
        self._handles: dict[str, ActivityHandle[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._started_any = False
        self._deadline_passed = False
        self._aged = ""
        self._turned_away = ""
        self._handed_back = HandedBack(run)
        self._unbegun = Unbegun(run)
        self._opened: tuple[str, ...] = ()
        self._first: list[Attempt] = []
        self._steps = {step.id: step for step in run.steps}
        self._shown = {shown.id: shown for shown in run.sealed.steps} if run.sealed else {}
        self._wanted = wanted_states(self._shown.values())
        by_status = run.steps_with
        self._trouble = bool(by_status[CallStatus.FAILED] or by_status[CallStatus.IN_DOUBT])
        admitted = run.contracts()
        self._load = Load(self._weight, bounded=admitted.epoch >= 1)
        contracts = {step: admitted.contract(step) for step in run.approved}
        held = held_names(run) if held is None else held
        self._schedule = Schedule(
            admitted.parents,
            wanted=run.approved,
            done=run.live,
            late=[step for step, contract in contracts.items() if contract.irreversible],
            chainable=[
                step
                for step, contract in contracts.items()
                if not contract.guarded and all_held(run, self._steps[step], held)
            ],
            group={step: contract.tool for step, contract in contracts.items() if contract.max_concurrent is not None},
            slots=tool_slots(run),
        )

    async def run(self, opening: Opening | None = None) -> None:
        """Make the calls, then advance the run to its next state.

        Args:
            opening: The attempts at the calls that `begin` returned; the stage goes on after them.
        """
        if opening is not None:
            self._go_on(opening)
        watch = asyncio.create_task(self._watch_deadline()) if self._run.deadline_at else None
        try:
            await self._make_calls()
        finally:
            if watch is not None:
                watch.cancel()
        await probe_calls_in_doubt(self._run)
        if not (self._full() and self._may_start()):
            now = workflow.now()
            after_calls(
                self._run,
                self._stale,
                now,
                deadline_passed=self._deadline_passed,
                aged=self._aged or too_old(self._run, now),
                stuck=not self._started_any and not self._run.displaced,
            )
        if self._turned_away and not self._stopped():
            await self._renew()

    async def _renew(self) -> None:
        """Let the run enter LIVE again, where its approval is examined; wait first if that did not help before."""
        take_turned_away(self._run, self._turned_away, workflow.now())
        if self._run.renewals > 1 and not self._stopped():
            pause = timedelta(seconds=2**self._run.renewals)
            with suppress(asyncio.TimeoutError):
                await workflow.wait_condition(self._stopped, timeout=pause, timeout_summary="before LIVE is entered again")

    def _go_on(self, opening: Opening) -> None:
        if not isinstance(opening.answer, AcquireGranted) or not opening.answer.receipt:
            # its worker is gone, or the gates have closed since: what remains needs another entry
            self._turned_away = "the worker that entered LIVE is gone"
        self._first = opening.attempts
        self._add(self._opened)

    def _may_start(self) -> bool:
        """Return True while another call may begin: the approval is valid, and no stop, failure or doubt is known."""
        if self._stopped() or self._trouble or self._turned_away or workflow.cancellation_reason() is not None:
            return False
        self._aged = self._aged or too_old(self._run, workflow.now())
        return not self._aged

    def _stopped(self) -> bool:
        """Return True once the plan has left LIVE, even if it came back since, or its deadline has passed."""
        return self._run.moves != self._moves or self._deadline_passed

    async def _make_calls(self) -> None:
        while True:
            if self._may_start() and not self._full():
                self._start()
            self._run.in_flight = self._schedule.running if self._tasks else ()
            if not self._tasks:
                return
            if not self._first:  # the calls that opened the stay are still to be recorded, and may be all there are
                self._publish()
            stopped = self._stopped()
            if stopped:
                self._drop()
            # a lock must wake this loop too: otherwise it would drop waiting calls only when the next call ends
            await workflow.wait_condition(partial(self._should_wake, stopped))
            self._changed = False

    def _start(self) -> None:
        limit = MAX_IN_FLIGHT - len(self._tasks)
        for chain in self._schedule.take(limit, self._load.take):
            self._add(chain)

    def _add(self, chain: tuple[str, ...]) -> None:
        self._started_any = True
        task = asyncio.create_task(self._call_chain(chain))
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, chain))

    def _ended(self, chain: tuple[str, ...], task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._load.drop(chain)

    def _weight(self, step: str) -> int:
        # the latest token, which is as long as the next one: to weigh a call begins no attempt
        return weight(call_request(self._run, self._steps[step], self._shown.get(step), (), self._run.fence))

    def _should_wake(self, knew_stopped: bool) -> bool:
        return self._changed or not self._tasks or (self._stopped() and not knew_stopped)

    def _drop(self) -> None:
        """Cancel calls that no worker has begun, and end chains after their current call."""
        handles, self._handles = self._handles, {}
        for handle in handles.values():
            handle.cancel()

    def _record_outcome(self, outcome: CallOutcome) -> None:
        """Record the outcome immediately: later calls of the chain may read its output."""
        take_outcomes(self._run, [outcome], workflow.now())
        self._changed = True
        if isinstance(outcome, CallStale):
            self._stale.append(outcome)
            self._trouble = True
        elif self._run.calls[outcome.step].status is CallStatus.LIVE and not self._run.calls[outcome.step].broken:
            self._schedule.finish(outcome.step)
        else:
            self._trouble = True

    async def _call_chain(self, chain: tuple[str, ...]) -> None:
        """Make the calls of a chain in order, and retry the calls whose contract allows it."""
        remaining, attempt, doubtful = list(chain), 1, False
        retry: RetryableFailure | None = None
        if not self._first and not await self._may_call(chain[0]):
            return
        while remaining:
            attempts = self._made(await self._attempt(remaining, attempt, retry.undo if retry else None))
            for made in attempts:
                if isinstance(made, RetryableFailure):
                    break
                self._record_outcome(final_outcome(made, doubtful, retry, attempt))
                remaining.remove(made.step)
                attempt, doubtful, retry = 1, False, None
            if any(not isinstance(made, CallSucceeded | RetryableFailure) for made in attempts):
                return
            last = attempts[-1] if attempts else None
            if isinstance(last, RetryableFailure) and last.turned_away:  # the tool was not called: no attempt was used
                await self._wait_turn(last)
            elif isinstance(last, RetryableFailure):
                retry, doubtful = last, doubtful or last.doubtful
                await self._pause(options.backoff(attempt, last.after), last.step)
                attempt += 1
            if not attempts or not self._may_go_on(attempted=retry is not None):
                break
        if retry is not None:
            stopped = self._aged or self._turned_away or self._handed_back.ended
            self._record_outcome(outcome_of_last_retry(retry, doubtful, stopped, attempt - 1))

    def _may_go_on(self, *, attempted: bool) -> bool:
        """Return True while a chain may ask for its next call; `attempted` if that call was attempted before."""
        # questions that are handed back fill the history: where no attempt is open, the run that continues this one asks on
        return self._may_start() and not (not attempted and asked_since(self._run) is not None and self._full())

    async def _wait_turn(self, call: RetryableFailure) -> None:
        """Wait until a call that was turned away may be asked for again; lock the plan if no worker has its contract."""
        if not call.elsewhere or self._run.contracts().epoch < SINCE_EPOCH:
            await self._pause(timedelta(seconds=max(call.after, 1.0)), call.step)
            return
        pause = self._handed_back.take(call, workflow.now())
        if not self._handed_back.ended:
            await self._pause(pause, call.step)
        elif not self._stopped():
            # locked at once, before an outcome of this chain is judged: what is live must not be undone for this
            take_no_worker(self._run, self._handed_back.ended, workflow.now())

    def _made(self, attempts: list[Attempt]) -> list[CallOutcome | RetryableFailure]:
        """Return the attempts without the call that was turned away; after one the stage ends, and LIVE is entered again."""
        made: list[CallOutcome | RetryableFailure] = []
        for attempt in attempts:
            if isinstance(attempt, CallUnpermitted):
                self._turned_away, self._changed = attempt.error, True
                self._run.record(AuditKind.CALL, "turned_away", workflow.now(), step=attempt.step, reason=attempt.error)
                break
            made.append(attempt)
        return made

    async def _may_call(self, step: str) -> bool:
        """Acquire, without queueing, the slots that were unknown at entry. Return False if the call must not begin."""
        request = late_request(self._run, workflow.info().workflow_id, self._steps[step])
        if request is None:
            return True
        # a lock or a failure of another call may arrive while the gates answer: `_may_start` is asked again below
        result = await self._gates.acquire(request)
        take_late(self._run, result)
        if (why := late_refusal(result)) and (isinstance(result, AcquireBusy) or patched(LATE_GRANT)):
            self._record_outcome(CallStale(step=step, error=why))
            return False
        if isinstance(result, AcquireGranted) and result.duplicates:
            drop_duplicates(self._run, result.duplicates, workflow.now())
            self._schedule.drop(step)
            self._changed = True
            return False
        return self._may_start()

    async def _pause(self, pause: timedelta, step: str) -> None:
        """Wait before the next attempt; return early when the plan stops."""
        with suppress(asyncio.TimeoutError):
            await workflow.wait_condition(
                lambda: not self._may_start(), timeout=pause, timeout_summary=f"before {step} is tried again"
            )

    async def _attempt(self, steps: list[str], attempt: int, undo: JsonValue) -> list[Attempt]:
        """Make one attempt at some steps, and record an attempt whose code may still be running."""
        attempts, self._first = self._first, []
        self._changed = self._changed or bool(attempts)
        attempts = attempts or await self._make(steps, attempt, undo)
        for made in attempts:
            if isinstance(made, RetryableFailure) and made.lost:
                self._run.lose(made.step)
        return attempts

    async def _make(self, steps: list[str], attempt: int, undo: JsonValue) -> list[Attempt]:
        """Run one activity for some steps, in order. Return the known attempts; steps without one were never begun."""
        requests = self._requests(steps)
        requests[0] = requests[0].model_copy(update={"attempt": attempt, "undo": requests[0].undo if undo is None else undo})
        handle = commands.call(chain_request(self._run, requests), before=self._run.approved_until)
        self._handles[steps[0]] = handle
        try:
            result = await answered(handle)
        except ActivityError as error:
            if never_begun(error) and (why := await self._unbegun.doubt(requests)):
                return all_in_doubt(requests, why)
            if not_begun_in_time(error):
                self._aged = self._aged or "no worker began the call while the approval was valid: approve it again"
                return []
            return await self._unbegun.after_failure(error, requests)
        except NoAnswer as error:
            return all_in_doubt(requests, str(error))
        except asyncio.CancelledError:
            return []  # cancelled before the command was even sent
        finally:
            self._handles.pop(steps[0], None)
        return attempts_in(result, requests)

    def _requests(self, steps: Sequence[str]) -> list[CallRequest]:
        run, by_id = self._run, self._steps
        return [
            call_request(
                run, by_id[step], self._shown.get(step), steps, new_fence(run, by_id[step]), self._wanted.get(step, ())
            )
            for step in steps
        ]

    def begin(self) -> list[CallRequest]:
        """Return the requests for the calls that alone may start now, which start the stage; empty if there are none."""
        self._opened = self._schedule.only(self._load.take) if self._may_start() else ()
        return self._requests(self._opened)

    async def _watch_deadline(self) -> None:
        deadline = self._run.deadline_at
        if deadline is None:
            return
        left = (deadline - workflow.now()).total_seconds()
        if left > 0:
            await workflow.sleep(left, summary="the plan's deadline")
        self._deadline_passed = True
