"""Errors of the client."""

from temporalio.exceptions import ApplicationError

from airlock.base.errors import AirlockError


def rejection(error: Exception) -> str:
    """Return why an update was rejected, without the type that the SDK writes before the message."""
    cause = error.__cause__ or error
    return cause.message if isinstance(cause, ApplicationError) else str(cause)


IS_ONE_RUNNING = "is one running? Start one: airlock-worker"


class NoSuchPlan(AirlockError):
    """Temporal has no plan with this id."""


def no_such_plan(plan_id: str, workflow_id: str) -> NoSuchPlan:
    """Return the error that names the plan, where it was looked for, and the command that lists those that there are."""
    return NoSuchPlan(f"there is no plan {plan_id!r} (workflow {workflow_id}). See which there are: airlock list")


class PlanConflict(AirlockError):
    """A plan with this id was submitted before, with other content."""


class UndoRefused(AirlockError):
    """The plan cannot be undone after its end: nothing is left to undo, or an undo is open already."""


class NoAnswer(AirlockError):
    """No worker answered. The plan itself is not affected."""


class PlanEnded(AirlockError):
    """The plan has ended and takes no more decisions."""


class RunFailed(AirlockError):
    """The run ended without a result: it was terminated, timed out, or could not start."""
