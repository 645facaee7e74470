"""Tools whose mocks do not give back their thread. Loaded by workers only, beside the held ones."""

import time

from pydantic import BaseModel, ConfigDict

from airlock.plans.tool import tool
from airlock.plans.tool_call import ToolCall
from tests.processes.held_tools import _note

FOREVER = 3_600.0


class Nothing(BaseModel):
    model_config = ConfigDict(extra="forbid")


@tool(name="sleeps_in_its_loop", risk="LOW", reversibility="read_only", timeout=30)
async def sleeps(args: Nothing, call: ToolCall) -> dict[str, int]:
    return {}


@sleeps.mock
async def _sleep(args: Nothing, call: ToolCall) -> dict[str, int]:
    _note(call, "mock")
    time.sleep(FOREVER)  # noqa: ASYNC251  this is what is wrong with it
    return {}


@tool(name="computes_in_its_loop", risk="LOW", reversibility="read_only", timeout=30)
async def computes(args: Nothing, call: ToolCall) -> dict[str, int]:
    return {}


@computes.mock
async def _compute(args: Nothing, call: ToolCall) -> dict[str, int]:
    _note(call, "mock")
    while True:
        pass


@tool(name="computes_in_its_thread", risk="LOW", reversibility="read_only", timeout=30)
def computes_in_a_thread(args: Nothing, call: ToolCall) -> dict[str, int]:
    return {}


@computes_in_a_thread.mock
def _compute_in_a_thread(args: Nothing, call: ToolCall) -> dict[str, int]:
    _note(call, "mock")
    while True:
        pass


TOOLS = [sleeps, computes, computes_in_a_thread]
