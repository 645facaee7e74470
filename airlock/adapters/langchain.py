"""Adapter for agents of LangChain, which run on LangGraph. Tested with langchain 1.5 and langgraph 1.2.

    agent = create_agent(model, middleware=[AirlockMiddleware(Turns(airlock, tools))], checkpointer=saver)

With `pause=True` the graph interrupts itself until the plan has ended, and needs a checkpointer. Resume it with anything,
in any process: `await agent.ainvoke(Command(resume=True), config)`.
"""

from typing import Any

from langchain.agents.middleware import AgentMiddleware, AgentState
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langgraph.config import get_config
from langgraph.runtime import Runtime
from langgraph.types import interrupt

from airlock.adapters.agent_tools import AgentCall
from airlock.adapters.langgraph_store import stored_thread
from airlock.adapters.turns import Turns


def _never(**arguments: Any) -> None:
    raise RuntimeError("a tool of Airlock is called by its workers, never by the agent's process: use ainvoke or astream")


class AirlockMiddleware(AgentMiddleware[Any, Any, Any]):
    """The tools, and the step of the graph that answers their calls; the graph then has none left to make."""

    def __init__(self, turns: Turns, *, pause: bool = False) -> None:
        super().__init__()
        self._turns, self._pause = turns, pause
        self.tools = [
            StructuredTool(name=tool.name, description=tool.whole_description, args_schema=tool.arguments, func=_never)
            for tool in turns.tools
        ]

    async def aafter_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Propose the calls of the model's last message, and answer them once their plan has ended."""
        said = next((message for message in reversed(state["messages"]) if isinstance(message, AIMessage)), None)
        calls = [call for call in (said.tool_calls if said else []) if call["name"] in self._turns.tools]
        if said is None or not calls:
            return None
        thread = await stored_thread(get_config())
        # LangGraph runs this method from its top when it resumes: the same turn finds the plan that it started
        mine = [AgentCall(str(call["id"]), call["name"], call["args"]) for call in calls]
        turn = await self._turns.propose([thread, said.id], mine)
        while self._pause and not await turn.ended():
            interrupt({"type": "airlock_plan", "plan_id": turn.plan_id})
        answers = await turn.answers(self._turns.patience)
        kinds = {True: "success", False: "error"}
        return {
            "messages": [
                ToolMessage(
                    answers[call.id].text, tool_call_id=call.id, name=call.name, status=kinds[answers[call.id].in_effect]
                )
                for call in mine
            ]
        }
