"""`make chaos`: many plans at once while everything that can be is killed; then the real systems are asked.

See docs/contributing/chaos.md.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from airlock.base.errors import AirlockError
from devtools.chaos_checks import Finding, judge, shown
from devtools.chaos_run import Dose, run
from devtools.environment import ROOT
from sandbox.processes import NotReady

FOLDER = ROOT / ".airlock" / "chaos"
PLANS = 100


def as_json(findings: Sequence[Finding], seed: int, plans: int, seconds: float) -> str:
    """Everything that was found, for programs."""
    found = [{"claim": each.claim, "holds": each.holds, "seen": each.seen, "wrong": each.wrong} for each in findings]
    ok = all(each.holds for each in findings)
    return json.dumps({"seed": seed, "plans": plans, "seconds": round(seconds, 1), "claims": found, "ok": ok}, indent=2)


def show(console: Console, findings: Sequence[Finding], seed: int, plans: int, seconds: float) -> None:
    """The table a person reads, and what contradicts a claim."""
    table = Table(title=f"Chaos, seed {seed}: {plans} plans in {seconds:.0f} s")
    for column in ("claim", "", "what was looked at"):
        table.add_column(column)
    for each in findings:
        table.add_row(each.claim, "PASS" if each.holds else "FAIL", each.seen, style="" if each.holds else "bold red")
    console.print(table)
    for each in findings:
        for line in shown(each.wrong):
            console.print(f"{each.claim}: FAIL: {line}", markup=False, highlight=False, soft_wrap=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m devtools.chaos", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--plans", type=int, default=PLANS, help=f"how many (default: {PLANS})")
    parser.add_argument("--seed", type=int, help="which plans, and who is killed when (default: another one each time)")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    given = parser.parse_args()
    if given.plans < 10:
        parser.error("--plans must be 10 or more")
    return given


def main() -> int:
    """Run it; 0 when every claim holds, else 1."""
    given = _arguments()
    seed = random.randrange(1_000_000) if given.seed is None else given.seed
    print(f"seed {seed}: repeat with `python -m devtools.chaos --seed {seed} --plans {given.plans}`", file=sys.stderr)
    started = time.monotonic()
    try:
        evidence = asyncio.run(run(FOLDER, seed, given.plans, Dose(), lambda line: print(line, file=sys.stderr)))
    except (AirlockError, NotReady) as error:
        print(f"the chaos run cannot run: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing is left running", file=sys.stderr)
        return 130
    findings, seconds = judge(evidence), time.monotonic() - started
    if given.json:
        print(as_json(findings, seed, given.plans, seconds))
    else:
        show(Console(), findings, seed, given.plans, seconds)
    return 0 if all(each.holds for each in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
