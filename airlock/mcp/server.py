"""The MCP server: nine tools for agents, none of which decides anything."""

from collections.abc import Sequence
from typing import Annotated, Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, ToolAnnotations
from pydantic import Field, ValidationError, WithJsonSchema

from airlock.base.wrong_value import wrong_value
from airlock.mcp.answers import Answer, CheckAnswer, Fault, HealthAnswer, PlanAnswer, PreviewAnswer, ToolsAnswer
from airlock.mcp.callers import Callers
from airlock.mcp.desk import LONGEST_WAIT, Desk
from airlock.mcp.instructions import INSTRUCTIONS, PLAN_HELP
from airlock.mcp.proposals import PLAN_SCHEMA, STEP_SCHEMA
from airlock.mcp.results import tool_result
from airlock.mcp.tasks import Tasks
from airlock.program import version

_PlanArgument = Annotated[Any, WithJsonSchema({**PLAN_SCHEMA, "description": PLAN_HELP})]
_PlanId = Annotated[str, Field(description="the plan_id that propose_plan returned", max_length=200)]
_READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
_PROPOSES = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True)
_STEPS_SCHEMA = {
    "type": "array",
    "items": STEP_SCHEMA,
    "description": "whole steps: one with the id of a step takes its place, any other is added",
}
_AMENDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=True)
_WITHDRAWS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)


class _Server(MCPServer[Any]):
    """The SDK's server, with refusals of arguments in the words of every other answer: field, reason and fix."""

    async def call_tool(self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None) -> Any:
        """Call a tool; answer arguments that do not fit as a refusal, without the SDK's own text."""
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            tools = [tool.name for tool in await self.list_tools()]
            if name not in tools:
                return tool_result(_no_such_tool(name, tools))
            if not isinstance(error.__cause__, ValidationError):
                raise
            faults = tuple(_misfit(each) for each in error.__cause__.errors(include_url=False))
            return tool_result(Answer(ok=False, problems=faults, next=f"Correct the arguments and call {name} again."))


def _no_such_tool(name: str, tools: Sequence[str]) -> Answer:
    # models call the tools of the catalogue, or what would decide about a plan
    fault = Fault(
        field="name",
        reason=f"this server has no tool {name[:80]!r}",
        fix=f"use one of: {', '.join(tools)}. Tools of list_tools are called by a step of a plan: propose_plan",
    )
    return Answer(
        ok=False, problems=(fault,), next="Call list_tools, and put the call into a plan. Only people approve plans."
    )


def _misfit(item: Any) -> Fault:
    field, kind = ".".join(map(str, item["loc"])), item["type"]
    if kind != "missing":
        reason, fix = wrong_value(item)
        return Fault(field=field, reason=reason, fix=fix or "write it as the schema of this tool says")
    # models often write the fields of a plan beside each other, without the plan around them
    form = '{"plan": {"goal": ..., "steps": [...]}}' if field == "plan" else f'{{"{field}": ...}}'
    return Fault(field=field, reason="is missing", fix=f"write {form}")


def make_server(desk: Desk, callers: Callers) -> MCPServer[Any]:
    """Return the server with its tools.

    Args:
        desk: What it can do.
        callers: Tells which agent calls.
    """
    server = _Server(
        "airlock",
        title="Airlock",
        description="Propose plans of tool calls; people approve them, and Airlock carries them out.",
        instructions=INSTRUCTIONS,
        version=version(),
        extensions=[Tasks(desk, callers)],
        log_level="WARNING",
        subscriptions=False,
    )
    _add_planning(server, desk, callers)
    _add_following(server, desk, callers)
    return server


