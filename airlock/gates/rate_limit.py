"""Turns under a rate limit: the time from which each call may be made. Times are seconds since the epoch, UTC."""

import math

from pydantic import BaseModel, Field

from airlock.base.canonical import digest
from airlock.gates.protocol import HoldOff, Permit

MAX_TURNS = 3_000
"""Limit of turns, past and future. Beyond it, permits are refused until some have expired."""
_KEY = 64
"""A longer key is kept as its digest."""
_COUNTED = 1_000
"""A limit of more calls is kept as fewer calls in a shorter time, which is no looser."""
MAX_HOLD_OFF = 7 * 86_400.0
"""Longest pause that a target may ask for, in seconds."""
_USED = ""
"""Key of a turn that was used."""


class Turns(BaseModel):
    """Turns under a rate limit: at most `calls` of them in any window of `per` seconds."""

    turns: list[tuple[str, float]] = Field(default_factory=list)
    """Key and time of each turn, in order of time; expired turns are discarded."""
    held_until: float = 0.0
    """Time before which no turn is given, because the target asked for a pause."""
    calls: int = 1
    per: float = 0.0

    def turn(self, permit: Permit, now: float) -> float | None:
        """Return the seconds until the turn of a permit, 0 or more; None if `MAX_TURNS` is reached.

        The same key keeps its future turn. The answer 0 uses the turn: the next permit with that key is for another call.
        """
        parts = math.ceil(permit.calls / _COUNTED)
        self._prune(now)  # before `per` changes: a call counts in the window under which it was made
        self.calls, self.per = max(permit.calls // parts, 1), permit.per / parts
        key = permit.key if len(permit.key) <= _KEY else digest(permit.key)
        for index, (known, at) in enumerate(self.turns):
            if known == key and at <= now < self.held_until:  # its turn came, but the target has asked for a pause since
                del self.turns[index]
                break
            if known == key:
                self.turns[index] = (key if at > now else _USED, at)
                return max(at - now, 0.0)
        if len(self.turns) >= MAX_TURNS:
            return None
        at = self._next(now)
        self.turns.append((key if at > now else _USED, at))
        return max(at - now, 0.0)

    def hold_off(self, hold: HoldOff, now: float) -> None:
        """Give no turn for the requested seconds, and move the future turns behind them."""
        self.held_until = max(self.held_until, now + hold.seconds)
        waiting = [key for key, at in self.turns if at > now]
        self.turns = [turn for turn in self.turns if turn[1] <= now]
        for key in waiting:
            self.turns.append((key, self._next(now)))

    def idle_in(self, now: float) -> float:
        """Return the seconds until all turns have expired; 0 means now."""
        last = self.turns[-1][1] + self.per if self.turns else now
        return max(last - now, self.held_until - now, 0.0)

    def _next(self, now: float) -> float:
        last = self.turns[-1][1] if self.turns else now
        at = max(now, self.held_until, last)
        return max(at, self.turns[-self.calls][1] + self.per) if len(self.turns) >= self.calls else at

    def _prune(self, now: float) -> None:
        self.turns = [turn for turn in self.turns if turn[1] + self.per > now]
