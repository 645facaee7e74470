"""Questions of a rehearsal that are put again, because a worker of another generation handed them back."""

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.workflow import ActivityHandle

with workflow.unsafe.imports_passed_through():
    from airlock.run.audit import AuditKind
    from airlock.run.handed_back import PATIENCE, may_ask_on, pause
    from airlock.run.state import Run
    from airlock.workflows.answers import HandedBackError, answered_or_aborted

T = TypeVar("T")


async def answered_by_its_generation(
    run: Run, ask: Callable[[], ActivityHandle[T]], patience: timedelta = PATIENCE
) -> T | None:
    """Return the answer of a worker that has the plan's contracts, or None when the run moved on meanwhile or was aborted.

    Args:
        run: The plan's run.
        ask: Starts the activity.
        patience: The time for which workers may hand the question back.

    Raises:
        HandedBackError: If only workers without these contracts answered in that time; nothing was decided about the run.
    """
    moves, recorded = run.moves, False
    while True:
        try:
            answer = await answered_or_aborted(run, ask, taken_back=True)
        except HandedBackError as error:
            if not recorded:
                run.record(AuditKind.REFUSED, "handed_back", workflow.now(), by="airlock", reason=str(error))
            recorded = True
            if not may_ask_on(run, workflow.now(), patience):
                raise
        else:
            run.handed_back_since = None
            return answer
        if await _moved(run, moves, pause(run, workflow.now())):
            return None


async def _moved(run: Run, moves: int, within: timedelta) -> bool:
    try:
        await workflow.wait_condition(
            lambda: run.moves != moves, timeout=within, timeout_summary="before another worker is asked"
        )
    except TimeoutError:
        return False
    return True
