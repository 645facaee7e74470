"""Adapter for pydantic-ai. Tested with pydantic-ai-slim 2.68.

    agent = Agent(model, toolsets=[airlock_toolset(tools)], capabilities=[airlock_capability(Turns(airlock, tools))])

The capability waits inside the run; another process goes on from what `keep` got. Without it, and with
`DeferredToolRequests` among the output types, the run ends when the model calls a tool; `airlock_results` answers then.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pydantic_ai.capabilities import HandleDeferredToolCalls
from pydantic_ai.exceptions import ToolFailed
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults, RunContext, ToolDefinition
from pydantic_ai.toolsets import ExternalToolset

from airlock.adapters.agent_tools import AgentCall, AgentTools
from airlock.adapters.turns import Turns


def airlock_toolset(tools: AgentTools) -> ExternalToolset[Any]:
    """Return the tools as external ones, which pydantic-ai never calls itself."""
    definitions = [
        ToolDefinition(
            name=tool.name, description=tool.description, parameters_json_schema=tool.arguments,
            return_schema=tool.output or None, include_return_schema=bool(tool.output),
        )
        for tool in tools
    ]  # fmt: skip
    return ExternalToolset(definitions, id="airlock")


def airlock_capability(
    turns: Turns, *, keep: Callable[[str], Awaitable[None]] | None = None
) -> HandleDeferredToolCalls[Any]:
    """Return the capability that proposes each turn, after `keep` got the messages as JSON, and waits inside the run."""

    async def handle(context: RunContext[Any], requests: DeferredToolRequests) -> DeferredToolResults | None:
        if keep is not None:
            await keep(ModelMessagesTypeAdapter.dump_json(list(context.messages)).decode())
        return await airlock_results(turns, context.messages, requests)

    return HandleDeferredToolCalls(handler=handle)


async def airlock_results(
    turns: Turns, messages: Sequence[ModelMessage], requests: DeferredToolRequests
) -> DeferredToolResults | None:
    """Return the results of the calls that are Airlock's, once their plan has ended; None if there are none."""
    mine = [
        AgentCall(call.tool_call_id, call.tool_name, call.args) for call in requests.calls if call.tool_name in turns.tools
    ]
    if not mine:
        return None
    number, said = max((n, message) for n, message in enumerate(messages) if isinstance(message, ModelResponse))
    answers = await turns.answers([said.run_id, number], mine)
    calls = {id: answer.value if answer.in_effect else ToolFailed(answer.text) for id, answer in answers.items()}
    return requests.build_results(calls=calls)
