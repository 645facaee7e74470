"""Measure a turn of Airlock next to other systems that do the same work: an approval, then calls of a millisecond.

Run with `make bench`, or alone with `python -m benchmarks.others`. In every round each system is started once, does two
turns to warm up, runs every shape, and ends; the order of the systems moves on by one with each round. So the runs of all of
them lie close together, and nothing but the shared servers runs beside the one that is measured. An approver who answers
at once sits in its process. Each call is an HTTP request to a server on loopback, whose log must hold exactly the calls
that were asked for.
"""

import argparse
import asyncio
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks import contestants
from benchmarks.contestants import FLOOR, SYSTEMS, Contestant, Place, System, place
from benchmarks.plots import draw_ratios
from benchmarks.report import Sheet, save, spread
from benchmarks.turn import SHAPES
from devtools import peers

ROUNDS = 5
WARM = 2
_SMALL = 50
"""Shapes with fewer calls than this run three times in a round."""
Shape = tuple[int, bool, int]


@dataclass(frozen=True)
class Sample:
    """One run of one shape, in seconds."""

    system: str
    shape: Shape
    round: int
    clock: float
    cpu: float
    to_question: float
    """From the start to the question at the approver's."""
    to_first_call: float
    """From the answer to the first call."""
    calls: float
    """From the first call to the last one."""
    to_end: float
    """From the last call to the end."""


PARTS = ("to_question", "to_first_call", "calls", "to_end")


def words(shape: Shape) -> str:
    """Return a shape as words."""
    count, parallel, at_once = shape
    steps = "1 call" if count == 1 else f"{count} {'parallel' if parallel else 'in a row'}"
    return steps if at_once == 1 else f"{at_once} turns of {steps}"


async def run(where: Place, contestant: Contestant, shape: Shape, name: str, number: int) -> Sample:
    """Run one shape once, and check that every call was made once.

    Raises:
        SystemExit: If a call is missing, or was made twice.
    """
    count, parallel, at_once = shape
    answer = await contestant.order(do="turn", name=name, count=count, parallel=parallel, at_once=at_once)
    turns = [where.log.of(f"{name}-{each}") for each in range(at_once)]
    for turn in turns:
        if sorted(effect.number for effect in turn) != list(range(count)):
            raise SystemExit(f"{contestant.system.name}, {words(shape)}: the calls are {sorted(e.number for e in turn)}")
    at = [effect.at for turn in turns for effect in turn]
    where.log.effects.clear()
    return Sample(
        contestant.system.name, shape, number, answer["ended"] - answer["began"], answer["cpu"],
        answer["asked"] - answer["began"], min(at) - answer["approved"], max(at) - min(at), answer["ended"] - max(at),
    )  # fmt: skip


async def visit(where: Place, system: System, shapes: Sequence[Shape], number: int) -> list[Sample]:
    """Start one system, warm it up, run every shape, and end it."""
    of = f"{system.module}{system.store}{number}"
    folder = where.folder / of
    folder.mkdir()
    contestant = await Contestant.start(system, where.settings(system, folder, of))
    found: list[Sample] = []
    try:
        for each in range(WARM):
            await run(where, contestant, (1, False, 1), f"{of}-warm{each}", number)
        for shape in shapes:
            for again in range(3 if shape[0] * shape[2] < _SMALL else 1):
                name = f"{of}-{shape[0]}-{'p' if shape[1] else 'r'}-{shape[2]}-{again}"
                found.append(await run(where, contestant, shape, name, number))
    finally:
        await contestant.stop()
    return found


def paired(samples: Sequence[Sample], system: str, shape: Shape, what: str) -> list[float]:
    """Return the ratios of a system's runs to the floor's runs of the same round."""

    def of(name: str, number: int) -> list[float]:
        return [getattr(each, what) for each in samples if (each.system, each.shape, each.round) == (name, shape, number)]

    found: list[float] = []
    for number in sorted({each.round for each in samples}):
        found += [mine / floor for mine, floor in zip(of(system, number), of(FLOOR.name, number), strict=False) if floor > 0]
    return found


