"""Calls that a worker began, and that Temporal does not know of any more: what a run makes of that news.

An activity that waits for its next attempt ends as one that no worker ever began, and nothing in the history tells the
difference. The run lets Temporal make one attempt; but any client can allow more, and let the first one fail.
"""

from datetime import datetime
from typing import Final

from pydantic import Field

from airlock.base.model import WireModel, WorkerMessage
from airlock.plans.outcome import CallInDoubt
from airlock.plans.state import State
from airlock.run.call_record import CallEvent, is_possible
from airlock.run.decisions.decision import decide
from airlock.run.live.call_results import take_outcomes
from airlock.run.messages import Lock
from airlock.run.state import Run

QUIET: Final = 6.0
"""Seconds without such news after which calls that ended unbegun were not begun; a worker notices within three."""
DEAF_FROM: Final = 5_000
"""Events of a run from which silence proves nothing: Temporal refuses the 10,001st signal, and any client can send many."""
UNHEARD: Final = "no worker could have said that it began it, after so many signals: it may have been made"
HURRIED: Final = "the time in which a worker says that it began it was cut short by another client: it may have been made"
BEGUN: Final = "a worker began it, and Temporal was told to forget that: it may have been made"
SET_BACK: Final = (
    "its worker began it, although the record that Temporal kept of its calls does not tell: it may have been made"
)
UNRECORDED: Final = (
    "its worker is gone, and any client can set back the record that Temporal kept of its calls: it may have been made"
)
_MAX_KEPT: Final = 1_000


class SentBack(WireModel, WorkerMessage):
    """The word of a live worker that it began calls whose activity is not its own any more."""

    run_id: str
    """The run that commanded them."""
    fence: int
    """The fencing token with which the first call of the activity was asked for."""
    begun: dict[str, int] = Field(min_length=1)
    """The steps that the worker began, each with the number of times that its call was compensated before."""


def take_sent_back(run: Run, told: SentBack, now: datetime) -> None:
    """Note that calls were begun; put those in doubt that the run believes to be unbegun, and lock it.

    Args:
        run: The plan's run.
        told: The word of the worker, which is proved.
        now: UTC.
    """
    if told.fence in run.sent_back:
        return
    run.begun[told.fence] = tuple(told.begun)
    run.sent_back = tuple(sorted((*run.sent_back, told.fence))[-_MAX_KEPT:])
    late = [step for step, undone in told.begun.items() if _is_believed_unbegun(run, step, undone)]
    if not late:
        return
    take_outcomes(run, [CallInDoubt(step=step, error=BEGUN, token_lost=True, lost=True) for step in late], now)
    if run.outcome is None and not run.state.closed and run.state not in (State.LOCKED, State.ROLLBACK):
        decide(run, "lock", Lock(by="airlock", reason=f"step {late[0]!r} is in doubt: {BEGUN}"), now)


def _is_believed_unbegun(run: Run, step: str, undone: int) -> bool:
    if run.step(step) is None or step in run.in_flight:
        return False
    record = run.calls.get(step)
    status, times = (record.status, record.undone) if record else (None, 0)
    return times == undone and is_possible(status, CallEvent.IN_DOUBT)
