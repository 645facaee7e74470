"""The errors that Airlock raises on purpose, and the exceptions by which a tool reports what happened."""

from collections.abc import Mapping, Sequence
from typing import Any

from airlock.base.model import WireModel

_PREFIXES = ("Value error, ", "Assertion failed, ")
"""The beginnings that pydantic gives to the message of a validator."""


def plain_message(item: Mapping[str, Any]) -> str:
    """Return the message of one error of a `ValidationError`, as its validator raised it."""
    message = str(item["msg"])
    return next((message.removeprefix(prefix) for prefix in _PREFIXES if message.startswith(prefix)), message)


class AirlockError(Exception):
    """The base of every error Airlock raises on purpose."""


class Problem(WireModel):
    """One mistake in a plan or a configuration, with its fix."""

    where: str
    """A path such as `steps.create.args.email`, or a key of a configuration file."""
    message: str
    fix: str

    def __str__(self) -> str:
        """Return one line with the place, the message and the fix."""
        return f"{self.where}: {self.message} (fix: {self.fix})"


class _Problems(AirlockError):
    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class PlanError(_Problems):
    """A plan that cannot be accepted; `problems` names each step, field and fix."""


class ConfigError(_Problems):
    """A configuration that cannot be used; `problems` names each key and fix.

    Args:
        problems: Each mistake.
        rest: The configuration without what is wrong, if something is left, so that more mistakes can be looked for.
        file: The file that holds it; empty where it is none.
    """

    def __init__(self, problems: Sequence[Problem], rest: object = None, file: str = "") -> None:
        self.rest = rest
        self.file = file
        super().__init__(problems)


class ContractError(AirlockError):
    """A contract that contradicts itself; raised when the worker starts, never later."""


class RefError(AirlockError):
    """A `$ref` that finds nothing, or that cannot be evaluated."""


class SecretError(AirlockError):
    """A `$secret` that this worker cannot resolve."""


class SecretRefused(SecretError):
    """A `$secret` that this worker may not resolve: its argument takes none, or its agent was not granted it."""


class ToolFailed(AirlockError):
    """A failure that a tool raises when the call certainly had no effect.

    Args:
        message: The reason, written for the approver and the operator.
        retry: True if another attempt could succeed. Nothing was done, so even a call that is made once gets another one,
            up to the contract's `max_attempts`. A mock or a dry run is repeated too.
        after: Seconds that the target asked to wait before the next attempt (a Retry-After).
    """

    def __init__(self, message: str, *, retry: bool = False, after: float = 0.0) -> None:
        self.retry = retry
        self.after = after
        super().__init__(message)


class Stale(AirlockError):
    """A failure that a tool raises before it writes: the state that its preview relied on has changed."""


class InDoubt(AirlockError):
    """A failure that a tool raises when its call may have taken effect, for example after a lost connection.

    Args:
        message: The reason, written for the approver and the operator.
        after: Seconds that the target asked to wait before the next attempt, if the contract allows one (a Retry-After).
        unfinished: True if the target may still be at it, so that a probe's "it did not happen" could mean "not yet".
    """

    def __init__(self, message: str = "", *, after: float = 0.0, unfinished: bool = False) -> None:
        self.after, self.unfinished = after, unfinished
        super().__init__(message)
