"""An agent of pydantic-ai whose tool calls are rehearsed, approved and made by Airlock.

Each turn of the model is one plan. The messages are stored before each wait, so that the process may end meanwhile:
start it again, and it goes on. The calls are made by Airlock's workers.
"""

import asyncio
import os
from pathlib import Path

from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

from airlock import Airlock
from airlock.adapters.agent_tools import AgentTools
from airlock.adapters.pydantic_ai import airlock_capability, airlock_toolset
from airlock.adapters.turns import Turns

TOOLS = os.environ.get("AIRLOCK_TOOLS", ".airlock/tools.json")
"""The catalogue, as `airlock tools --json` prints it."""
STATE = os.environ.get("AGENT_STATE", ".airlock/agent-pydantic-ai.json")
TASK = "Look up how ACME pays, and write it to a file under agents/."


def script(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Stand in for a model: search and write in one turn, then report what the tools answered."""
    answers = [part for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
    if answers:
        return ModelResponse(parts=[TextPart("\n".join(f"{part.tool_name}: {part.content}" for part in answers))])
    note = {"path": "agents/pydantic-ai.md", "content": "ACME pays in 30 days.\n"}
    return ModelResponse(parts=[ToolCallPart("memory_search", {"query": "acme"}), ToolCallPart("file_write", note)])


async def main() -> None:
    """Run the agent, from its stored messages if there are some."""
    state = Path(STATE)
    tools = AgentTools(TOOLS, agent="clerk", requested_by="rita", only=["memory_search", "file_write"])
    turns = Turns(await Airlock.connect(), tools)
    model = os.environ.get("AGENT_MODEL") or FunctionModel(script)  # for example openai:gpt-5

    async def keep(messages: str) -> None:
        whole = state.with_suffix(".new")
        whole.write_text(messages)
        whole.replace(state)  # killed here, it leaves the messages of before or these, never half of them

    stored = ModelMessagesTypeAdapter.validate_json(state.read_text()) if state.exists() else None
    agent = Agent(model, toolsets=[airlock_toolset(tools)], capabilities=[airlock_capability(turns, keep=keep)])
    result = await agent.run(None if stored else TASK, message_history=stored)
    print(result.output)
    state.unlink(missing_ok=True)


if __name__ == "__main__":
    asyncio.run(main())
