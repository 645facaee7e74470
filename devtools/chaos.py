"""`make chaos`: many plans at once while workers and the server are killed; then the real systems are asked.

See docs/contributing/chaos.md.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from airlock.base.errors import AirlockError
from airlock.cli.output import INTERRUPTED, OK, REFUSED, command
from devtools.chaos_checks import Finding, judge, shown
from devtools.chaos_run import Dose, run
from devtools.environment import ROOT
from devtools.programs import alone
from sandbox.processes import NotReady

FOLDER = ROOT / ".airlock" / "chaos"
PLANS = 100


def as_json(findings: Sequence[Finding], seed: int, plans: int, seconds: float) -> str:
    """Return all findings, for programs."""
    found = [{"claim": each.claim, "holds": each.holds, "seen": each.seen, "wrong": each.wrong} for each in findings]
    ok = all(each.holds for each in findings)
    return json.dumps({"seed": seed, "plans": plans, "seconds": round(seconds, 1), "claims": found, "ok": ok}, indent=2)


def show(console: Console, findings: Sequence[Finding], seed: int, plans: int, seconds: float) -> None:
    """Print the table of the claims, and the evidence against them."""
    table = Table(title=f"Chaos, seed {seed}: {plans} plans in {seconds:.0f} s")
    for column in ("claim", "", "what was looked at"):
        table.add_column(column)
    for each in findings:
        table.add_row(each.claim, "PASS" if each.holds else "FAIL", each.seen, style="" if each.holds else "bold red")
    console.print(table)
    for each in findings:
        for line in shown(each.wrong):
            console.print(f"{each.claim}: FAIL: {line}", markup=False, highlight=False, soft_wrap=True)


@command
def chaos(
    plans: Annotated[int, typer.Option(min=10, metavar="N", help="The number of plans.")] = PLANS,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Decides which plans, and what is killed when; random unless given.")
    ] = None,
    json_wanted: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> int:
    """Run many plans at once while workers and the server are killed; then ask the real systems.

    Exits 0 when every claim holds.
    """
    chosen = random.randrange(1_000_000) if seed is None else seed
    print(f"seed {chosen}: repeat with `python -m devtools.chaos --seed {chosen} --plans {plans}`", file=sys.stderr)
    started = time.monotonic()
    try:
        evidence = asyncio.run(run(FOLDER, chosen, plans, Dose(), lambda line: print(line, file=sys.stderr)))
    except (AirlockError, NotReady) as error:
        print(f"the chaos run cannot run: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("stopped; nothing is left running", file=sys.stderr)
        return INTERRUPTED
    findings, seconds = judge(evidence), time.monotonic() - started
    if json_wanted:
        print(as_json(findings, chosen, plans, seconds))
    else:
        show(Console(), findings, chosen, plans, seconds)
    return OK if all(each.holds for each in findings) else REFUSED


if __name__ == "__main__":
    alone(chaos)()
