"""A command on a leash: it ends when the process that holds its stdin does, in whatever way. Standard library only.

`python leash.py COMMAND...`: the command takes over this process, so its pid is the one the caller knows; a small watcher
beside it waits for the end of stdin and then kills it. The watcher ends with the command.
"""

import os
import select
import signal
import sys

_LOOK = 0.5
"""Seconds between two checks that the command still runs."""


def main() -> None:
    """Become the command; never returns."""
    target = os.getpid()
    held = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    if os.fork() == 0:
        _watch(held, target)
    os.set_inheritable(held, False)
    try:
        os.execvp(sys.argv[1], sys.argv[1:])
    except OSError as error:
        sys.exit(f"cannot run {sys.argv[1]}: {error.strerror}")


def _watch(held: int, target: int) -> None:
    os.setsid()  # what is sent to the group of the command is not for us
    for number in (1, 2):
        os.dup2(0, number)  # the log belongs to the command
    while os.getppid() == target:
        readable, _, _ = select.select([held], [], [], _LOOK)
        if readable and not os.read(held, 4096):
            if os.getppid() == target:
                os.kill(target, signal.SIGKILL)
            break
    os._exit(0)


if __name__ == "__main__":
    main()