def ratios(samples: Sequence[Sample], systems: Sequence[str], shapes: Sequence[Shape], what: str, title: str) -> Sheet:
    """Return the table of ratios to the floor, with the floor's own milliseconds in the last row."""
    rows = []
    for name in systems:
        found = [paired(samples, name, shape, what) for shape in shapes]
        rows.append([name, *(spread(each) if each else "?" for each in found)])
    own = [[getattr(each, what) * 1_000 for each in samples if (each.system, each.shape) == (FLOOR.name, s)] for s in shapes]
    rows.append(["the floor itself, ms", *(spread(each, 0) if each else "?" for each in own)])
    return Sheet(title, ["system", *(words(shape) for shape in shapes)], rows)


def parts(samples: Sequence[Sample], systems: Sequence[str], shape: Shape) -> Sheet:
    """Return the table of the parts of a turn, in milliseconds."""
    rows = []
    for name in systems:
        own = [each for each in samples if (each.system, each.shape) == (name, shape)]
        rows.append([name, *(spread([getattr(each, part) * 1_000 for each in own], 1) if own else "?" for part in PARTS)])
    columns = ("system", "start to question", "answer to first call", "first to last call", "last call to end")
    return Sheet(f"The parts of {words(shape)}, in milliseconds", columns, rows)


def ranges(samples: Sequence[Sample], name: str, shapes: Sequence[Shape], what: str) -> list[Sequence[float] | None]:
    """Return lowest, median and highest ratio for every shape; None where there is none."""
    found = [paired(samples, name, shape, what) for shape in shapes]
    return [(min(each), statistics.median(each), max(each)) if each else None for each in found]


def _rounded(sample: Sample) -> dict[str, Any]:
    return {name: round(value, 5) if isinstance(value, float) else value for name, value in asdict(sample).items()}


def write(samples: Sequence[Sample], systems: Sequence[System], shapes: Sequence[Shape], missing: Mapping[str, str]) -> None:
    """Print the tables, save them, and draw them."""
    every = [system.name for system in systems]
    names = [name for name in every if name != FLOOR.name]
    sheets = [
        ratios(samples, names, shapes, "clock", "Time of a turn, as a ratio to the floor: medians with ranges"),
        ratios(samples, names, shapes, "cpu", "CPU of a turn, its servers included, as a ratio to the floor"),
        *(parts(samples, every, shape) for shape in shapes if shape in ((1, False, 1), (20, False, 1))),
    ]
    if missing:
        sheets.append(Sheet("Not measured", ("system", "why"), list(missing.items()), left=2))
    path = save("others", sheets, [_rounded(each) for each in samples], peers.versions(*contestants.PACKAGES))
    labels = [words(shape) for shape in shapes]
    for what, title in (("clock", "time of a turn, times the floor"), ("cpu", "CPU of a turn, times the floor")):
        values = [ranges(samples, name, shapes, what) for name in names]
        draw_ratios(path.with_name(f"others-{what}.svg"), title, labels, names, values)


async def main(rounds: int, systems: Sequence[System] = SYSTEMS, shapes: Sequence[Shape] = SHAPES) -> list[Sample]:
    """Measure, print and save."""
    missing = {system.name: system.missing for system in systems if system.missing}
    there = tuple(system for system in systems if not system.missing)
    samples: list[Sample] = []
    async with place(there) as where:
        for number in range(rounds):
            shift = number % len(there)
            for system in there[shift:] + there[:shift]:
                samples += await visit(where, system, shapes, number)
                print(f"round {number + 1} of {rounds}: {system.name}", file=sys.stderr)
    write(samples, there, shapes, missing)
    return samples


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asyncio.run(main(parser.parse_args().rounds))
