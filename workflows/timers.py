"""Pauses that last as long as they should. The end of a timer alone does not tell.

A client that takes the workflow task in which a run begins a pause can start the same timer for a shorter time.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from temporalio import workflow

EARLY = timedelta(seconds=1)
"""The time before its end in which a pause counts as over: clocks of Temporal's servers differ."""


def is_over(until: datetime) -> bool:
    """Return True if a time has come, whatever timer has fired."""
    return workflow.now() >= until - EARLY


async def wait_until(until: datetime, summary: str, condition: Callable[[], bool] = lambda: False) -> None:
    """Wait for a condition until a time, and on if the timer fires before.

    Args:
        until: The time, UTC.
        summary: The purpose of the wait, for Temporal's UI.
        condition: What ends the wait earlier.
    """
    while True:
        try:
            await workflow.wait_condition(condition, timeout=until - workflow.now(), timeout_summary=summary)
        except TimeoutError:
            if not is_over(until):
                continue
        return
