"""The client's side of the Tasks extension, as a host would write it. It does not wait: the tests look at each answer."""

from typing import Any, ClassVar, Literal

from mcp import Client
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp_types import CallToolResult, Request, RequestParams, Result, TextContent
from pydantic import ConfigDict, Field


class Created(Result):
    model_config = ConfigDict(populate_by_name=True, extra="allow")
    result_type: Literal["task"] = Field(alias="resultType")
    task_id: str = Field(alias="taskId")
    status: str
    ttl_ms: int | None = Field(alias="ttlMs")
    poll_interval_ms: int = Field(alias="pollIntervalMs")


class Got(Result):
    model_config = ConfigDict(populate_by_name=True, extra="allow")
    status: str
    status_message: str | None = Field(default=None, alias="statusMessage")
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class Named(RequestParams):
    model_config = ConfigDict(populate_by_name=True)
    task_id: str = Field(serialization_alias="taskId")
    input_responses: dict[str, Any] = Field(default_factory=dict, serialization_alias="inputResponses")


class TaskRequest(Request[Named, str]):
    name_param: ClassVar[str | None] = "taskId"
    method: str
    params: Named


class OptsIn(ClientExtension):
    identifier = "io.modelcontextprotocol/tasks"

    def claims(self) -> list[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=Created, resolve=self._at_once)]

    async def _at_once(self, created: Created, _context: ClaimContext) -> CallToolResult:
        shown = created.model_dump(mode="json")
        return CallToolResult(content=[TextContent(type="text", text=created.status)], structured_content=shown)


async def created(client: Client, plan: dict[str, Any]) -> dict[str, Any]:
    """Propose a plan and return the task that answers."""
    found = await client.call_tool("propose_plan", {"plan": plan})
    assert isinstance(found, CallToolResult)
    assert found.structured_content is not None, found.content
    return dict(found.structured_content)


async def task(client: Client, method: str, task_id: str, **inputs: Any) -> Got:
    """Ask for a task, cancel it, or answer it."""
    request = TaskRequest(method=f"tasks/{method}", params=Named(task_id=task_id, input_responses=inputs))
    if method != "get":
        acknowledged = await client.session.send_request(request, Result)
        return Got(status=str(acknowledged.model_dump().get("status")))
    return await client.session.send_request(request, Got)
