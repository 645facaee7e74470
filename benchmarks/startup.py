"""The CPU time that a command line takes before it does anything: `python -m benchmarks.startup`."""

import resource
import subprocess
import sys
from collections.abc import Sequence
from statistics import median

from benchmarks.report import Sheet, save
from devtools.environment import ROOT

RUNS = 7
LINES = (("--help",), ("--version",), ("list", "--help"), ("check", "--help"), ("tools", "--help"))


def seconds(arguments: tuple[str, ...]) -> float:
    """Return the CPU time of one run, user and system, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, str(ROOT / "starter.py"), *arguments], stdout=subprocess.DEVNULL, cwd=ROOT, timeout=120, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(lines: Sequence[tuple[str, ...]] = LINES, runs: int = RUNS) -> None:
    """Measure several runs of each line, print and save."""
    rows = []
    for arguments in lines:
        taken = [seconds(arguments) for _ in range(runs)]
        rows.append([f"airlock {' '.join(arguments)}", f"{median(taken):.3f} s", f"{min(taken):.3f} s", str(runs)])
    save("startup", [Sheet("CPU of a command line", ("line", "median", "best", "runs"), rows)])


if __name__ == "__main__":
    main()
