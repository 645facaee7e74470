"""`python -m airlock`, `airlock` and `python starter.py`: one and the same program."""

from collections.abc import Callable
from typing import Any

from airlock.launch import launch


def main() -> None:
    """Run the command line and end the process with its exit code."""
    launch(_load)


def _load() -> Callable[[], Any]:
    from airlock.cli.app import app
    from airlock.program import usage_name

    return lambda: app(prog_name=usage_name("airlock", "starter.py", "airlock"))


if __name__ == "__main__":
    main()
