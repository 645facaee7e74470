"""Answers of activities: one that none of Airlock's workers made is no answer, and neither is nothing."""

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError
from temporalio.exceptions import TimeoutError as ActivityTimeout
from temporalio.workflow import ActivityHandle

with workflow.unsafe.imports_passed_through():
    from airlock.base.errors import AirlockError
    from airlock.base.text import shorten
    from airlock.run.audit import AuditKind
    from airlock.run.decisions.decision import decide
    from airlock.run.handed_back import ELSEWHERE
    from airlock.run.messages import Abort
    from airlock.run.state import Run
    from airlock.run.unrehearsed import abort_unrehearsed
    from airlock.temporal.proof_converter import Unproven
    from airlock.workflows.patches import ASKED_AFTER_A_FAILURE, KEPT_APART, from_here_on

T = TypeVar("T")

TRIES = 5
"""The number of questions to an activity without effects in one stay before the plan ends."""
LONGEST_PAUSE = 30
"""Seconds between two questions to the gates, at most."""


class NoAnswer(AirlockError):
    """An activity was completed with something that no worker of Airlock answers; what it did is unknown."""


class HandedBackError(AirlockError):
    """A worker that has other contracts than the plan did nothing, and left the question to another one."""


async def answered(handle: ActivityHandle[T]) -> T:
    """Return what an activity answered.

    Every client that reaches Temporal can complete an activity by its id, with anything or with nothing.

    Raises:
        NoAnswer: If it was completed with nothing, or with something that is not proven and must be.
        ActivityError: If it failed.
    """
    answer = await handle
    if answer is not None and not isinstance(answer, Unproven):
        return answer
    why = answer.why if isinstance(answer, Unproven) else "it is empty"
    info = workflow.info()
    workflow.logger.error("%s: an answer that no worker of Airlock made: %s", info.workflow_id, why)
    raise NoAnswer(shorten(f"no worker of Airlock answered: {why}"))


def never_begun(error: ActivityError) -> bool:
    """Return True if no worker had begun an activity that was cancelled, or whose time to begin was over."""
    return error.started_event_id == 0 and isinstance(error.cause, CancelledError | ActivityTimeout)


async def answered_or_aborted(run: Run, ask: Callable[[], ActivityHandle[T]], *, taken_back: bool = False) -> T | None:
    """Return the answer of an activity without effects, or None when the run moved on meanwhile or was aborted.

    An activity that fails for good aborts the run: nothing that could not be looked at may go live. If the run has made no
    call, the same plan may be submitted again. What is no answer is recorded and asked for again; after `TRIES` questions
    without an answer the run is aborted too.

    Args:
        run: The plan's run.
        ask: Starts the activity.
        taken_back: True if the caller asks again when a worker hands the question back; otherwise that is a failure too.

    Raises:
        HandedBackError: If `taken_back` and a worker left the question to another one.
    """
    try:
        return await answered_unless_moved(run, ask)
    except ActivityError as error:
        if taken_back and isinstance(error.cause, ApplicationError) and error.cause.type == ELSEWHERE:
            raise HandedBackError(error.cause.message) from error
        why = shorten(f"{error.activity_type} could not be carried out: {error.cause}")
        if run.acted or run.undoing is not None:
            abort(run, why)
        else:
            abort_unrehearsed(run, why, workflow.now())
    except NoAnswer as error:
        abort(run, f"answers that no worker of Airlock made: {error}")
    return None


def abort(run: Run, reason: str) -> None:
    """Abort a run in Airlock's own name. Calls that are live stay as they are."""
    decide(run, "abort", Abort(by="airlock", reason=reason[:2_000]), workflow.now())


async def answered_unless_moved(run: Run, ask: Callable[[], ActivityHandle[T]]) -> T | None:
    """Return the answer of an activity without effects, or None when the run moved on meanwhile.

    What is no answer is recorded and asked for again.

    Raises:
        NoAnswer: After `TRIES` questions without an answer.
        ActivityError: If the activity failed.
    """
    moves = run.moves
    for attempt in range(1, TRIES + 1):
        handle = ask()
        await _done_or_moved(run, moves, handle)
        if run.moves != moves:
            run.dropped += 1
            handle.cancel()
            return None
        try:
            return await answered(handle)
        except NoAnswer as error:
            run.record(AuditKind.REFUSED, "forged answer", workflow.now(), by="unknown", reason=str(error))
            if attempt == TRIES:
                raise
    raise AssertionError("unreachable")


def apart(run: Run) -> str:
    """Return the end of the id of an activity without effects, by which it differs from those that the run has dropped.

    A worker may go on with what is dropped, and until it has ended Temporal takes no other activity of the same id.
    """
    run.kept_apart = run.kept_apart or (run.dropped > 0 and from_here_on(KEPT_APART))
    return f":{run.dropped}" if run.kept_apart else ""


async def answered_at_last(run: Run, ask: Callable[[], ActivityHandle[T]]) -> T:
    """Return the answer of an activity that is safe to repeat, however often it takes.

    What is no answer is recorded and asked for again after 1, 2, 4 ... `LONGEST_PAUSE` seconds. Until then the run stays
    where it is: nothing goes live.

    Args:
        run: The plan's run.
        ask: Starts the activity.

    Raises:
        ActivityError: If the activity failed for good.
    """
    pause = 1
    while True:
        try:
            return await answered(ask())
        except NoAnswer as error:
            run.record(AuditKind.REFUSED, "forged answer", workflow.now(), by="unknown", reason=str(error))
        await workflow.sleep(timedelta(seconds=pause), summary="before the gates are asked again")
        pause = min(pause * 2, LONGEST_PAUSE)


async def answered_unless_dropped(
    run: Run, ask: Callable[[], ActivityHandle[T]], over: Callable[[], bool], *, given: Callable[[], ActivityHandle[T]]
) -> T | None:
    """Like `answered_at_last`, but drop the question once the run needs no answer; None if no worker had begun with it.

    An answer under way is awaited: the run must know what it was given. Where that answer is lost, what was given is known
    only to the gates.

    Args:
        run: The plan's run.
        ask: Starts the activity.
        over: Says whether the run needs no answer any more.
        given: Starts the question of what was given, for a run that needs no answer to the first one; its worker need not
            be one of those that could answer that.
    """
    handle = ask()
    await workflow.wait_condition(lambda: handle.done() or over())
    dropped = not handle.done()
    if dropped:
        handle.cancel()
    try:
        return await answered(handle)
    except ActivityError as error:
        if never_begun(error):
            return None
        # Temporal makes no other attempt at what is cancelled, be its worker lost or interrupted, or a gate away; and a
        # client may say of any activity that it was cancelled after it had begun
        lost = isinstance(error.cause, CancelledError | ActivityTimeout)
        if not lost and not (dropped and from_here_on(ASKED_AFTER_A_FAILURE)):
            raise
    except NoAnswer as error:
        run.record(AuditKind.REFUSED, "forged answer", workflow.now(), by="unknown", reason=str(error))
        await workflow.sleep(timedelta(seconds=1), summary="before the gates are asked again")
    return await answered_at_last(run, given if over() else ask)


async def _done_or_moved(run: Run, moves: int, handle: ActivityHandle[T]) -> None:
    await workflow.wait_condition(lambda: handle.done() or run.moves != moves)
