"""An agent of LangChain whose tool calls are rehearsed, approved and made by Airlock.

Each turn of the model is one plan. The graph interrupts itself while the plan waits, and this program ends. Started once
more, it continues from its checkpoint.
"""

import asyncio
import os
from collections.abc import Iterator
from typing import Any

from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Command

from airlock import Airlock
from airlock.adapters.agent_tools import AgentTools
from airlock.adapters.langchain import AirlockMiddleware
from airlock.adapters.turns import Turns

TOOLS = os.environ.get("AIRLOCK_TOOLS", ".airlock/tools.json")
"""The catalogue, as `airlock tools --json` prints it."""
STATE = os.environ.get("AGENT_STATE", ".airlock/agent-langchain.sqlite")
TASK = "Look up how ACME pays, and write it to a file under agents/."
THREAD: Any = {"configurable": {"thread_id": "acme"}}


class Scripted(GenericFakeChatModel):
    """A stand-in for a model, which takes tools."""

    def bind_tools(self, tools: Any, **options: Any) -> "Scripted":
        """Return itself: the script knows the tools."""
        return self


def script(asked: bool) -> Iterator[AIMessage]:
    """Search and write in one turn, unless the stored run has done that; then finish."""
    note = {"path": "agents/langchain.md", "content": "ACME pays in 30 days.\n"}
    calls = [
        {"id": "1", "name": "memory_search", "args": {"query": "acme"}},
        {"id": "2", "name": "file_write", "args": note},
    ]
    if not asked:
        yield AIMessage("", tool_calls=calls)
    yield AIMessage("It is written.")


async def main() -> None:
    """Run the agent as far as it gets."""
    tools = AgentTools(TOOLS, agent="clerk", requested_by="rita", only=["memory_search", "file_write"])
    turns = Turns(await Airlock.connect(), tools)
    async with AsyncSqliteSaver.from_conn_string(STATE) as saver:
        kept = await saver.aget_tuple(THREAD)
        begun = kept is not None  # it may have been killed before its model said anything
        said = kept.checkpoint["channel_values"].get("messages", []) if kept else []
        asked = any(isinstance(message, AIMessage) for message in said)
        name = os.environ.get("AGENT_MODEL")  # for example openai:gpt-5
        model = init_chat_model(name) if name else Scripted(messages=script(asked))
        agent = create_agent(model, middleware=[AirlockMiddleware(turns, pause=True)], checkpointer=saver)
        given: Any = Command(resume=True) if begun else {"messages": [("user", TASK)]}
        result = await agent.ainvoke(given, THREAD)
    if waiting := result.get("__interrupt__"):
        print(f"waiting for plan {waiting[0].value['plan_id']}; start me again once it has ended")
    else:
        print("\n".join(f"{message.type}: {message.content}" for message in result["messages"]))


if __name__ == "__main__":
    asyncio.run(main())
