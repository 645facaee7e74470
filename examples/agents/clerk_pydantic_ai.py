"""An agent of pydantic-ai whose tool calls are rehearsed, approved and made by Airlock.

Each turn of the model is one plan. The agent waits for its end; the calls are made by Airlock's workers.
"""

import asyncio
import os

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from airlock import Airlock
from airlock.adapters.agent_tools import AgentTools
from airlock.adapters.pydantic_ai import airlock_capability, airlock_toolset
from airlock.adapters.turns import Turns

TOOLS = os.environ.get("AIRLOCK_TOOLS", ".airlock/tools.json")
"""The catalogue, as `airlock tools --json` prints it."""


def script(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Stand in for a model: search and write in one turn, then report what the tools answered."""
    answers = [part for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
    if answers:
        return ModelResponse(parts=[TextPart("\n".join(f"{part.tool_name}: {part.content}" for part in answers))])
    note = {"path": "agents/pydantic-ai.md", "content": "ACME pays in 30 days.\n"}
    return ModelResponse(parts=[ToolCallPart("memory_search", {"query": "acme"}), ToolCallPart("file_write", note)])


async def main() -> None:
    """Run the agent once."""
    tools = AgentTools(TOOLS, agent="clerk", requested_by="rita", only=["memory_search", "file_write"])
    turns = Turns(await Airlock.connect(), tools)
    model = os.environ.get("AGENT_MODEL") or FunctionModel(script)  # for example openai:gpt-5
    agent = Agent(model, toolsets=[airlock_toolset(tools)], capabilities=[airlock_capability(turns)])
    result = await agent.run("Look up how ACME pays, and write it to a file under agents/.")
    print(result.output)


if __name__ == "__main__":
    asyncio.run(main())
