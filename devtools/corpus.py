"""`make corpus`: 200 real plans through Airlock, compared with calling the original APIs directly.

See docs/contributing/corpus.md.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from airlock.base.errors import AirlockError
from airlock.cli.output import INTERRUPTED, OK, REFUSED, command
from devtools.corpus_checks import Checked, choose
from devtools.corpus_run import AT_ONCE, Told, backward, forward, running_corpus
from devtools.programs import alone
from sandbox.corpus_data import CorpusPlan, load_plans
from sandbox.processes import NotReady

SEED = 22


@dataclass(frozen=True)
class Pass:
    """One pass over the plans, and how long it took."""

    name: str
    compared_with: str
    checked: Sequence[Checked]
    seconds: float

    @property
    def unequal(self) -> list[Checked]:
        """The plans that did not reach the expected state."""
        return [each for each in self.checked if each.why]


async def run(plans: Sequence[CorpusPlan], seed: int, progress: Progress) -> list[Pass]:
    """Make both passes over some plans, with a progress bar for each."""
    async with running_corpus() as corpus:
        passes = []
        for name, compared_with in (("live", "calling the APIs directly"), ("failing", "the initial state")):
            bar = progress.add_task(name, total=len(plans), unequal=0)
            told = _telling(progress, bar)
            started = time.monotonic()
            work = forward(corpus, plans, told) if name == "live" else backward(corpus, plans, seed, told)
            passes.append(Pass(name, compared_with, await work, time.monotonic() - started))
        return passes


def _telling(progress: Progress, bar: object) -> Told:
    unequal = 0

    def told(checked: Checked) -> None:
        nonlocal unequal
        unequal += bool(checked.why)
        progress.update(bar, advance=1, unequal=unequal)  # type: ignore[arg-type]  # a TaskID is an int

    return told


def as_json(passes: Sequence[Pass], seed: int) -> str:
    """Return all findings, for programs."""
    found = [
        {
            "name": each.name,
            "compared_with": each.compared_with,
            "plans": len(each.checked),
            "calls": sum(one.calls for one in each.checked),
            "undone": sum(one.undone for one in each.checked),
            "equal": len(each.checked) - len(each.unequal),
            "unequal": [asdict(one) for one in each.unequal],
            "state_had_moved": sum(one.moved for one in each.checked),
            "generators_moved": [one.plan_id for one in each.checked if one.drawn],
            "seconds": round(each.seconds, 1),
        }
        for each in passes
    ]
    return json.dumps({"seed": seed, "passes": found, "ok": not any(each.unequal for each in passes)}, indent=2)


def show(console: Console, passes: Sequence[Pass], seed: int) -> None:
    """Print the table, and the reasons why a plan is unequal."""
    table = Table(title=f"Corpus, seed {seed}, {AT_ONCE} plans at a time")
    table.add_column("pass")
    table.add_column("compared with")
    for name in ("plans", "calls", "undone", "equal", "unequal", "seconds"):
        table.add_column(name, justify="right")
    for each in passes:
        calls, undone = sum(one.calls for one in each.checked), sum(one.undone for one in each.checked)
        equal = len(each.checked) - len(each.unequal)
        numbers = (len(each.checked), calls, undone, equal, len(each.unequal))
        table.add_row(each.name, each.compared_with, *map(str, numbers), f"{each.seconds:.0f}")
    console.print(table)
    for each in passes:
        moved = sum(one.moved for one in each.checked)
        console.print(f"{each.name}: the calls changed the state in {moved} of {len(each.checked)} plans", highlight=False)
        for one in each.checked:
            if one.drawn and not one.why:
                console.print(
                    f"  {one.plan_id}: equal, but a call drew from a random generator, which is not state", soft_wrap=True
                )
        for one in each.unequal:
            console.print(f"  {one.plan_id}: unequal", style="bold red", highlight=False)
            for why in one.why:
                console.print(f"    {why}", markup=False, highlight=False)


@command
def corpus(
    plans: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The number of plans, chosen by the seed; all unless given.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Decides which plans, and where each fails.")] = SEED,
    json_wanted: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> int:
    """Send real plans through Airlock, and compare with calling the original APIs directly. See docs/contributing/corpus.md.

    Exits 0 when every plan is equal in both passes.
    """
    every = load_plans()
    chosen = choose(every, len(every) if plans is None else plans, seed)
    columns = ("{task.description}", "{task.fields[unequal]} unequal")
    bars = (TextColumn(columns[0]), BarColumn(), MofNCompleteColumn(), TextColumn(columns[1]), TimeElapsedColumn())
    try:
        with Progress(*bars, console=Console(stderr=True)) as progress:
            passes = asyncio.run(run(chosen, seed, progress))
    except (AirlockError, NotReady) as error:
        print(f"the corpus cannot run: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("stopped; nothing is left running", file=sys.stderr)
        return INTERRUPTED
    if json_wanted:
        print(as_json(passes, seed))
    else:
        show(Console(), passes, seed)
    return REFUSED if any(each.unequal for each in passes) else OK


if __name__ == "__main__":
    alone(corpus)()
