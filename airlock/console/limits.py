"""Limits on how often something may be asked: a bucket of tokens for each sender, in bounded memory."""

import time
from collections import OrderedDict
from collections.abc import Callable

MOST = 10_000
"""Senders that are remembered; the one that was silent the longest is forgotten."""


class RateLimit:
    """A number of requests at once, and a steady rate after them, for each sender.

    Args:
        burst: The number at once.
        every: Seconds after which another one is allowed.
        clock: Returns seconds that never go back.
    """

    def __init__(self, burst: int, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._every, self._clock = burst, every, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """The tokens of each sender, and the time at which they were counted."""

    def allows(self, sender: str) -> bool:
        """Return True, and take a token, if a sender may ask now."""
        now = self._clock()
        tokens, at = self._left.get(sender, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + (now - at) / self._every)
        allowed = tokens >= 1.0
        self._left[sender] = (tokens - 1.0 if allowed else tokens, now)
        self._left.move_to_end(sender)
        if len(self._left) > MOST:
            self._left.popitem(last=False)
        return allowed
