"""The CPU time that a command line takes before it does anything: `python -m benchmarks.startup`."""

import resource
import subprocess
import sys
from statistics import median

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


def main() -> None:
    """Print the median of several runs of each line."""
    for arguments in LINES:
        taken = [seconds(arguments) for _ in range(RUNS)]
        print(f"airlock {' '.join(arguments):16} {median(taken):6.3f} s of CPU, {min(taken):.3f} at best, {RUNS} runs")


if __name__ == "__main__":
    main()
