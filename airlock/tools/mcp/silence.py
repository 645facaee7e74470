"""The time for which an open session was waited for in vain."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Silence:
    """The seconds for which a server was waited for in vain, counted once where several callers wait at the same time."""

    def __init__(self) -> None:
        self._before, self._since, self._waiting = 0.0, 0.0, 0

    @property
    def seconds(self) -> float:
        """Seconds since the last answer in which at least one caller waited."""
        return self._before + (time.monotonic() - self._since if self._waiting else 0.0)

    @contextmanager
    def lasting(self) -> Iterator[None]:
        """Count the time of a block as waited."""
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting += 1
        try:
            yield
        finally:
            self._before, self._since = self.seconds, time.monotonic()
            self._waiting -= 1

    def end(self) -> None:
        """Begin to count again: the server has answered."""
        self._before, self._since = 0.0, time.monotonic()
