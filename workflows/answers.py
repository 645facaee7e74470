"""Results of activities, accepted only from Airlock's own workers."""

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.workflow import ActivityHandle

with workflow.unsafe.imports_passed_through():
    from airlock.base.errors import AirlockError
    from airlock.base.text import shorten
    from airlock.run.audit import AuditKind
    from airlock.run.state import Run
    from airlock.temporal.proof_converter import Unproven

T = TypeVar("T")

TRIES = 5
"""Attempts to get a proven result of an activity without effects, before the plan ends."""
LONGEST_PAUSE = 30
"""Longest pause in seconds between two attempts to get a proven result of the gates."""


class NoAnswer(AirlockError):
    """An activity was completed with a value that no worker of Airlock returned. Its effects are unknown."""


async def answered(handle: ActivityHandle[T]) -> T:
    """Return the result of an activity.

    Every client that reaches Temporal can complete an activity by its id, with any value or with none.

    Raises:
        NoAnswer: If the result is empty, or needs a proof and has none.
        ActivityError: If it failed.
    """
    answer = await handle
    if answer is not None and not isinstance(answer, Unproven):
        return answer
    why = answer.why if isinstance(answer, Unproven) else "it is empty"
    info = workflow.info()
    workflow.logger.error("%s: an answer that no worker of Airlock made: %s", info.workflow_id, why)
    raise NoAnswer(shorten(f"no worker of Airlock answered: {why}"))


async def answered_unless_moved(run: Run, ask: Callable[[], ActivityHandle[T]]) -> T | None:
    """Return the result of an activity without effects, or None if the run left its state meanwhile.

        A result without proof is recorded as refused, and the activity is run again, up to `TRIES` times in all.

    Args:
        run: The plan's run.
        ask: Starts the activity.

    Raises:
        NoAnswer: If no attempt returned a proven result.
        ActivityError: If the activity failed for good.
    """
    moves = run.moves
    for attempt in range(1, TRIES + 1):
        handle = ask()
        await _done_or_moved(run, moves, handle)
        if run.moves != moves:
            handle.cancel()
            return None
        try:
            return await answered(handle)
        except NoAnswer as error:
            run.record(AuditKind.REFUSED, "forged answer", workflow.now(), by="unknown", reason=str(error))
            if attempt == TRIES:
                raise
    raise AssertionError("unreachable")


async def answered_at_last(run: Run, ask: Callable[[], ActivityHandle[T]]) -> T:
    """Return the result of an activity that is safe to repeat, after as many attempts as it takes.

        A result without proof is recorded as refused, and the activity is run again after 1, 2, 4 ... `LONGEST_PAUSE`
        seconds. Until then the run keeps its state, and nothing goes live.

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


async def _done_or_moved(run: Run, moves: int, handle: ActivityHandle[T]) -> None:
    await workflow.wait_condition(lambda: handle.done() or run.moves != moves)
