"""The launch of a program: what is imported first costs every start, so this imports next to nothing."""

import gc
import signal
from collections.abc import Callable
from typing import Any


def launch(load: Callable[[], Callable[[], Any]]) -> None:
    """Load a command line, run it, and end the process with its exit code.

    Args:
        load: Imports the command line, and returns the function that runs it.
    """
    gc.set_threshold(50_000)  # every 700 objects, as by default, is a tenth of the time that the imports below take
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports below ends without a traceback
    application = load()
    from airlock.program import run_and_leave

    signal.signal(signal.SIGINT, signal.default_int_handler)
    run_and_leave(application)
