"""A measured system as a process: it reads one order a line and writes one answer a line, both JSON.

Needs the standard library alone, because it is imported in the environments of other systems too.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

_CLOCK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Settings:
    """The surroundings of a system; it gets them as JSON in its first argument."""

    effects: int
    """Port of the server that keeps the log of calls."""
    folder: str
    """A folder for its files."""
    temporal: str = ""
    """Host and port of a Temporal server."""
    database: str = ""
    """URL of a PostgreSQL database; empty for a file."""
    variant: str = ""
    """A way to be set up that is not the usual one."""
    servers: tuple[int, ...] = field(default=())
    """Processes whose time counts as its own."""


@dataclass(frozen=True)
class Turn:
    """The moments of one turn, by `time.monotonic`."""

    asked: float
    """The moment when the approver saw the question."""
    approved: float
    """The moment of the answer."""


class System(Protocol):
    """One measured system."""

    async def turn(self, name: str, count: int, parallel: bool) -> Turn:
        """Ask an approver, then make so many calls, in a row or all at once."""
        ...

    async def resume(self, name: str) -> str:
        """Carry on with a turn whose process was killed, as the system's own documents say. Return how it ended."""
        ...


def tree(root: int) -> Iterator[int]:
    """Yield a process and all that came from it."""
    yield root
    for children in Path(f"/proc/{root}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from tree(int(child))


def seconds_of(root: int) -> float:
    """Return the seconds of CPU of a process with its children, ended ones included."""
    ticks = 0
    for pid in tree(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        ticks += sum(int(each) for each in fields[11:15])
    return ticks / _CLOCK


def cpu(servers: tuple[int, ...]) -> float:
    """Return the seconds of CPU that this process and its servers have used."""
    return time.process_time() + sum(seconds_of(each) for each in servers)


async def measured(system: System, settings: Settings, order: dict[str, Any]) -> dict[str, Any]:
    """Run so many turns at the same time, and return their moments and what they took."""
    began, used = time.monotonic(), cpu(settings.servers)
    turns = await asyncio.gather(
        *(system.turn(f"{order['name']}-{n}", order["count"], order["parallel"]) for n in range(order["at_once"]))
    )
    ended = time.monotonic()
    return {
        "began": began,
        "ended": ended,
        "cpu": cpu(settings.servers) - used,
        "asked": max(turn.asked for turn in turns),
        "approved": min(turn.approved for turn in turns),
    }


def serve(opened: Callable[[Settings], AbstractAsyncContextManager[System]]) -> None:
    """Run one system as this process, until its standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints is no answer

    async def main() -> None:
        raw = json.loads(sys.argv[1])
        settings = Settings(**{**raw, "servers": tuple(raw["servers"])})
        async with opened(settings) as system:
            print(json.dumps({"ready": True}), file=answers)
            while line := await asyncio.to_thread(sys.stdin.readline):
                print(json.dumps(await _carried_out(system, settings, json.loads(line))), file=answers)

    asyncio.run(main())


async def _carried_out(system: System, settings: Settings, order: dict[str, Any]) -> dict[str, Any]:
    if order["do"] == "resume":
        return {"outcome": await system.resume(order["name"])}
    return await measured(system, settings, order)


def arguments(settings: Settings) -> str:
    """Return the argument that `serve` reads."""
    return json.dumps(asdict(settings))
