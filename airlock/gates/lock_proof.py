"""Proof of a lock in three values: all has stopped, all but these calls, or not known. Plain objects without Temporal.

A released slot does not prove that nothing is running: a call in doubt may belong to a worker that is only frozen.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, Field

from airlock.base.model import WireModel
from airlock.base.names import plan_id_of
from airlock.base.text import shorten
from airlock.gates.protocol import Release

IN_DOUBT = "it is in doubt: the plan has not settled whether it took effect, or still may"
LOST = "an attempt at it was lost with its worker, which may only be frozen; a later attempt answered"
VANISHED = "its run was closed while it was live"
RESET = "its run was reset, or started again, while it was live"
KEPT = timedelta(days=30)
"""Time after which a call in doubt is no longer held against a lock."""
KEPT_LOST = timedelta(days=1)
"""The same for a call of which no plan says that it is in doubt: only its worker may still be frozen."""
MAX_BYTES = 200_000
"""Size limit of all doubts of a gate, as JSON."""
_MAX_NAMED = 20
_ANY = ("*",)


class DoubtfulCall(WireModel):
    """Call that may still take effect."""

    plan: str
    """Plan id."""
    step: str
    """Step; empty if it is not known which of the plan's steps it is."""
    since: datetime
    """Time at which the gate learned of it, UTC."""
    why: str
    scopes: tuple[str, ...] = ()
    """Scopes of the plan that a lock matches."""


class UnknownPlan(WireModel):
    """Plan of which nothing is proven."""

    plan: str
    """Plan id; empty if it is not known which plans there are."""
    why: str


class Proved(WireModel):
    """No call is running, and none may take effect."""

    proof: Literal["proved"] = "proved"


class ProvedExcept(WireModel):
    """No call is running but perhaps these."""

    proof: Literal["proved_except"] = "proved_except"
    calls: tuple[DoubtfulCall, ...] = Field(min_length=1)


class Unknown(WireModel):
    """A call of these plans may be running."""

    proof: Literal["unknown"] = "unknown"
    plans: tuple[UnknownPlan, ...] = Field(min_length=1)
    calls: tuple[DoubtfulCall, ...] = ()
    """Calls of other plans that may still take effect."""


LockProof = Proved | ProvedExcept | Unknown


def lock_proof(plans: Iterable[UnknownPlan], calls: Iterable[DoubtfulCall]) -> LockProof:
    """Return the proof of a lock.

    Args:
        plans: The plans that were live and have not released their slot, or are not known.
        calls: The calls that may still take effect.
    """
    unknown, doubtful = tuple(plans), tuple(calls)
    if unknown:
        return Unknown(plans=unknown, calls=doubtful)
    return ProvedExcept(calls=doubtful) if doubtful else Proved()


class Doubt(BaseModel):
    """Call that may still take effect, as a gate remembers it. Times are UTC."""

    since: datetime
    until: datetime
    why: str


class HolderDoubts(BaseModel):
    """Calls of one holder that may still take effect."""

    scopes: tuple[str, ...]
    calls: dict[str, Doubt] = Field(default_factory=dict)
    """By step; the empty name stands for steps that are not known, or not named."""
    said_at: datetime | None = Field(default=None, exclude_if=lambda at: at is None)
    """Time at which the holder said so, UTC, where it says times."""


