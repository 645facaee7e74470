"""A file that one process holds as long as it lives: it has the folder that the file stands for to itself."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from airlock.base.errors import AirlockError


class AlreadyRunning(AirlockError):
    """Another process holds the lock; the message holds its note."""


@contextmanager
def held(path: Path) -> Iterator[Callable[[str], None]]:
    """Hold the lock, and yield a function that leaves a note for a process that finds it held. A crash frees the lock, too.

    Raises:
        AlreadyRunning: If another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            said = file.read().strip()
            folder = path.with_suffix("")
            raise AlreadyRunning(
                f"another process already uses {folder}{f' ({said})' if said else ''}: stop it, or use another --folder"
            ) from None

        def note(text: str) -> None:
            file.seek(0)
            file.truncate()
            file.write(f"pid {os.getpid()}, {text}\n")
            file.flush()

        note("starting")
        yield note
