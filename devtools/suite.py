"""Runs all tests, side by side; then those that failed once more, one at a time: python -m devtools.suite.

They share a machine with each other, and in CI with others, and no wait can be long enough for every machine. A test that
fails beside others and passes alone is named at the end: it does not wait for long enough, or what it tests does not.
"""

import json
import subprocess
import sys
from pathlib import Path

SIDE_BY_SIDE = ("-n", "4", "--dist", "loadfile", "--no-loadscope-reorder")
"""Four at a time on two cores: they wait as much as they compute. A file stays in one process."""
ALONE = ("--last-failed", "--last-failed-no-failures", "none")
LAST_FAILED = Path(".pytest_cache/v/cache/lastfailed")
"""The file in which pytest notes the tests that failed."""
MOST = 10
"""The most failures that are looked at again. More of them are no accident."""


def main(*arguments: str) -> int:
    """Return 0 if every test has passed, side by side or alone; otherwise pytest's own code.

    Args:
        arguments: More arguments for the tests side by side.
    """
    LAST_FAILED.unlink(missing_ok=True)
    code = _pytest(*SIDE_BY_SIDE, *arguments)
    failed = json.loads(LAST_FAILED.read_text(encoding="utf-8")) if code == 1 else {}
    if not 0 < len(failed) <= MOST:
        return code
    print(f"\n{len(failed)} failed beside others, and are run once more, one at a time\n", flush=True)
    code = _pytest(*ALONE)
    verdict = "passed" if code == 0 else "not all passed"
    print(f"\nFailed beside others, and {verdict} alone:", *failed, sep="\n  ", flush=True)
    return code


def _pytest(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