class Doubts(BaseModel):
    """Calls that may still take effect, as their plans told the live gate. Mutable, and carried with its gate."""

    held: dict[str, HolderDoubts] = Field(default_factory=dict)
    """By workflow id."""
    size: int = 0
    """Size of `held`, approximately, as JSON."""
    more_until: datetime | None = None
    """Time until which calls count for which there was no room; None without such."""
    forgotten_until: datetime | None = None
    """Time until which the holders of an earlier run of the gate count that could not be read; None without such."""
    forgotten: str = ""
    """Reason why they could not be read."""

    def take(self, release: Release, scopes: tuple[str, ...], now: datetime) -> None:
        """Replace the doubts of a holder by those that it tells; a doubt that it told before keeps its time.

        Args:
            release: The holder's message.
            scopes: Its scopes.
            now: UTC.
        """
        self.expire(now)
        if _is_old(release, self.held.get(release.holder)):
            return
        before = self._forget(release.holder)
        told = {**_doubts(release.lost, LOST, now, KEPT_LOST), **_doubts(release.doubts, IN_DOUBT, now, KEPT)}
        for step, doubt in told.items():
            if before is not None and step in before.calls:
                doubt.since = before.calls[step].since
        # what another run of this holder left is not for this one to settle
        kept = {step: doubt for step, doubt in (before.calls if before else {}).items() if doubt.why in (VANISHED, RESET)}
        self._keep(release.holder, HolderDoubts(scopes=scopes, calls={**kept, **told}, said_at=release.said_at))

    def add(self, holder: str, scopes: tuple[str, ...], steps: Iterable[str], why: str, now: datetime) -> None:
        """Add calls of a holder that can tell nothing itself any more."""
        self.expire(now)
        before = self._forget(holder)
        added = _doubts(steps, why, now, KEPT_LOST)
        calls = {**(before.calls if before else {}), **added}
        self._keep(holder, HolderDoubts(scopes=scopes, calls=calls, said_at=before.said_at if before else None))

    def forget_holders(self, why: str, now: datetime) -> None:
        """Record that the holders of an earlier run of the gate are not known."""
        self.forgotten, self.forgotten_until = shorten(why), now + KEPT_LOST

    def knows(self, holder: str) -> bool:
        """Return True if a holder told of doubts."""
        return holder in self.held

    def scopes_of(self, holder: str) -> tuple[str, ...]:
        """Return the scopes of a holder; `*` for one that is not known."""
        known = self.held.get(holder)
        return known.scopes if known else _ANY

    def expire(self, now: datetime) -> None:
        """Drop what is too old to be held against a lock."""
        for holder in list(self.held):
            known = self.held[holder]
            left = {step: doubt for step, doubt in known.calls.items() if doubt.until > now}
            if len(left) < len(known.calls):
                self._forget(holder)
                self._keep(holder, known.model_copy(update={"calls": left}))
        if self.more_until is not None and self.more_until <= now:
            self.more_until = None
        if self.forgotten_until is not None and self.forgotten_until <= now:
            self.forgotten, self.forgotten_until = "", None

    def calls(self) -> tuple[DoubtfulCall, ...]:
        """Return every call that may still take effect."""
        return tuple(
            DoubtfulCall(plan=plan_id_of(holder), step=step, since=doubt.since, why=doubt.why, scopes=known.scopes)
            for holder, known in self.held.items()
            for step, doubt in known.calls.items()
        )

    def unknown(self, rows: int) -> tuple[UnknownPlan, ...]:
        """Return what is not known about which plans, if at most `rows` calls are listed."""
        plans: list[UnknownPlan] = []
        if (left_out := sum(len(known.calls) for known in self.held.values()) - rows) > 0:
            plans.append(UnknownPlan(plan="", why=f"{left_out} more calls are in doubt than are listed"))
        if self.forgotten_until is not None:
            plans.append(UnknownPlan(plan="", why=self.forgotten))
        if self.more_until is not None:
            plans.append(UnknownPlan(plan="", why="more calls are in doubt than the gate has room for"))
        return tuple(plans)

    def _forget(self, holder: str) -> HolderDoubts | None:
        known = self.held.pop(holder, None)
        self.size -= _size(holder, known) if known else 0
        return known

    def _keep(self, holder: str, known: HolderDoubts) -> None:
        if not known.calls:
            return
        if len(known.calls) > _MAX_NAMED:
            first = dict(list(known.calls.items())[:_MAX_NAMED])
            last = max(known.calls.values(), key=lambda doubt: doubt.until)
            why = f"{len(known.calls) - _MAX_NAMED} more steps of it may take effect"
            known = known.model_copy(update={"calls": {**first, "": last.model_copy(update={"why": why})}})
        size = _size(holder, known)
        if self.size + size > MAX_BYTES:
            latest = max(doubt.until for doubt in known.calls.values())
            self.more_until = max(self.more_until or latest, latest)
            return
        self.held[holder] = known
        self.size += size


def _is_old(release: Release, known: HolderDoubts | None) -> bool:
    """Return True if the holder has said something else since: any client can send what it said once again."""
    later = known.said_at if known is not None else None
    return later is not None and release.said_at is not None and release.said_at < later


def _doubts(steps: Iterable[str], why: str, now: datetime, kept: timedelta) -> dict[str, Doubt]:
    return {step: Doubt(since=now, until=now + kept, why=why) for step in sorted(steps)}


def _size(holder: str, known: HolderDoubts) -> int:
    return len(holder) + len(known.model_dump_json()) + 6
