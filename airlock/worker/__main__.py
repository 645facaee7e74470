"""`python -m airlock.worker`, `airlock-worker` and `python worker.py`: one and the same program."""

from airlock.worker.command import run_and_leave as main

if __name__ == "__main__":
    main()
