"""temporal-agent-harness: a turn of an agent whose tool asks for a human. Variant `once`: no call is tried again.

Its own settings. The end of a turn is the event that its clients wait for; the session itself stays open.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from temporal_agent_harness.harness.agent_client import AgentClient
from temporal_agent_harness.harness.agent_protocol import AgentConfig
from temporal_agent_harness.plugin import AgentHarnessPlugin
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from benchmarks.lines import Settings, Turn, serve
from benchmarks.systems.harness_agent import Agent, call, call_once, propose

QUEUE = "harness"


class Turns:
    """Turns of agents, a session each."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    async def turn(self, name: str, count: int, parallel: bool) -> Turn:
        """Start a session, send the order, approve the proposal, and wait for the end of the turn."""
        session = AgentClient(self._client, name)
        order = {"port": self._settings.effects, "run": name, "count": count, "parallel": parallel}
        order["once"] = self._settings.variant == "once"
        await session.start_and_submit_message(
            "carry_out", order, workflow_name="Agent", task_queue=QUEUE, start_config=AgentConfig()
        )
        while not (pending := await self._pending(session)):  # noqa: ASYNC110  known by looking only
            await asyncio.sleep(0.005)
        asked = approved = time.monotonic()
        ended = asyncio.create_task(_ended(session))
        await session.approve_tool(pending[0].tool_id, approved=True)
        await ended
        return Turn(asked, approved)

    async def _pending(self, session: AgentClient) -> list[Any]:
        try:
            return list(await session.get_pending_approvals())
        except RPCError:  # no worker answered in time on a busy machine
            return []

    async def resume(self, name: str) -> str:
        """Wait: Temporal gives the work to whichever worker is there."""
        return await _ended(AgentClient(self._client, name))


async def _ended(session: AgentClient) -> str:
    """Wait for the end of the only turn; return what the handler said."""
    said = "?"

    def note(item: Any, _turn: int) -> Any:
        return item

    async for item in await session.attach(on_item=note):
        kind = type(getattr(item, "event", item)).__name__
        if kind in ("MessageHandlerEnd", "MessageHandlerError"):
            said = "completed" if kind == "MessageHandlerEnd" else f"failed: {item.event.message}"
        if kind == "TurnEnded":
            break
    return said


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Turns]:
    """Yield the harness with a worker."""
    client = await Client.connect(settings.temporal, plugins=[AgentHarnessPlugin(tools=[propose, call, call_once])])
    async with Worker(client, task_queue=QUEUE, workflows=[Agent]):
        yield Turns(client, settings)


if __name__ == "__main__":
    serve(opened)
