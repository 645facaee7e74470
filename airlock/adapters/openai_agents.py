"""Adapter for the OpenAI Agents SDK. Tested with openai-agents 0.24.

    runner = AirlockRunner(Turns(airlock, tools))
    agent = Agent(name="crm", tools=runner.tools())
    result = await runner.run(agent, "Onboard Jo", run_id="ticket-17", keep=save)

Another process continues from the state that `keep` got: `await RunState.from_string(agent, state)` in place of the input.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any

from agents import Agent, FunctionTool, Runner, RunResult, RunResultStreaming
from agents.tool_context import ToolContext

from airlock.adapters.agent_tools import AgentCall, Answer
from airlock.adapters.turns import Turns

Keep = Callable[[str], Awaitable[None]]
_ANSWERS: ContextVar[Mapping[str, Answer]] = ContextVar("airlock_answers")


async def _answer(context: ToolContext[Any], arguments: str) -> str:
    return _ANSWERS.get()[context.tool_call_id].text  # made by Airlock's workers; nothing is called here


class AirlockRunner:
    """A runner whose interruptions become plans, one a turn. `keep` gets the state of a run, as JSON, before each plan."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def tools(self) -> list[FunctionTool]:
        """Return the tools; each call of one interrupts the run."""
        ours: dict[str, Any] = {"on_invoke_tool": _answer, "strict_json_schema": False, "needs_approval": True}
        return [FunctionTool(tool.name, tool.whole_description, tool.arguments, **ours) for tool in self._turns.tools]

    async def run(self, agent: Agent[Any], given: Any, *, run_id: str, keep: Keep | None = None, **more: Any) -> RunResult:
        """Run an agent, and wait for the end of each turn's plan."""
        result = await Runner.run(agent, given, **more)
        while state := await self.answered(result, run_id, keep):
            result = await Runner.run(agent, state, **more)
        return result

    async def answered(self, result: RunResult | RunResultStreaming, run_id: str, keep: Keep | None) -> Any:
        """Return the state of an interrupted run with the answers to its calls; None if there are none."""
        if not (mine := [item for item in result.interruptions if item.name in self._turns.tools]):
            return None
        state = result.to_state()
        if keep is not None:
            await keep(state.to_string())
        calls = [AgentCall(str(item.call_id), str(item.name), item.arguments) for item in mine]
        answers = await self._turns.answers([run_id, len(result.raw_responses)], calls)
        for item, call in zip(mine, calls, strict=True):
            told = answers[call.id]
            state.approve(item) if told.in_effect else state.reject(item, rejection_message=told.text)
        _ANSWERS.set(answers)
        return state
