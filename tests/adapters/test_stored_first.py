"""A graph whose store is slow: no plan is proposed before a process that starts again would find its turn."""

import asyncio
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from airlock.adapters.agent_tools import AgentCall
from airlock.adapters.turns import Turn, Turns
from tests.adapters.agents import ASKED, THREAD, langchain_agent
from tests.adapters.conftest import Office


class SlowSaver(AsyncSqliteSaver):
    """A store that takes its time, as one behind a busy network does."""

    async def aput(self, *given: Any, **more: Any) -> Any:
        await asyncio.sleep(0.7)
        return await super().aput(*given, **more)

    async def aput_writes(self, *given: Any, **more: Any) -> None:
        await asyncio.sleep(0.7)
        await super().aput_writes(*given, **more)


class Watching(Turns):
    """Turns that look into the store before they propose."""

    saver: Any = None
    found: Any = None

    async def propose(self, turn: Sequence[Hashable], calls: Sequence[AgentCall]) -> Turn:
        kept = await self.saver.aget_tuple(THREAD)
        messages = kept.checkpoint["channel_values"]["messages"] if kept else []
        self.found = [message.id for message in messages], turn[1]
        return await super().propose(turn, calls)


async def test_a_turn_is_stored_before_its_plan_is_proposed(desk: Office, tmp_path: Path) -> None:
    book = desk.book()
    async with SlowSaver.from_conn_string(str(tmp_path / "graph.sqlite")) as saver:
        turns = Watching(desk.airlock, desk.tools(goal=f"Notes in {book}"))
        turns.saver = saver
        await langchain_agent(turns, book, pause=True, saver=saver).ainvoke(ASKED, THREAD)
    stored, message = turns.found
    assert message in stored, "a process that was killed here would ask its model again, and propose another plan"


async def test_a_graph_that_stores_nothing_before_its_end_is_refused(desk: Office, tmp_path: Path) -> None:
    book = desk.book()
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "graph.sqlite")) as saver:
        agent = langchain_agent(desk.turns(book), book, pause=True, saver=saver)
        with pytest.raises(RuntimeError, match="durability='exit'"):
            await agent.ainvoke(ASKED, THREAD, durability="exit")
    assert await desk.plans_of(book) == []
