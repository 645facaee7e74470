"""The Tasks extension of MCP: a proposal is a task whose id is the plan's. Each is read from Temporal, none is kept."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver.server import require_client_extension
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp_types import HEADER_MISMATCH, INTERNAL_ERROR, INVALID_PARAMS, CallToolRequestParams, RequestParams
from pydantic import ConfigDict, Field
from temporalio.service import RPCError

from airlock.base.errors import AirlockError
from airlock.client.errors import NoAnswer
from airlock.mcp.answers import PlanAnswer
from airlock.mcp.callers import Callers
from airlock.mcp.desk import Desk
from airlock.mcp.masking import masked
from airlock.mcp.own_plans import NotYours, Seen
from airlock.mcp.plan_answers import GOOD, WITHDRAWN, plan_answer
from airlock.mcp.results import tool_result
from airlock.run.outcome import Outcome
from airlock.run.presentation.views import rehearsal_failed
from airlock.temporal.connection import ConnectionFailed

IDENTIFIER = "io.modelcontextprotocol/tasks"
PROPOSE = "propose_plan"
POLL_MS = 2_000
_Status = Literal["working", "completed", "failed", "cancelled"]


_ACKNOWLEDGED: dict[str, Any] = {"resultType": "complete"}


class _TaskParams(RequestParams):
    model_config = ConfigDict(populate_by_name=True, extra="ignore")
    task_id: str = Field(alias="taskId")


class Tasks(Extension):
    """Proposals as tasks, for clients that opted in. A task id is no authority: it finds only plans of the caller."""

    identifier = IDENTIFIER

    def __init__(self, desk: Desk, callers: Callers) -> None:
        self._desk = desk
        self._callers = callers

    def methods(self) -> Sequence[MethodBinding]:
        """Return the methods of the extension."""
        return (
            MethodBinding("tasks/get", _TaskParams, self.get),
            MethodBinding("tasks/cancel", _TaskParams, self.cancel),
            MethodBinding("tasks/update", _TaskParams, self.update),
        )

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Answer a proposal with a task if the client opted in; a refused one with its problems, as without tasks."""
        arguments = params.arguments or {}
        if params.name != PROPOSE or "plan" not in arguments or not _opted_in(ctx):
            return await call_next(ctx)
        agent = self._callers.agent_of(ctx)
        answer = await self._desk.propose(agent, arguments["plan"])
        if not answer.ok:
            return tool_result(answer)
        # read back: the task must be there before the client hears of it
        seen = await self._task(agent, answer.plan_id)
        return {"resultType": "task", **_fields(seen, answer)}

    async def get(self, ctx: ServerRequestContext[Any, Any], params: _TaskParams) -> HandlerResult:
        """Return the state of a task, with the result of the plan inline once it has ended."""
        seen = await self._task(self._require(ctx, params), params.task_id)
        answer = plan_answer(seen)
        fields = {**_ACKNOWLEDGED, **_fields(seen, answer)}
        if fields["status"] == "completed":
            inline = tool_result(answer, failed=not _good(seen)).model_dump(mode="json", by_alias=True, exclude_none=True)
            return {**fields, "result": inline}
        if fields["status"] == "failed":
            return {**fields, "error": {"code": INTERNAL_ERROR, "message": masked(answer.next)}}
        return fields

    async def cancel(self, ctx: ServerRequestContext[Any, Any], params: _TaskParams) -> HandlerResult:
        """Withdraw the plan if it is not live. The answer is the same in any case; `tasks/get` tells what came of it."""
        agent = self._require(ctx, params)
        seen = await self._task(agent, params.task_id)
        if seen.open:
            await self._desk.withdraw(agent, params.task_id, "its task was cancelled")
        return dict(_ACKNOWLEDGED)

    async def update(self, ctx: ServerRequestContext[Any, Any], params: _TaskParams) -> HandlerResult:
        """Acknowledge and ignore an input: a plan never asks its agent for any, and an approval never comes from one."""
        await self._task(self._require(ctx, params), params.task_id)
        return dict(_ACKNOWLEDGED)

    def _require(self, ctx: ServerRequestContext[Any, Any], params: _TaskParams) -> str:
        require_client_extension(ctx, IDENTIFIER)
        named = decode_header_value(getattr(ctx.request, "headers", {}).get(MCP_NAME_HEADER))
        if named is not None and named != params.task_id:  # an intermediary would route by it
            raise MCPError(code=HEADER_MISMATCH, message="the mcp-name header is not the taskId of the request")
        return self._callers.agent_of(ctx)

    async def _task(self, agent: str, task_id: str) -> Seen:
        try:
            return await self._desk.seen(agent, task_id)
        except NotYours as error:
            raise MCPError(code=INVALID_PARAMS, message=str(error)) from error
        except (NoAnswer, ConnectionFailed, RPCError) as error:
            raise MCPError(code=INTERNAL_ERROR, message="Temporal does not answer; ask again in a minute") from error
        except AirlockError as error:
            raise MCPError(code=INVALID_PARAMS, message=str(error)) from error


def _opted_in(ctx: ServerRequestContext[Any, Any]) -> bool:
    capabilities = ctx.session.client_capabilities
    return IDENTIFIER in ((capabilities.extensions if capabilities else None) or {})


def _good(seen: Seen) -> bool:
    return seen.result is not None and seen.result.outcome in GOOD and not rehearsal_failed(seen.result)


def _status(seen: Seen) -> _Status:
    if seen.open:
        return "working"
    if seen.result is None:
        return "failed"
    withdrawn = seen.result.outcome is Outcome.ABORTED and seen.result.why.startswith(WITHDRAWN) and not seen.result.live
    return "cancelled" if withdrawn else "completed"


def _fields(seen: Seen, answer: PlanAnswer) -> dict[str, Any]:
    said = answer.next if answer.phase is None or not answer.why else f"{answer.phase.value}: {answer.why}"
    return {
        "taskId": seen.handle.plan_id,
        "status": _status(seen),
        "statusMessage": masked(said),
        "createdAt": _stamp(seen.facts.summary.started_at),
        "lastUpdatedAt": _stamp(seen.changed_at),
        "ttlMs": None,  # it lives for as long as Temporal retains the plan; the key itself is required
        "pollIntervalMs": POLL_MS,
    }


def _stamp(at: datetime | None) -> str:
    return (at or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
