"""The status of a step for people and agents, of an open plan and of one that has ended."""

from airlock.run.outcome import Outcome
from airlock.run.presentation.views import StepView

_UNCALLED = {Outcome.DENIED: "denied", Outcome.EXPIRED: "expired", Outcome.ABORTED: "aborted"}
"""The status of a step that was not called when its plan ended so; after any other end it is `not_called`."""


def last_status(step: StepView, outcome: Outcome | None) -> str:
    """Return the status of a step for people and agents: a step waits for nothing any more once its plan has ended."""
    return step.status if step.status != "waiting" or outcome is None else _UNCALLED.get(outcome, "not_called")
