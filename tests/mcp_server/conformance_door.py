"""A door for the conformance suite: its fixture tools, each of which proposes a real plan through the real desk and tasks.

The suite calls tools that only a reference server has (`slow_compute`, `failing_job` and so on). Here each of them is a
plan: a rehearsal that takes time, one that fails, and one whose run is terminated. Started as a process by the test.
"""

import asyncio
import sys
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.server import require_client_extension
from mcp_types import CallToolRequestParams

from airlock.admission.configuration.config import Config
from airlock.mcp.callers import Callers
from airlock.mcp.desk import Desk
from airlock.mcp.http import application
from airlock.mcp.server import make_server
from airlock.mcp.tasks import IDENTIFIER, PROPOSE, Tasks
from airlock.serving import serve
from airlock.tools.loader import load_configured
from airlock.tools.operator_file import find_config, read_config

_TOOLS = {"slow_compute": "take_time", "failing_job": "refuse", "protocol_error_job": "take_time"}
"""The tool of the plan behind each fixture tool."""


def plan_of(fixture: str, arguments: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the plan behind a call of a fixture tool; no two calls share one."""
    seconds = 60 if fixture == "protocol_error_job" else arguments.get("seconds", 0)
    args = {"seconds": seconds, "label": str(number)}
    return {
        "goal": f"{fixture}: {arguments.get('label', '')}",
        "max_mode": "DRY_RUN",
        "steps": [{"id": "one", "tool": _TOOLS[fixture], "args": args, "confidence": 0.95}],
    }


class Fixtures(Extension):
    """Turns the calls of fixture tools into proposals. Everything else is that of `airlock mcp`."""

    identifier = "org.example/fixtures"

    def __init__(self, desk: Desk, tasks: Tasks) -> None:
        self._desk = desk
        self._tasks = tasks
        self._calls = 0

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        if params.name not in _TOOLS:
            return await call_next(ctx)
        if params.name == "failing_job":  # the tool of the suite that needs tasks; a proposal never does
            require_client_extension(ctx, IDENTIFIER)
        self._calls += 1
        plan = plan_of(params.name, params.arguments or {}, self._calls)
        proposal = params.model_copy(update={"name": PROPOSE, "arguments": {"plan": plan}})
        answer = await self._tasks.intercept_tool_call(proposal, ctx, call_next)
        if params.name == "protocol_error_job" and isinstance(answer, dict):
            handle = (await self._desk.airlock()).plan(answer["taskId"])
            await handle.workflow.terminate("by an operator")
        return answer


def make_door(desk: Desk, callers: Callers) -> MCPServer[Any]:
    server = make_server(desk, callers)
    extended = MCPServer[Any]("airlock", version="1", extensions=[Fixtures(desk, tasks := Tasks(desk, callers)), tasks])
    for tool in server._tool_manager.list_tools():
        extended._tool_manager._tools[tool.name] = tool

    @extended.tool()
    async def greet(name: str) -> str:
        """Greet."""
        return f"Hello, {name}!"

    @extended.tool()
    async def slow_compute(seconds: float = 0, label: str = "") -> str:
        """Take time; for clients without tasks."""
        return f"took {seconds:g} s"

    @extended.tool()
    async def failing_job() -> str:
        """Fail."""
        raise ValueError("told to fail")

    @extended.tool()
    async def protocol_error_job() -> str:
        """Break."""
        raise ValueError("told to break")

    return extended


async def main() -> None:
    path = find_config(None)
    assert path is not None
    configured: tuple[Config, Any] = load_configured(lambda: read_config(path))
    server = make_door(Desk(configured), Callers("claude"))
    app = application(server, "127.0.0.1", None, ())
    await serve(app, "127.0.0.1", 0, lambda port: print(f'{{"url": "http://127.0.0.1:{port}/mcp"}}', flush=True))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
