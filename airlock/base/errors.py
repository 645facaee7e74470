"""Every error Airlock raises on purpose, and the exceptions a tool may raise to say what happened."""

from collections.abc import Sequence

from airlock.base.model import WireModel


class AirlockError(Exception):
    """The base of every error Airlock raises on purpose."""


class Problem(WireModel):
    """A problem in something that a person wrote, and how to fix it.

    `where` is a path such as `steps.create.args.email`, or a key of a configuration file.
    """

    where: str
    message: str
    fix: str

    def __str__(self) -> str:
        """Return one line: the place, the message and the fix."""
        return f"{self.where}: {self.message} (fix: {self.fix})"


class _Problems(AirlockError):
    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class PlanError(_Problems):
    """A plan that cannot be accepted; `problems` names every step, field and fix."""


class ConfigError(_Problems):
    """A configuration that cannot be used; `problems` names every key and fix."""


class ContractError(AirlockError):
    """A tool whose contract contradicts itself; raised when the worker starts, never later."""


class RefError(AirlockError):
    """A `$ref` that found nothing, or cannot be evaluated."""


class SecretError(AirlockError):
    """A `$secret` that this worker cannot resolve."""


class SecretRefused(SecretError):
    """A `$secret` that this worker may not resolve: its argument takes none, or its agent was not granted it."""


class ToolFailed(AirlockError):
    """Raised by a tool: the call certainly had no effect.

    Args:
        message: What went wrong, for a person.
        retry: Whether trying again could help; honoured only where the contract allows a repeat.
        after: How long the target asked to wait before that, in seconds (a Retry-After).
    """

    def __init__(self, message: str, *, retry: bool = False, after: float = 0.0) -> None:
        self.retry = retry
        self.after = after
        super().__init__(message)


class Stale(AirlockError):
    """Raised by a tool before it writes: the state its preview relied on has moved; nothing was written."""


class InDoubt(AirlockError):
    """Raised by a tool that cannot say whether its call took effect, for example when the connection was lost."""
