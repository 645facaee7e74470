"""The store of a graph of LangGraph, which by default is written while the next node runs. Tested with langgraph 1.2."""

import asyncio
from collections.abc import Mapping
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver

STORED_WITHIN = 60.0
"""Seconds."""
_EVERY = 0.05
_SAVER, _DURABILITY = "__pregel_checkpointer", "__pregel_durability"  # LangGraph has no public names for these
_NOTHING_STORED = (
    "durability='exit' stores nothing before the end of the graph, so a plan could be proposed twice: leave it out"
)


async def stored_thread(config: Mapping[str, Any]) -> Any:
    """Return the id of the thread, once the store of the graph holds the state that a node begins from.

    A graph without a store is not waited for. A process that is killed behind this point finds the message of its model
    when it starts again, and asks for no other.

    Args:
        config: The configuration of the node.

    Raises:
        RuntimeError: If the graph stores nothing before its end.
        TimeoutError: If the store does not hold it in time.
    """
    given = config.get("configurable", {})
    saver, thread = given.get(_SAVER), given.get("thread_id")
    if not isinstance(saver, BaseCheckpointSaver):
        return thread
    if given.get(_DURABILITY) == "exit":
        raise RuntimeError(_NOTHING_STORED)
    async with asyncio.timeout(STORED_WITHIN):
        for namespace, checkpoint in given.get("checkpoint_map", {}).items():
            place = {"thread_id": thread, "checkpoint_ns": namespace, "checkpoint_id": checkpoint}
            while await saver.aget_tuple({"configurable": place}) is None:  # noqa: ASYNC110  # it tells no one
                await asyncio.sleep(_EVERY)
    return thread