def _add_planning(server: MCPServer[Any], desk: Desk, callers: Callers) -> None:
    @server.tool(title="List the tools that plans may call", annotations=_READS)
    async def list_tools(
        context: Context[Any, Any],
        names: Annotated[list[str] | None, Field(description="only these tools; all of them without it")] = None,
    ) -> Annotated[CallToolResult, ToolsAnswer]:
        """List the tools that the steps of a plan may call: arguments, outputs, risks, examples, and what you may do.

        They are not tools of this server: put them into a plan.
        """
        return tool_result(desk.list_tools(callers.agent_of(context.request_context), names))

    @server.tool(title="Check a plan", annotations=_READS)
    async def check_plan(context: Context[Any, Any], plan: _PlanArgument) -> Annotated[CallToolResult, CheckAnswer]:
        """Find every problem of a plan without submitting it; each comes with its field, the reason and the fix.

        Also tells how far each step could go: MOCK, DRY_RUN or LIVE.
        """
        return tool_result(desk.check(callers.agent_of(context.request_context), plan))

    @server.tool(title="Propose a plan for approval", annotations=_PROPOSES)
    async def propose_plan(context: Context[Any, Any], plan: _PlanArgument) -> Annotated[CallToolResult, PlanAnswer]:
        """Propose a plan. It is rehearsed, and a person approves or denies it later; nothing happens before.

        Answers at once with the plan_id. The same content proposed again starts nothing.
        """
        return tool_result(await desk.propose(callers.agent_of(context.request_context), plan))

    @server.tool(title="Amend a plan that waits for approval", annotations=_AMENDS)
    async def amend_plan(
        context: Context[Any, Any],
        plan_id: _PlanId,
        reason: Annotated[str, Field(description="why, in one sentence: the approver reads it", max_length=1_000)],
        steps: Annotated[Any, WithJsonSchema(_STEPS_SCHEMA)] = None,
        remove: Annotated[list[str] | None, Field(description="the ids of the steps to remove")] = None,
    ) -> Annotated[CallToolResult, PlanAnswer]:
        """Change steps of a plan of yours that waits for approval, instead of withdrawing it and proposing another one.

        Give whole steps. What changes, and what depends on it, is rehearsed and approved again; the rest keeps approvals.
        """
        agent = callers.agent_of(context.request_context)
        return tool_result(await desk.amend(agent, plan_id, [] if steps is None else steps, remove or [], reason))

    @server.tool(title="Withdraw a plan", annotations=_WITHDRAWS)
    async def withdraw_plan(
        context: Context[Any, Any],
        plan_id: _PlanId,
        reason: Annotated[str, Field(description="why, in one sentence", max_length=1_000)],
    ) -> Annotated[CallToolResult, PlanAnswer]:
        """Withdraw a plan of yours before it goes live. Afterwards only a person can stop or undo it."""
        return tool_result(await desk.withdraw(callers.agent_of(context.request_context), plan_id, reason))


def _add_following(server: MCPServer[Any], desk: Desk, callers: Callers) -> None:
    @server.tool(title="Show where a plan is", annotations=_READS)
    async def plan_status(context: Context[Any, Any], plan_id: _PlanId) -> Annotated[CallToolResult, PlanAnswer]:
        """Show where a plan of yours is: its phase, its steps, what is in effect, and what to do next."""
        return tool_result(await desk.status(callers.agent_of(context.request_context), plan_id))

    @server.tool(title="Show what the approver sees", annotations=_READS)
    async def plan_preview(context: Context[Any, Any], plan_id: _PlanId) -> Annotated[CallToolResult, PreviewAnswer]:
        """Show the preview of a plan of yours as the approver sees it, with what the rehearsal found."""
        return tool_result(await desk.preview(callers.agent_of(context.request_context), plan_id))

    @server.tool(title="Wait for a plan", annotations=_READS)
    async def wait_for_plan(
        context: Context[Any, Any],
        plan_id: _PlanId,
        seconds: Annotated[float, Field(description="at most 45", ge=0, le=LONGEST_WAIT)] = LONGEST_WAIT,
    ) -> Annotated[CallToolResult, PlanAnswer]:
        """Wait until a plan of yours has ended, at most 45 seconds, and show its status. People may take hours."""
        return tool_result(await desk.wait(callers.agent_of(context.request_context), plan_id, seconds))

    @server.tool(title="Show whether plans can be carried out", annotations=_READS)
    async def health(context: Context[Any, Any]) -> Annotated[CallToolResult, HealthAnswer]:
        """Show whether Temporal and the workers are there, how healthy the system is, and whether live calls are stopped."""
        callers.agent_of(context.request_context)
        return tool_result(await desk.health())
