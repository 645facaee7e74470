"""`python -m airlock.worker`, `airlock-worker` and `python worker.py`: one and the same program."""

from airlock.program import run_and_leave, usage_name
from airlock.worker.command import PROGRAM, app


def main() -> None:
    """Run the worker and end the process with its exit code."""
    run_and_leave(lambda: app(prog_name=usage_name(PROGRAM, "worker.py", "airlock.worker")))


if __name__ == "__main__":
    main()
