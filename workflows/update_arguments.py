"""Arguments of updates, checked by validators before an update enters the history."""

from collections.abc import Callable
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from airlock.base.incoming import MalformedMessage

T = TypeVar("T")


def valid(parse: Callable[[tuple[Any, ...]], T], arguments: tuple[Any, ...]) -> T:
    """Return the parsed arguments of an update.

    Raises:
        ApplicationError: Of type `Malformed`, which rejects the update. Any other exception would fail the workflow task.
    """
    try:
        return parse(arguments)
    except MalformedMessage as error:
        raise ApplicationError(str(error), type="Malformed", non_retryable=True) from error
