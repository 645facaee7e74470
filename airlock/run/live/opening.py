"""The opening of a stay in LIVE: a run enters together with its first calls, in one activity (docs/adr/0011)."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from airlock.admission.admitted import OPENING_EPOCH
from airlock.gates.answers import AcquireResult
from airlock.gates.protocol import AcquireRequest
from airlock.plans.outcome import Attempt
from airlock.run.live.call_messages import CallRequest, raised
from airlock.run.state import Run

MAX_STEPS: Final = 100
"""The most steps of a plan that opens a stay: the evidence about all of them travels with the first calls."""
BEGUN_WITHIN: Final = timedelta(seconds=5)
"""The time for a worker to begin; then the run asks the gates alone, and stands in their queues."""


@dataclass
class Opening:
    """Outcome of an attempt to enter LIVE together with the first calls."""

    moves: int
    """The changes of the run's state before it."""
    answer: AcquireResult | None = None
    """The answer of the gates; None if no worker asked them."""
    attempts: list[Attempt] = field(default_factory=list)
    """The attempts at the calls; empty if none was begun."""


def may_open(run: Run, asked: AcquireRequest) -> bool:
    """Return True if a run may enter LIVE together with its first calls.

    A run that holds or waits for slots, or that shares the slots of a tool among its calls, asks the gates alone.

    Args:
        run: The plan's run, in LIVE.
        asked: Its request to the gates.
    """
    new = not run.gates and run.gate_wait is None and not run.displaced
    small = len(run.plan.steps) <= MAX_STEPS
    return run.contracts().epoch >= OPENING_EPOCH and run.undoing is None and new and small and not asked.tools


def keep_fence(run: Run, calls: list[CallRequest], answer: AcquireResult) -> None:
    """Count the fencing tokens as the worker raised them after the gates had granted."""
    run.fence = max(run.fence, *raised([call.fence or 0 for call in calls], answer.held))
