"""Airlock's command line; see `python starter.py --help`."""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while the imports below run: an end without a traceback

from cli.app import app  # noqa: E402
from cli.output import run_and_leave  # noqa: E402

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run_and_leave(app)
