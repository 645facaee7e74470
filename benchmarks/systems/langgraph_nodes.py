"""LangGraph's graph API: a node that calls `interrupt`, then one that makes a call and leads to itself. For calls in a row.

`durability="sync"`: a checkpoint is written after every node, before the next one begins.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from benchmarks import effects
from benchmarks.lines import Settings, Turn, serve


class State(TypedDict):
    """The order, and how far it is."""

    name: str
    count: int
    done: int


class Nodes:
    """Turns as threads of a graph."""

    def __init__(self, settings: Settings, saver: Any) -> None:
        async def ask(state: State) -> dict[str, Any]:
            interrupt({"calls": state["count"]})
            return {}

        async def call(state: State) -> dict[str, Any]:
            await effects.call(settings.effects, state["name"], state["done"])
            return {"done": state["done"] + 1}

        graph = StateGraph(State)
        graph.add_node("ask", ask)
        graph.add_node("call", call)
        graph.add_edge(START, "ask")
        graph.add_edge("ask", "call")
        graph.add_conditional_edges("call", lambda state: "call" if state["done"] < state["count"] else END)
        self._graph: Any = graph.compile(checkpointer=saver)

    async def turn(self, name: str, count: int, parallel: bool) -> Turn:
        """Invoke until the question, then with the answer."""
        if parallel:
            raise SystemExit("a node leads to itself: in a row only")
        await self._invoked({"name": name, "count": count, "done": 0}, name)
        asked = approved = time.monotonic()
        await self._invoked(Command(resume=True), name)
        return Turn(asked, approved)

    async def resume(self, name: str) -> str:
        """Invoke the thread again, with no input."""
        await self._invoked(None, name)
        return "completed"

    async def _invoked(self, content: Any, name: str) -> Any:
        config = {"configurable": {"thread_id": name}, "recursion_limit": 1_000}
        return await self._graph.ainvoke(content, config, durability="sync")


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Nodes]:
    """Yield the graph with its saver."""
    async with AsyncSqliteSaver.from_conn_string(str(Path(settings.folder) / "langgraph.sqlite")) as saver:
        await saver.setup()
        yield Nodes(settings, saver)


if __name__ == "__main__":
    serve(opened)
