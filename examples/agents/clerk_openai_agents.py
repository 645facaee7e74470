"""An agent of the OpenAI Agents SDK whose tool calls are rehearsed, approved and made by Airlock.

Each turn of the model is one plan. Before each plan the state of the run is written to a file. Started once more after a
crash, this program continues from there.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

from agents import Agent, RunConfig, RunState
from agents.testing import ScriptedModel, assistant_message, function_call

from airlock import Airlock
from airlock.adapters.agent_tools import AgentTools
from airlock.adapters.openai_agents import AirlockRunner
from airlock.adapters.turns import Turns

TOOLS = os.environ.get("AIRLOCK_TOOLS", ".airlock/tools.json")
"""The catalogue, as `airlock tools --json` prints it."""
STATE = os.environ.get("AGENT_STATE", ".airlock/agent-openai.json")
TASK = "Look up how ACME pays, and write it to a file under agents/."


def script(begun: bool) -> ScriptedModel:
    """Stand in for a model: search and write in one turn, then finish."""
    note = {"path": "agents/openai-agents.md", "content": "ACME pays in 30 days.\n"}
    calls = [function_call("memory_search", {"query": "acme"}, call_id="1"), function_call("file_write", note, call_id="2")]
    done = [assistant_message("It is written.")]
    return ScriptedModel([done] if begun else [calls, done])


async def main() -> None:
    """Run the agent, from its stored state if there is one."""
    state = Path(STATE)
    tools = AgentTools(TOOLS, agent="clerk", requested_by="rita", only=["memory_search", "file_write"])
    runner = AirlockRunner(Turns(await Airlock.connect(), tools))
    model: Any = os.environ.get("AGENT_MODEL") or script(state.exists())  # for example gpt-5
    agent = Agent(name="clerk", model=model, tools=list(runner.tools()))

    async def keep(text: str) -> None:
        whole = state.with_suffix(".new")
        whole.write_text(text)
        whole.replace(state)  # killed here, it leaves the state of before or this one, never half of it

    given: Any = await RunState.from_string(agent, state.read_text()) if state.exists() else TASK
    options = RunConfig(tracing_disabled="OPENAI_API_KEY" not in os.environ)
    result = await runner.run(agent, given, run_id=str(state), keep=keep, run_config=options)
    for item in result.new_items:
        if item.type == "tool_call_output_item":
            print(item.output)
    print(result.final_output)
    state.unlink(missing_ok=True)


if __name__ == "__main__":
    asyncio.run(main())
