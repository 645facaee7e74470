"""Turns under a rate limit: a point in time for each call. Times are seconds since the epoch, UTC."""

import math

from pydantic import BaseModel, Field

from airlock.base.canonical import digest
from airlock.gates.protocol import HoldOff, Permit

MAX_TURNS = 3_000
"""So many turns are kept, past and to come; beyond that a permit is refused until some have passed."""
_KEY = 64
_COUNTED = 1_000
"""A limit of more calls is kept as one of fewer calls in a shorter time, which is no looser."""
MAX_HOLD_OFF = 7 * 86_400.0
_USED = ""
"""In place of the key of a turn that was used up."""


class Turns(BaseModel):
    """Turns under a rate limit: at most `calls` of them in any stretch of `per` seconds.

    A turn says from when on a call may be made. `turns` are in order of time; those that have left the window are let go.
    """

    turns: list[tuple[str, float]] = Field(default_factory=list)
    held_until: float = 0.0
    calls: int = 1
    per: float = 0.0

    def turn(self, permit: Permit, now: float) -> float | None:
        """Return the turn of a permit, in seconds from now, 0 or more. None if no more can be kept.

        Asking again keeps a turn that is still to come; the answer 0 uses it up, and the next question is for another call.
        """
        parts = math.ceil(permit.calls / _COUNTED)
        # a call counts until the longest window that a caller named has passed
        self._prune(now)
        self.calls, self.per = max(permit.calls // parts, 1), permit.per / parts
        key = permit.key if len(permit.key) <= _KEY else digest(permit.key)
        for place, (known, at) in enumerate(self.turns):
            if known == key and at <= now < self.held_until:  # it came too late: the target wants no call now
                del self.turns[place]
                break
            if known == key:
                self.turns[place] = (key if at > now else _USED, at)
                return max(at - now, 0.0)
        if len(self.turns) >= MAX_TURNS:
            return None
        at = self._next(now)
        self.turns.append((key if at > now else _USED, at))
        return max(at - now, 0.0)

    def hold_off(self, hold: HoldOff, now: float) -> None:
        """Give no turn for so long; turns to come that lie before that are moved."""
        self.held_until = max(self.held_until, now + hold.seconds)
        waiting = [key for key, at in self.turns if at > now]
        self.turns = [turn for turn in self.turns if turn[1] <= now]
        for key in waiting:
            self.turns.append((key, self._next(now)))

    def idle_in(self, now: float) -> float:
        """After how many seconds nothing here matters any more; 0 means now."""
        last = self.turns[-1][1] + self.per if self.turns else now
        return max(last - now, self.held_until - now, 0.0)

    def _next(self, now: float) -> float:
        last = self.turns[-1][1] if self.turns else now
        at = max(now, self.held_until, last)
        return max(at, self.turns[-self.calls][1] + self.per) if len(self.turns) >= self.calls else at

    def _prune(self, now: float) -> None:
        self.turns = [turn for turn in self.turns if turn[1] + self.per > now]
