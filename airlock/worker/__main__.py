"""`python -m airlock.worker`, `airlock-worker` and `python worker.py`: one and the same program."""

import gc
import signal


def main() -> None:
    """Run the worker and end the process with its exit code."""
    gc.set_threshold(50_000)  # every 700 objects, as by default, is a tenth of the time that the imports below take
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports below ends without a traceback
    from airlock.program import run_and_leave, usage_name
    from airlock.worker.command import PROGRAM, app

    signal.signal(signal.SIGINT, signal.default_int_handler)
    run_and_leave(lambda: app(prog_name=usage_name(PROGRAM, "worker.py", "airlock.worker")))


if __name__ == "__main__":
    main()
