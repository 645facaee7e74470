"""The agent of `harness_turns`, in a module of its own because the sandbox imports it again."""

import asyncio
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.contrib.workflow_streams import WorkflowStream
from temporalio.workflow import ActivityConfig

with workflow.unsafe.imports_passed_through():
    from temporal_agent_harness.harness import AgentWorkflowRunner, agent
    from temporal_agent_harness.harness.agent_protocol import AgentConfig, ToolApprovalPolicy

    from benchmarks import effects

LIMIT = timedelta(seconds=30)
ONCE = RetryPolicy(maximum_attempts=1)


class Order(BaseModel):
    """So many calls of one run."""

    port: int
    run: str
    count: int
    parallel: bool
    once: bool = False
    """True if no call may be tried again."""


class Made(BaseModel):
    """The number of calls that were made."""

    count: int


@agent.tool_defn()
async def propose(count: int) -> int:
    """Propose to make so many calls."""
    return count


@agent.activity_tool_defn(activity_config=ActivityConfig(start_to_close_timeout=LIMIT))
async def call(port: int, run: str, number: int) -> dict[str, int]:
    """Make one call."""
    return await effects.call(port, run, number)


@agent.activity_tool_defn(
    name="call_once",
    activity_config=ActivityConfig(start_to_close_timeout=LIMIT, retry_policy=RetryPolicy(maximum_attempts=1)),
)
async def call_once(port: int, run: str, number: int) -> dict[str, int]:
    """Make one call, at most once."""
    return await effects.call(port, run, number)


@agent.defn
class Agent:
    """An agent without a model: it proposes its calls, a human approves the proposal, and it makes them."""

    @agent.init
    def __init__(self, config: AgentConfig) -> None:
        self._runner = AgentWorkflowRunner(
            config,
            stream=WorkflowStream(),
            # one approval for all calls, as in the other systems: the proposal asks, the calls behind it do not
            approval_policy_default=ToolApprovalPolicy(auto_approve_tools=frozenset({"call", "call_once"})),
        )

    @agent.accepts
    async def carry_out(self, order: Order) -> Made:
        """Ask, then make the calls."""
        await self._runner.run_tool("proposal", propose, order.count)
        tool: Any = call_once if order.once else call

        async def one(number: int) -> None:
            await self._runner.run_tool(f"call-{number}", tool, order.port, order.run, number)

        if order.parallel:
            await asyncio.gather(*(one(number) for number in range(order.count)))
        else:
            for number in range(order.count):
                await one(number)
        return Made(count=order.count)
