"""LIVE: call what was approved, as parallel as the graph allows, and learn the outcome of every call."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, CancelledError
from temporalio.exceptions import TimeoutError as ActivityTimeout
from temporalio.workflow import ActivityHandle

with workflow.unsafe.imports_passed_through():
    from pydantic import JsonValue, TypeAdapter, ValidationError

    from airlock.activities import options
    from airlock.base.text import shorten
    from airlock.gates.answers import AcquireBusy, AcquireGranted
    from airlock.plans.outcome import (
        Attempt,
        CallFailed,
        CallInDoubt,
        CallOutcome,
        CallStale,
        CallSucceeded,
        RetryableFailure,
    )
    from airlock.plans.refs import referenced_steps
    from airlock.plans.schedule import MAX_IN_FLIGHT, Schedule
    from airlock.run.call_messages import CallRequest, ChainRequest, ChainResult
    from airlock.run.call_record import CallStatus
    from airlock.run.call_results import after_calls, take_outcomes
    from airlock.run.gate_requests import (
        all_held,
        drop_duplicates,
        fence_of,
        late_refusal,
        late_request,
        take_late,
        tool_slots,
    )
    from airlock.run.state import Run
    from airlock.workflows import commands
    from airlock.workflows.doubts import look_into_doubts
    from airlock.workflows.gate_visits import GateVisits

    _ATTEMPTS = TypeAdapter(list[Attempt])


class LiveStage:
    """One stay in LIVE. Ends when no call is running and the run is somewhere else, or must continue as new.

    Args:
        run: The plan's run.
        entrance: The gates; the run has entered by them.
        publish: Called when what people see has changed.
        full: Says whether the history is so long that the run must continue as new between calls.
    """

    def __init__(self, run: Run, entrance: GateVisits, publish: Callable[[], None], full: Callable[[], bool]) -> None:
        self._run = run
        self._entrance = entrance
        self._publish = publish
        self._full = full
        self._moves = run.moves
        self._news = False
        self._stale: list[CallStale] = []
        self._handles: dict[str, ActivityHandle[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._began = False
        self._deadline_passed = False
        self._steps = {step.id: step for step in run.steps}
        self._previews = {shown.id: shown.preview for shown in run.sealed.steps} if run.sealed else {}
        by_status = run.steps_with
        self._trouble = bool(by_status[CallStatus.FAILED] or by_status[CallStatus.IN_DOUBT])
        admitted = run.contracts()
        contracts = {step: admitted.contract(step) for step in run.approved}
        self._schedule = Schedule(
            admitted.parents,
            wanted=run.approved,
            done=run.live,
            late=[step for step, contract in contracts.items() if contract.irreversible],
            chainable=[
                step for step, contract in contracts.items() if not contract.guarded and all_held(run, self._steps[step])
            ],
            group={step: contract.tool for step, contract in contracts.items() if contract.max_concurrent is not None},
            slots=tool_slots(run),
        )

    async def go(self) -> None:
        """Make the calls, then move the run on."""
        watch = asyncio.create_task(self._watch_deadline()) if self._run.deadline_at else None
        try:
            await self._make_calls()
        finally:
            if watch is not None:
                watch.cancel()
        await look_into_doubts(self._run)
        if not (self._full() and self._may_start()):
            after_calls(
                self._run,
                self._stale,
                workflow.now(),
                deadline_passed=self._deadline_passed,
                stuck=not self._began and not self._run.displaced,
            )

    def _may_start(self) -> bool:
        """Whether another call may begin: nobody stopped the plan, nothing went wrong, nothing is in doubt."""
        return not self._stopped() and not self._trouble and workflow.cancellation_reason() is None

    def _stopped(self) -> bool:
        """Whether the plan has left LIVE, even if it has come back since, or its deadline has passed."""
        return self._run.moves != self._moves or self._deadline_passed

    async def _make_calls(self) -> None:
        while True:
            if self._may_start() and not self._full():
                self._start()
            self._run.in_flight = self._schedule.running if self._tasks else ()
            self._publish()
            if not self._tasks:
                return
            stopped = self._stopped()
            if stopped:
                self._drop()
            # without what `_woken` adds, a lock would only be noticed when the next call ends
            await workflow.wait_condition(partial(self._woken, stopped))
            self._news = False

    def _start(self) -> None:
        for chain in self._schedule.take(MAX_IN_FLIGHT - len(self._tasks)):
            self._began = True
            task = asyncio.create_task(self._call_chain(chain))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _woken(self, knew_stopped: bool) -> bool:
        return self._news or not self._tasks or (self._stopped() and not knew_stopped)

    def _drop(self) -> None:
        """Drop calls that no worker has begun, and keep chains from going on; calls in flight run to their end."""
        handles, self._handles = self._handles, {}
        for handle in handles.values():
            handle.cancel()

    def _land(self, outcome: CallOutcome) -> None:
        """Take in how a call ended, at once: the next call of its chain may read what it returned."""
        take_outcomes(self._run, [outcome], workflow.now())
        self._news = True
        if isinstance(outcome, CallStale):
            self._stale.append(outcome)
            self._trouble = True
        elif self._run.calls[outcome.step].status is CallStatus.LIVE and not self._run.calls[outcome.step].broken:
            self._schedule.finish(outcome.step)
        else:
            self._trouble = True

    async def _call_chain(self, chain: tuple[str, ...]) -> None:
        """Call a chain; where a call may be repeated, go on with what is left of it, one attempt after the other."""
        left, attempt, doubtful = list(chain), 1, False
        again: RetryableFailure | None = None
        if not await self._may_call(chain[0]):
            return
        while left:
            attempts = await self._attempt(left, attempt, again.undo if again else None)
            for made in attempts:
                if isinstance(made, RetryableFailure):
                    break
                self._land(self._settled(made, doubtful, again))
                left.remove(made.step)
                attempt, doubtful, again = 1, False, None
            if any(not isinstance(made, CallSucceeded | RetryableFailure) for made in attempts):
                return
            last = attempts[-1] if attempts else None
            if isinstance(last, RetryableFailure) and last.turned_away:  # nobody was asked: no attempt was used up
                await self._pause(timedelta(seconds=max(last.after, 1.0)), last.step)
            elif isinstance(last, RetryableFailure):
                again, doubtful = last, doubtful or last.doubtful
                await self._pause(options.backoff(attempt, last.after), last.step)
                attempt += 1
            if not attempts or not self._may_start():
                break
        if again is not None:
            self._land(self._given_up(again, doubtful))

    async def _may_call(self, step: str) -> bool:
        """Get what a call needs that was not known at the entry, without waiting for it; False when it cannot be made."""
        request = late_request(self._run, workflow.info().workflow_id, self._steps[step])
        if request is None:
            return True
        result = await self._entrance.acquire(request)
        take_late(self._run, result)
        # version 0.1 looked for `busy` only: where the gate was locked, it made the call without its slot and its claim
        if (why := late_refusal(result)) and (
            isinstance(result, AcquireBusy) or workflow.patched("late-call-needs-its-grant")
        ):
            self._land(CallStale(step=step, error=why))
            return False
        if isinstance(result, AcquireGranted) and result.duplicates:
            drop_duplicates(self._run, result.duplicates, workflow.now())
            self._schedule.drop(step)
            self._news = True
            return False
        return self._may_start()

    async def _pause(self, pause: timedelta, step: str) -> None:
        """Wait before another attempt, unless the plan stops meanwhile."""
        with suppress(asyncio.TimeoutError):
            await workflow.wait_condition(
                lambda: not self._may_start(), timeout=pause, timeout_summary=f"before {step} is tried again"
            )

    async def _attempt(self, steps: list[str], attempt: int, undo: JsonValue) -> list[Attempt]:
        """One activity for some steps in order; the attempts that are known, fewer when the rest was not begun."""
        requests = [self._request(step, steps) for step in steps]
        requests[0] = requests[0].model_copy(update={"attempt": attempt, "undo": requests[0].undo if undo is None else undo})
        info = workflow.info()
        handle = commands.call(
            ChainRequest(
                plan_id=self._run.plan.plan_id,
                calls=tuple(requests),
                run_id=info.run_id,
                first_run_id=self._run.reset_from or info.run_id,
            )
        )
        self._handles[steps[0]] = handle
        try:
            result = await handle
        except ActivityError as error:
            return self._lost(error, requests)
        except asyncio.CancelledError:
            return []  # dropped before the command was even sent
        finally:
            self._handles.pop(steps[0], None)
        return self._checked(result, requests)

    def _checked(self, result: Any, requests: list[CallRequest]) -> list[Attempt]:
        """The attempts of an answer; one that is not what a worker answers puts all of its calls in doubt."""
        try:
            answered = ChainResult.model_validate(result)
        except ValidationError:
            answered = ChainResult()
        steps = [made.step for made in answered.attempts]
        if steps == [asked.step.id for asked in requests[: len(steps)]] and (steps or answered.stopped):
            return list(answered.attempts)
        text = "its activity was answered with something no worker of Airlock answers"
        return [CallInDoubt(step=asked.step.id, error=text, token_lost=True) for asked in requests]

    def _lost(self, error: ActivityError, requests: list[CallRequest]) -> list[Attempt]:
        """What is known of a chain whose activity did not answer."""
        if isinstance(error.cause, CancelledError):
            return []  # dropped before a worker began it: it is tried once only, so it was certainly not made
        if not isinstance(error.cause, ActivityTimeout):  # it broke, or somebody failed it by hand: nothing is known of any
            text = shorten(f"the activity failed: {error.cause}")
            return [CallInDoubt(step=asked.step.id, error=text, token_lost=True) for asked in requests]
        details = error.cause.last_heartbeat_details
        made: list[Attempt] = _ATTEMPTS.validate_python(details[0]) if details else []
        if len(made) == len(requests) or (made and not isinstance(made[-1], CallSucceeded)):
            return made
        lost = requests[len(made)]
        text = shorten(f"its worker is gone or did not answer in time: {error.cause}")
        if not lost.last_attempt:
            # a worker that was only cut off may still be at it: wait until its own timeout has ended the call
            harmless = lost.contract.read_only or lost.contract.idempotent
            pause = 0.0 if harmless else lost.contract.timeout
            doubtful = not lost.contract.read_only
            return [
                *made,
                RetryableFailure(
                    step=lost.step.id, error=text, doubtful=doubtful, undo=lost.undo, after=pause,
                    token_lost=doubtful and lost.undo is None,
                ),
            ]  # fmt: skip
        if lost.contract.read_only:
            return [*made, CallFailed(step=lost.step.id, error=text, attempt=lost.attempt)]
        return [*made, CallInDoubt(step=lost.step.id, error=text, undo=lost.undo, token_lost=lost.undo is None)]

    def _settled(self, made: CallOutcome, doubtful: bool, again: RetryableFailure | None) -> CallOutcome:
        """An attempt as the outcome of its call: a failure after a doubtful attempt does not settle the doubt.

        Nor does a stale state after any attempt that may have written: it may itself be what moved.
        """
        if isinstance(made, CallFailed | CallStale):
            unsure = again is not None and not again.certain and isinstance(made, CallStale)
            if doubtful or unsure:
                undo = made.undo if isinstance(made, CallFailed) else again.undo if again else None
                text = shorten(f"an earlier attempt may have taken effect; then: {made.error}")
                return CallInDoubt(step=made.step, error=text, undo=undo)
        return made

    def _given_up(self, last: RetryableFailure, doubtful: bool) -> CallOutcome:
        if doubtful:
            return CallInDoubt(step=last.step, error=last.error, undo=last.undo, token_lost=last.token_lost)
        return CallFailed(step=last.step, error=last.error, undo=last.undo)

    def _request(self, step_id: str, chain: list[str]) -> CallRequest:
        run, admitted = self._run, self._run.contracts()
        step = self._steps[step_id]
        before = run.calls.get(step_id)
        read = [name for name in referenced_steps(step.args) if name not in chain and name in run.outputs]
        return CallRequest(
            step=step,
            contract=admitted.contract(step_id),
            preview=self._previews.get(step_id),
            outputs={name: run.outputs[name] for name in read},
            undone=before.undone if before else 0,
            undo=before.undo if before else None,
            fence=fence_of(run, step),
        )

    async def _watch_deadline(self) -> None:
        deadline = self._run.deadline_at
        if deadline is None:
            return
        left = (deadline - workflow.now()).total_seconds()
        if left > 0:
            await workflow.sleep(left, summary="the plan's deadline")
        self._deadline_passed = True
