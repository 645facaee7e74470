"""Kill a process in the fifth of ten calls, with SIGKILL, and count in the log of effects what is repeated or lost.

Run with `make bench`, or alone with `python -m benchmarks.killed`. The fifth call has arrived and is not answered when its
process is killed: it has happened, and its process cannot know. The process is started again, and the work resumed as the
documents of each system say.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from benchmarks import contestants as all_of
from benchmarks.contestants import Contestant, Place, System, place
from benchmarks.plots import draw_killed
from benchmarks.report import Sheet, save, spread
from devtools import peers

CALLS = 10
TIMES = 5
KILLED = 5
"""The call in which the process is killed, counted from one."""
_ARRIVES_WITHIN = 90.0
_ENDS_WITHIN = 240.0
SYSTEMS = (
    replace(all_of.AIRLOCK, name="Airlock, a tool without a probe", variant="irreversible"),
    replace(all_of.AIRLOCK, name="Airlock, a tool with a probe", variant="probe"),
    all_of.FLOOR,
    replace(all_of.FLOOR, name="bare Temporal, one attempt", variant="once"),
    all_of.HARNESS,
    replace(all_of.HARNESS, name="temporal-agent-harness, one attempt", variant="once"),
    all_of.DBOS_POSTGRESQL,
    all_of.DBOS_SQLITE,
    all_of.LANGGRAPH_POSTGRESQL,
    all_of.LANGGRAPH_SQLITE,
    replace(all_of.LANGGRAPH_SQLITE, name="LangGraph, SQLite, a node a call", module="langgraph_nodes"),
    all_of.LOOP,
)


@dataclass(frozen=True)
class Aftermath:
    """The state of the world after the kill and the resumption."""

    system: str
    outcome: str
    made: tuple[int, ...]
    """Number of times that each call was made."""
    seconds: float
    """From the start of the second process, when it was ready, to the end."""

    @property
    def repeated(self) -> tuple[int, ...]:
        """The calls that were made more than once, counted from one."""
        return tuple(number for number, times in enumerate(self.made, 1) if times > 1)

    @property
    def lost(self) -> tuple[int, ...]:
        """The calls that were never made."""
        return tuple(number for number, times in enumerate(self.made, 1) if times == 0)


def made(times: Counter[int]) -> tuple[int, ...]:
    """Return how often each call was made."""
    return tuple(times[number] for number in range(CALLS))


def numbers(found: tuple[int, ...]) -> str:
    """Return calls as words: `none`, `5` or `6-10`."""
    if len(found) > 1 and found == tuple(range(found[0], found[-1] + 1)):
        return f"{found[0]}-{found[-1]}"
    return ", ".join(str(each) for each in found) or "none"


async def kill(where: Place, system: System, name: str) -> Aftermath:
    """Run ten calls, kill the process in the fifth, start it again, and see how it ends."""
    folder, run = where.folder / name, f"{name}-0"
    folder.mkdir()
    settings = where.settings(system, folder, name)
    where.log.hold = (run, KILLED - 1)
    where.log.held.clear()
    first = await Contestant.start(system, settings)
    try:
        first.send(do="turn", name=name, count=CALLS, parallel=False, at_once=1)
        await asyncio.wait_for(where.log.held.wait(), _ARRIVES_WITHIN)
    finally:
        first.kill()
        await first.process.wait()
    where.log.hold = None
    again = await Contestant.start(system, settings)
    began = time.monotonic()
    try:
        answer = await again.order(within=_ENDS_WITHIN, do="resume", name=run)
        seconds = time.monotonic() - began
    finally:
        await again.stop()
    return Aftermath(system.name, answer["outcome"], made(where.log.times(run)), seconds)


def sheet(found: Sequence[Aftermath], missing: Mapping[str, str]) -> Sheet:
    """Return the table: a row for each way in which the kills of a system ended."""
    rows = []
    for name in dict.fromkeys(each.system for each in found):
        kills = [each for each in found if each.system == name]
        for way in dict.fromkeys((each.repeated, each.lost, each.outcome) for each in kills):
            alike = [each for each in kills if (each.repeated, each.lost, each.outcome) == way]
            after = spread([each.seconds for each in alike], 0)
            rows.append([name, f"{len(alike)} of {len(kills)}", numbers(way[0]), numbers(way[1]), way[2], after])
    rows += [[name, "0", "?", "?", f"not measured: {why}", "?"] for name, why in missing.items()]
    columns = ("system", "kills", "repeated", "never made", "the end", "after, s")
    return Sheet(f"kill -9 in call {KILLED} of {CALLS} in a row", columns, rows, left=5)


def worst(found: Sequence[Aftermath]) -> list[tuple[str, tuple[int, ...]]]:
    """Return for each system how often each call was made where most went wrong."""
    last: dict[str, Aftermath] = {}
    for each in sorted(found, key=lambda kill: len(kill.repeated) + len(kill.lost)):
        last[each.system] = each
    return [(name, last[name].made) for name in dict.fromkeys(each.system for each in found)]


async def main(times: int, systems: tuple[System, ...] = SYSTEMS) -> list[Aftermath]:
    """Kill each of them so many times, print and save."""
    missing = {system.name: system.missing for system in systems if system.missing}
    there = tuple(system for system in systems if not system.missing)
    found: list[Aftermath] = []
    async with place(there) as where:
        for number, system in enumerate(there):
            for again in range(times):
                found.append(await kill(where, system, f"killed{number}-{again}"))
                print(found[-1], file=sys.stderr)
    packages = peers.versions(*all_of.PACKAGES)
    saved = save("killed", [sheet(found, missing)], [asdict(each) for each in found], packages)
    draw_killed(saved.with_suffix(".svg"), worst(found))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--times", type=int, default=TIMES)
    asyncio.run(main(parser.parse_args().times))
