"""An agent that is a workflow: its model is an activity, its tools are Airlock's."""

from datetime import timedelta
from typing import Any

from temporalio import activity, workflow

with workflow.unsafe.imports_passed_through():
    from airlock.adapters.agent_tools import AgentCall, AgentTools
    from airlock.adapters.temporal import answers_in_workflow
    from tests.adapters.agents import wishes


@activity.defn
async def think(book: str) -> list[Any]:
    """Answer like a model: with the calls of one turn."""
    return wishes(book)


@workflow.defn
class Clerk:
    """An agent with one turn."""

    @workflow.run
    async def run(self, book: str, catalogue: dict[str, Any], endpoint: str | None = None) -> list[Any]:
        """Return the answers that the model would get."""
        tools = AgentTools(catalogue, agent="clerk", requested_by="rita", goal=f"Notes in {book}")
        wanted = await workflow.execute_activity(think, book, start_to_close_timeout=timedelta(seconds=60))
        answers = await answers_in_workflow(tools, "1", [AgentCall(*call) for call in wanted], endpoint=endpoint)
        return [[answer.in_effect, answer.value] for answer in answers.values()]
