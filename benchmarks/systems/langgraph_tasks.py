"""LangGraph: an entrypoint of its functional API that calls `interrupt`, then tasks, on its SQLite or PostgreSQL saver.

`durability="sync"`: what was done is written down before the next step begins. Its default, `async`, writes meanwhile.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import entrypoint, task
from langgraph.types import Command, interrupt
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from benchmarks import effects
from benchmarks.lines import Settings, Turn, serve

CONNECTIONS = 10


class Tasks:
    """Turns as threads of a graph."""

    def __init__(self, settings: Settings, saver: Any) -> None:
        @task
        async def call(run: str, number: int) -> dict[str, int]:
            return await effects.call(settings.effects, run, number)

        @entrypoint(checkpointer=saver)
        async def turn(order: dict[str, Any]) -> int:
            if not interrupt({"calls": order["count"]}):
                return 0
            if order["parallel"]:
                await asyncio.gather(*(call(order["name"], n) for n in range(order["count"])))
            else:
                for n in range(order["count"]):
                    await call(order["name"], n)
            return int(order["count"])

        self._graph: Any = turn
        self._durability = settings.variant or "sync"

    async def turn(self, name: str, count: int, parallel: bool) -> Turn:
        """Invoke until the question, then with the answer."""
        config = {"configurable": {"thread_id": name}}
        order = {"name": name, "count": count, "parallel": parallel}
        found = await self._graph.ainvoke(order, config, durability=self._durability)
        if "__interrupt__" not in found:
            raise SystemExit(f"no question: {found}")
        asked = approved = time.monotonic()
        await self._graph.ainvoke(Command(resume=True), config, durability=self._durability)
        return Turn(asked, approved)

    async def resume(self, name: str) -> str:
        """Invoke the thread again, with no input."""
        config = {"configurable": {"thread_id": name}}
        await self._graph.ainvoke(None, config, durability=self._durability)
        return "completed"


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Tasks]:
    """Yield the graph with its saver."""
    if not settings.database:
        async with AsyncSqliteSaver.from_conn_string(str(Path(settings.folder) / "langgraph.sqlite")) as saver:
            await saver.setup()
            yield Tasks(settings, saver)
        return
    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(settings.database, max_size=CONNECTIONS, kwargs=options, open=False) as pool:
        kept = AsyncPostgresSaver(pool)  # type: ignore[arg-type]
        await kept.setup()
        yield Tasks(settings, kept)


if __name__ == "__main__":
    serve(opened)
