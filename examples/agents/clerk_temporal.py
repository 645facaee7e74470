"""An agent that is a Temporal workflow, and whose tool calls are rehearsed, approved and made by Airlock.

Its model is an activity. Each turn is a plan: a child workflow that its parent's end leaves alone. This program is the
worker of the agent; stopped and started once more, it continues.
"""

import asyncio
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio import activity, workflow
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from airlock import Airlock
    from airlock.adapters.agent_tools import AgentCall, AgentTools
    from airlock.adapters.temporal import PlanActivities, answers_in_workflow

TOOLS = os.environ.get("AIRLOCK_TOOLS", ".airlock/tools.json")
"""The catalogue, as `airlock tools --json` prints it."""
QUEUE = "clerks"


@activity.defn
async def think(told: list[str]) -> list[dict[str, Any]]:
    """Stand in for a model: search and write in one turn, then make no call."""
    if told:
        return []
    note = {"path": "agents/temporal.md", "content": "ACME pays in 30 days.\n"}
    return [
        {"id": "1", "name": "memory_search", "args": {"query": "acme"}},
        {"id": "2", "name": "file_write", "args": note},
    ]


@workflow.defn
class Clerk:
    """An agent: think, call, think again, until there is nothing to call."""

    @workflow.run
    async def run(self, catalogue: dict[str, Any]) -> list[str]:
        """Return what the tools answered."""
        tools = AgentTools(catalogue, agent="clerk", requested_by="rita", only=["memory_search", "file_write"])
        told: list[str] = []
        while wanted := await workflow.execute_activity(think, told, start_to_close_timeout=timedelta(minutes=1)):
            calls = [AgentCall(**call) for call in wanted]
            answers = await answers_in_workflow(tools, f"turn-{len(told)}", calls)
            told += [answer.text for answer in answers.values()]
        return told


async def main() -> None:
    """Run the worker of the agent until the agent has finished."""
    airlock = await Airlock.connect()
    catalogue = json.loads(Path(TOOLS).read_text())
    activities = [think, PlanActivities(airlock).plan_result]
    async with Worker(airlock.client, task_queue=QUEUE, workflows=[Clerk], activities=activities):
        handle = await airlock.client.start_workflow(
            Clerk.run, catalogue, id="clerk", task_queue=QUEUE, id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING
        )
        print("\n".join(await handle.result()))


if __name__ == "__main__":
    asyncio.run(main())
