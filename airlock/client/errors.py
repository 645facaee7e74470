"""Errors between a program and a plan."""

from airlock.base.errors import AirlockError


class NoSuchPlan(AirlockError):
    """Temporal knows no plan of this id."""


class PlanConflict(AirlockError):
    """A plan of this id was submitted before, with other content."""


class UndoRefused(AirlockError):
    """A plan that cannot be undone after its end: nothing is left to undo, or it is being undone already."""


class NoAnswer(AirlockError):
    """No worker answered; the plan itself is not affected."""


class PlanEnded(AirlockError):
    """The plan has ended and takes no more decisions."""


class RunFailed(AirlockError):
    """The run ended without a result: it was terminated, timed out, or could not start."""
