"""`python -m airlock.worker`, `airlock-worker` and `python worker.py`: one and the same program."""

from collections.abc import Callable
from typing import Any

from airlock.launch import launch


def main() -> None:
    """Run the worker and end the process with its exit code."""
    launch(_load)


def _load() -> Callable[[], Any]:
    from airlock.program import usage_name
    from airlock.worker.command import PROGRAM, app

    return lambda: app(prog_name=usage_name(PROGRAM, "worker.py", "airlock.worker"))


if __name__ == "__main__":
    main()
