"""Streamed runs of the OpenAI Agents SDK. Tested with openai-agents 0.24.

async for stretch in run_streamed(runner, agent, "Onboard Jo", run_id="ticket-17", keep=save):
async for event in stretch.stream_events(): ...
print(stretch.final_output)
"""

from collections.abc import AsyncIterator
from typing import Any

from agents import Agent, Runner, RunResultStreaming

from airlock.adapters.openai_agents import AirlockRunner, Keep


async def run_streamed(
    runner: AirlockRunner, agent: Agent[Any], given: Any, *, run_id: str, keep: Keep | None = None, **options: Any
) -> AsyncIterator[RunResultStreaming]:
    """Yield a run in stretches, each to its next plan, which is waited for behind it; the last stretch is the result."""
    while given is not None:
        yield (stretch := Runner.run_streamed(agent, given, **options))
        _ = [event async for event in stretch.stream_events()]  # those that were not streamed; a stretch ends with them
        given = await runner.answered(stretch, run_id, keep)
