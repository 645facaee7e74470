"""The way to the system behind some tools, and the errors that it answers itself."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from airlock.base.errors import InDoubt, ToolFailed
from airlock.plans.tool_call import ToolCall
from airlock.tools.outcomes import TOOL_ERROR, Asked, meaning
from airlock.tools.rated.definitions import Definitions


class Session(Protocol):
    """An open way to the system behind some tools."""

    async def output(
        self,
        tool: str,
        args: Mapping[str, Any],
        *,
        writes: bool,
        undoes: bool = False,
        key: str | None = None,
        fence: int = 0,
    ) -> Any:
        """Call a tool once, and return its answer as the output of a call.

        Args:
            tool: The name that the system gives it.
            args: Its arguments, which its own schema allows.
            writes: True if the call may change something.
            undoes: True if the call undoes another one: what is gone already is undone.
            key: The idempotency key of the call.
            fence: The fencing token of the call.

        Raises:
            ToolSaidError: If the answer is an error of the tool; the caller decides what that means for a write.
            ToolFailed: If the call certainly had no effect, or only read.
            InDoubt: If it was sent, and no answer says what it did.
        """


Reach = Callable[[ToolCall], Awaitable[tuple[Session, Definitions]]]
"""Returns a session for a call, and the tools that the system has at this moment; nothing else was asked of it."""


class ToolSaidError(ToolFailed):
    """An answer that the tool itself marks as an error.

    Args:
        said: What it says.
    """

    def __init__(self, said: str) -> None:
        self.said = said
        super().__init__(said)


def doubtful(said: ToolSaidError) -> InDoubt:
    """Return the error of a tool as a doubt: it may have acted before it failed."""
    return InDoubt(f"{said} ({meaning(Asked.MCP_WRITE, TOOL_ERROR).why})")
