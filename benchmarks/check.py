"""Measure the CPU time of `airlock check` for a large plan: `.venv/bin/python -m benchmarks.check 5000`, or `make bench`.

Each shape twice: with steps that share a line of the output, and with steps of which each has a reason of its own, and so a
line of its own.
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.large import SHAPES, document
from benchmarks.waiting import CONFIG
from devtools.environment import ROOT

RUNS = 3


def seconds(plan: Path, config: Path) -> float:
    """Return the CPU time of one run, user and system."""
    command = [sys.executable, str(ROOT / "starter.py"), "check", str(plan), "--config", str(config)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, cwd=ROOT, timeout=600, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the medians of several runs."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    table = Table(title=f"Seconds of CPU of `airlock check` for {count:,} steps")
    for column in ("shape", "all alike", "each with a line of its own"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as name:
        config, file = Path(name) / "airlock.toml", Path(name) / "plan.json"
        config.write_text(CONFIG, encoding="utf-8")
        for shape, width in SHAPES:
            found = []
            for alike in (True, False):
                plan = document("checked", count, width)
                for number, step in enumerate(plan["steps"]):
                    # each step has another reason: another confidence, too low for a preview
                    step["confidence"] = 0.95 if alike else round(0.1 + number / 100_000, 5)
                file.write_text(json.dumps(plan), encoding="utf-8")
                found.append(median(seconds(file, config) for _ in range(RUNS)))
            table.add_row(shape, *(f"{each:.2f}" for each in found))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
