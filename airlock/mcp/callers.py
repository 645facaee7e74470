"""The agent behind a request: that of the process on stdio, that of the token over HTTP."""

from typing import Any

from mcp.server.context import ServerRequestContext

SCOPE_KEY = "airlock.agent"
"""The place in the ASGI scope of a request where the check of its token leaves the agent's name."""


class Callers:
    """Tells who calls.

    Args:
        fixed: The only agent of this process; None if each request has one of its own.
    """

    def __init__(self, fixed: str | None) -> None:
        self._fixed = fixed

    def agent_of(self, context: ServerRequestContext[Any, Any]) -> str:
        """Return the agent of a request.

        Raises:
            PermissionError: If it has none, which the check of tokens does not let happen.
        """
        if self._fixed is not None:
            return self._fixed
        scope = getattr(context.request, "scope", None)
        agent = scope.get(SCOPE_KEY) if isinstance(scope, dict) else None
        if not isinstance(agent, str) or not agent:
            raise PermissionError("this request has no agent")
        return agent
