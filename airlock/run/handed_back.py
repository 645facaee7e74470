"""Calls and rehearsals that a worker handed back, because its catalogue has another contract than the plan.

While a deployment rolls, workers of two generations share one queue. The run asks again until a worker with the plan's
contract answers, up to a bound. Nothing was called, so nothing is undone.
"""

from datetime import datetime, timedelta
from typing import Final

from airlock.plans.outcome import RetryableFailure
from airlock.run.audit import AuditKind
from airlock.run.state import Run

SINCE_EPOCH: Final = 3
"""The rules from which calls are handed back; before, a call failed on a worker with another contract."""
ELSEWHERE: Final = "Elsewhere"
"""The type of the failure with which a worker hands mocks, dry runs or undo checks back."""
PATIENCE: Final = timedelta(minutes=10)
"""Time for which a run asks for a worker with the plan's contracts, without a call that was made in between."""
UNDO_PATIENCE: Final = timedelta(seconds=20)
"""Time for which an undo asks for a worker that has the tools; then its preview says what could not be looked at."""
_SHORTEST: Final = timedelta(seconds=1)
_LONGEST: Final = timedelta(seconds=30)


class HandedBack:
    """The calls of one stay in LIVE that workers handed back.

    Args:
        run: The plan's run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._recorded: set[str] = set()
        self.ended = ""
        """The reason why no further call may begin; empty while the run still asks."""

    def take(self, call: RetryableFailure, now: datetime) -> timedelta:
        """Record that a worker handed a call back; return the pause before it is asked for again, zero after the last."""
        if call.step not in self._recorded:  # once a stay, not once a question
            self._recorded.add(call.step)
            self._run.record(AuditKind.CALL, "handed_back", now, step=call.step, reason=call.error)
        if may_ask_on(self._run, now):
            return pause(self._run, now)
        self.ended = call.error
        return timedelta(0)


def asked_since(run: Run) -> datetime | None:
    """Return since when only workers without the approved contract have answered, UTC; None if that is not so.

    An answer from an earlier stay in LIVE says nothing about the workers of today.
    """
    since = run.handed_back_since
    return None if since is None or since < run.since else since


def may_ask_on(run: Run, now: datetime, patience: timedelta = PATIENCE) -> bool:
    """Record that a worker without the plan's contract answered; return False once the patience is over.

    The next such answer then begins a time of its own.
    """
    since = run.handed_back_since = asked_since(run) or now
    if now - since < patience:
        return True
    run.handed_back_since = None
    return False


def pause(run: Run, now: datetime) -> timedelta:
    """Return the pause before the next question: as long as the run has asked so far, up to half a minute."""
    return min(max(now - (asked_since(run) or now), _SHORTEST), _LONGEST)
