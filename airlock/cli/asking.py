"""Questions to the person at the terminal."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def ended_by_ctrl_c() -> Iterator[None]:
    """Let the first Ctrl-C end a question, and with it the command.

    The event loop answers the first Ctrl-C by a cancellation, which a task that waits for the keyboard does not notice.

    Raises:
        KeyboardInterrupt: If Ctrl-C was pressed; typer calls that and the end of the input by one name.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except typer.Abort as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        # None stands for a handler that Python did not set, and cannot set again
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
