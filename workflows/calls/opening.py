"""The opening of a stay in LIVE: the entry at the gates and the first calls in one activity (docs/adr/0011)."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from pydantic import ValidationError

    from airlock.admission.admitted import DEADLINE_EPOCH
    from airlock.gates.answers import AcquireGranted, AcquireResult
    from airlock.plans.outcome import Attempt, RetryableFailure
    from airlock.run.decisions.entry import take_permit
    from airlock.run.decisions.evidence import EntryRequest
    from airlock.run.live.call_messages import CallRequest, ChainResult
    from airlock.run.live.gate_reactions import take_late, take_wait
    from airlock.run.live.gate_requests import entry_request, last_begin
    from airlock.run.live.opening import BEGUN_WITHIN, Opening, keep_fence, may_open
    from airlock.run.state import Run
    from airlock.run.stored import MAX_STORED, stored_size
    from airlock.workflows import commands
    from airlock.workflows.answers import NoAnswer, answered, never_begun
    from airlock.workflows.calls.call_requests import chain_request
    from airlock.workflows.calls.chain_attempts import all_in_doubt, attempts_in
    from airlock.workflows.calls.gate_visits import GateVisits
    from airlock.workflows.calls.live import LiveStage
    from airlock.workflows.calls.unbegun import Unbegun
    from airlock.workflows.plan_display import PlanDisplay


async def live(run: Run, gates: GateVisits, display: PlanDisplay, full: Callable[[], bool]) -> None:
    """Carry out a stay in LIVE, from its entry to its exit.

    Args:
        run: The plan's run.
        gates: Its visits at gates.
        display: Its public view.
        full: Returns True when the history is so long that the run must continue as new between calls.
    """
    if run.contracts().epoch >= DEADLINE_EPOCH and gates.too_late():
        return
    stage, opening = await _opened(run, gates, display, full)
    if stage is None:
        display.update()
        if not await gates.enter(opening):
            return
        stage, opening = LiveStage(run, gates, display.update, full), None
    await stage.run(opening)


async def _opened(
    run: Run, gates: GateVisits, display: PlanDisplay, full: Callable[[], bool]
) -> tuple[LiveStage | None, Opening | None]:
    """Return the stage whose first calls were begun, and the attempts; or None, and what the gates said if they did."""
    asked = entry_request(run, workflow.info().workflow_id)
    if not may_open(run, asked) or gates.too_late():
        return None, None
    stage = LiveStage(run, gates, display.update, full, frozenset(asked.resources))
    calls = stage.begin()
    if not calls or stored_size(chain_request(run, calls, asked), MAX_STORED) > MAX_STORED:
        return None, None
    opening = Opening(moves=run.moves)
    run.in_flight, run.opening = tuple(sorted(call.step.id for call in calls)), (*asked.resources, "live")
    display.update(shown=False)
    request = gates.begin_stay(asked)
    opening.attempts, opening.answer, begun = await _made(run, request, calls, opening.moves)
    if begun and opening.answer is None and (opening.attempts or run.moves != opening.moves):
        repeated = any(isinstance(made, RetryableFailure) for made in opening.attempts)
        opening.answer = await gates.granted_to(request, opening.moves, enter=repeated)
    # not before: a call that may have been made is in flight for people, and for an unlock, until it is recorded
    run.in_flight, run.opening = (), ()
    if not opening.attempts:
        return None, opening
    _take(run, calls, opening.answer)
    return stage, opening


async def _made(
    run: Run, request: EntryRequest, calls: Sequence[CallRequest], moves: int
) -> tuple[list[Attempt], AcquireResult | None, bool]:
    """Return the attempts at the calls, what the gates said, and whether a worker had begun."""
    handle = commands.call(chain_request(run, calls, request), before=_begun_by(run))
    with suppress(TimeoutError):
        await workflow.wait_condition(
            lambda: handle.done() or run.moves != moves, timeout=_left(run), timeout_summary="the plan's deadline"
        )
    if not handle.done():
        handle.cancel()
    unbegun = Unbegun(run)
    try:
        result = await answered(handle)
    except ActivityError as error:
        if never_begun(error):
            why = await unbegun.doubt(calls)
            return (all_in_doubt(calls, why), None, True) if why else ([], None, False)
        return await unbegun.after_failure(error, calls), None, True
    except NoAnswer as error:
        return all_in_doubt(calls, str(error)), None, True
    try:
        answer = ChainResult.model_validate(result).entered
    except ValidationError:
        answer = None
    return attempts_in(result, calls), answer, True


def _take(run: Run, calls: Sequence[CallRequest], answer: AcquireResult | None) -> None:
    """Keep what the gates granted to calls that were begun, whatever has become of the run meanwhile."""
    if answer is None:
        return
    take_late(run, answer)
    take_permit(run, answer)
    take_wait(run, answer)
    keep_fence(run, list(calls), answer)
    if isinstance(answer, AcquireGranted):
        run.entry_refusals = 0


def _left(run: Run) -> float | None:
    return None if run.deadline_at is None else max((run.deadline_at - workflow.now()).total_seconds(), 0.001)


def _begun_by(run: Run) -> datetime:
    soon, last = workflow.now() + BEGUN_WITHIN, last_begin(run)
    return soon if last is None else min(soon, last)
