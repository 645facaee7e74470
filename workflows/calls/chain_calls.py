"""The calls of chains in LIVE: each chain in order, with the retries that its contracts allow."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
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
        CallInDoubt,
        CallOutcome,
        CallStale,
        CallSucceeded,
        CallUnpermitted,
        RetryableFailure,
    )
    from airlock.plans.schedule import Schedule
    from airlock.run.audit import AuditKind
    from airlock.run.call_record import CallStatus
    from airlock.run.decisions.entry import take_no_worker
    from airlock.run.displacement import lose
    from airlock.run.handed_back import SINCE_EPOCH, HandedBack, asked_since
    from airlock.run.live.call_messages import CallRequest
    from airlock.run.live.call_results import take_outcomes
    from airlock.run.live.gate_reactions import drop_duplicates, late_refusal, take_late
    from airlock.run.live.gate_requests import late_request
    from airlock.run.live.last_attempt import final_outcome, outcome_of_last_retry
    from airlock.run.live.load import weight
    from airlock.run.own_steps import wanted_states
    from airlock.run.state import Run
    from airlock.workflows import commands
    from airlock.workflows.answers import NoAnswer, answered, never_begun
    from airlock.workflows.calls.call_requests import call_request, chain_request, new_fence
    from airlock.workflows.calls.chain_attempts import all_in_doubt, attempts_in, not_begun_in_time
    from airlock.workflows.calls.gate_visits import GateVisits
    from airlock.workflows.calls.stay import Stay
    from airlock.workflows.calls.unbegun import Unbegun
    from airlock.workflows.patches import LATE_GRANT, patched


class ChainCalls:
    """Live calls of one stay, and the record of their outcomes.

    Args:
        run: The plan's run.
        stay: Whether another call may begin.
        schedule: Learns which steps have ended.
        gates: The gates that granted this run its slots.
        full: Returns True when the history is so long that the run must continue as new between calls.
    """

    def __init__(self, run: Run, stay: Stay, schedule: Schedule, gates: GateVisits, full: Callable[[], bool]) -> None:
        self._run = run
        self._stay = stay
        self._schedule = schedule
        self._gates = gates
        self._full = full
        self.changed = False
        """True once something has changed that may let another call begin, or that people are shown."""
        self.stale: list[CallStale] = []
        self.opening: list[Attempt] = []
        """The attempts at the calls that opened the stay, until they are recorded."""
        self._handles: dict[str, ActivityHandle[Any]] = {}
        self._handed_back = HandedBack(run)
        self._unbegun = Unbegun(run)
        self._steps = stay.steps
        self._shown = {shown.id: shown for shown in run.sealed.steps} if run.sealed else {}
        self._wanted = wanted_states(self._shown.values())

    async def make(self, chain: tuple[str, ...]) -> None:
        """Make the calls of a chain in order, and retry the calls whose contract allows it."""
        remaining, attempt, doubtful = list(chain), 1, False
        retry: RetryableFailure | None = None
        behind: dict[str, CallInDoubt] = {}
        if not self.opening and not await self._may_call(chain[0]):
            return
        while remaining:
            attempts = self._made(await self._attempt(remaining, attempt, retry.undo if retry else None))
            known, last, rest = _parts(attempts)
            for made in known:
                unsure = doubtful or made.step in behind
                self._record_outcome(final_outcome(made, unsure, retry, attempt))
                remaining.remove(made.step)
                attempt, doubtful, retry = 1, False, None
            if any(not isinstance(made, CallSucceeded) for made in known):
                break
            behind |= self._lost_behind(rest)
            if last is not None and last.turned_away:  # the tool was not called: no attempt was used
                await self._wait_turn(last)
            elif last is not None:
                retry, doubtful = last, doubtful or last.doubtful or last.step in behind
                await self._stay.pause(options.backoff(attempt, last.after), last.step)
                attempt += 1
            if not attempts or not self._may_go_on(attempted=retry is not None):
                break
        if retry is not None:
            stopped = self._stay.aged or self._stay.turned_away or self._handed_back.ended
            self._record_outcome(outcome_of_last_retry(retry, doubtful, stopped, attempt - 1))
            remaining.remove(retry.step)
        for step in [step for step in remaining if step in behind]:
            self._record_outcome(behind[step])

    def drop(self) -> None:
        """Cancel calls that no worker has begun, and end chains after their current call."""
        handles, self._handles = self._handles, {}
        for handle in handles.values():
            handle.cancel()

    def weight(self, step: str) -> int:
        """Return the size of the request for a step's call."""
        # the latest token, which is as long as the next one: to weigh a call begins no attempt
        return weight(call_request(self._run, self._steps[step], self._shown.get(step), (), self._run.fence))

    def requests(self, steps: Sequence[str]) -> list[CallRequest]:
        """Return the requests for the calls of a chain, each with a fencing token of its own."""
        run, by_id = self._run, self._steps
        return [
            call_request(
                run, by_id[step], self._shown.get(step), steps, new_fence(run, by_id[step]), self._wanted.get(step, ())
            )
            for step in steps
        ]

    def _record_outcome(self, outcome: CallOutcome) -> None:
        """Record the outcome immediately: later calls of the chain may read its output."""
        take_outcomes(self._run, [outcome], workflow.now())
        self.changed = True
        if isinstance(outcome, CallStale):
            self.stale.append(outcome)
            self._stay.trouble = True
        elif self._run.calls[outcome.step].status is CallStatus.LIVE and not self._run.calls[outcome.step].broken:
            self._schedule.finish(outcome.step)
        else:
            self._stay.trouble = True

    def _lost_behind(self, attempts: Sequence[CallOutcome | RetryableFailure]) -> dict[str, CallInDoubt]:
        """Return the doubts about calls behind one that is made again: made again too, unless the chain ends before."""
        doubts = {made.step: made for made in attempts if isinstance(made, CallInDoubt)}
        for step in doubts:
            lose(self._run, step)
        return doubts

    def _may_go_on(self, *, attempted: bool) -> bool:
        """Return True while a chain may ask for its next call; `attempted` if that call was attempted before."""
        # questions that are handed back fill the history: where no attempt is open, the run that continues this one asks on
        return self._stay.may_start() and not (not attempted and asked_since(self._run) is not None and self._full())

    async def _wait_turn(self, call: RetryableFailure) -> None:
        """Wait until a call that was turned away may be asked for again; lock the plan if no worker has its contract."""
        if not call.elsewhere or self._run.contracts().epoch < SINCE_EPOCH:
            await self._stay.pause(timedelta(seconds=max(call.after, 1.0)), call.step)
            return
        pause = self._handed_back.take(call, workflow.now())
        if not self._handed_back.ended:
            await self._stay.pause(pause, call.step)
        elif not self._stay.stopped():
            # locked at once, before an outcome of this chain is judged: what is live must not be undone for this
            take_no_worker(self._run, self._handed_back.ended, workflow.now())

    def _made(self, attempts: list[Attempt]) -> list[CallOutcome | RetryableFailure]:
        """Return the attempts without the call that was turned away; after one the stage ends, and LIVE is entered again."""
        made: list[CallOutcome | RetryableFailure] = []
        for attempt in attempts:
            if isinstance(attempt, CallUnpermitted):
                self._stay.turned_away, self.changed = attempt.error, True
                self._run.record(AuditKind.CALL, "turned_away", workflow.now(), step=attempt.step, reason=attempt.error)
                break
            made.append(attempt)
        return made

    async def _may_call(self, step: str) -> bool:
        """Acquire, without queueing, the slots that were unknown at entry. Return False if the call must not begin."""
        request = late_request(self._run, workflow.info().workflow_id, self._steps[step])
        if request is None:
            return True
        # a lock or a failure of another call may arrive while the gates answer: `may_start` is asked again below
        result = await self._gates.acquire(request)
        take_late(self._run, result)
        if (why := late_refusal(result)) and (isinstance(result, AcquireBusy) or patched(LATE_GRANT)):
            self._record_outcome(CallStale(step=step, error=why))
            return False
        if isinstance(result, AcquireGranted) and result.duplicates:
            drop_duplicates(self._run, result.duplicates, workflow.now())
            self._schedule.drop(step)
            self.changed = True
            return False
        return self._stay.may_start()

    async def _attempt(self, steps: list[str], attempt: int, undo: JsonValue) -> list[Attempt]:
        """Make one attempt at some steps, and record an attempt whose code may still be running."""
        attempts, self.opening = self.opening, []
        self.changed = self.changed or bool(attempts)
        attempts = attempts or await self._run_activity(steps, attempt, undo)
        for made in attempts:
            if isinstance(made, RetryableFailure) and made.lost:
                lose(self._run, made.step)
        return attempts

    async def _run_activity(self, steps: list[str], attempt: int, undo: JsonValue) -> list[Attempt]:
        """Run one activity for some steps, in order. Return the known attempts; steps without one were never begun."""
        requests = self.requests(steps)
        requests[0] = requests[0].model_copy(update={"attempt": attempt, "undo": requests[0].undo if undo is None else undo})
        handle = commands.call(chain_request(self._run, requests), before=self._run.approved_until)
        self._handles[steps[0]] = handle
        try:
            result = await answered(handle)
        except ActivityError as error:
            if never_begun(error) and (why := await self._unbegun.doubt(requests)):
                return all_in_doubt(requests, why)
            if not_begun_in_time(error):
                self._stay.aged = (
                    self._stay.aged or "no worker began the call while the approval was valid: approve it again"
                )
                return []
            return await self._unbegun.after_failure(error, requests)
        except NoAnswer as error:
            return all_in_doubt(requests, str(error))
        except asyncio.CancelledError:
            return []  # cancelled before the command was even sent
        finally:
            self._handles.pop(steps[0], None)
        return attempts_in(result, requests)


def _parts(
    attempts: Sequence[CallOutcome | RetryableFailure],
) -> tuple[list[CallOutcome], RetryableFailure | None, Sequence[CallOutcome | RetryableFailure]]:
    """Return the outcomes of a chain, the call that may be made again, if any, and what is said of the calls behind it."""
    known: list[CallOutcome] = []
    for number, made in enumerate(attempts):
        if isinstance(made, RetryableFailure):
            return known, made, attempts[number + 1 :]
        known.append(made)
    return known, None, ()
