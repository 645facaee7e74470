"""The locks of a gate, and the proof that they hold: who was told, who is out since when, who cannot be reached.

What is remembered is bounded: 100 locks, 1,000 lines of proof, and of those kept out 10,000 names and 400 KB; who comes
after that is only counted, and has to be unlocked by hand.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, Field

from airlock.base.incoming import Verdict
from airlock.base.model import WireModel
from airlock.base.names import RESERVED
from airlock.base.text import shorten

MAX_LOCKS = 100
MAX_TOLD = 1_000
MAX_KEPT_OUT = 10_000
MAX_KEPT_OUT_BYTES = 400_000
_ANY = ("*",)

Party = tuple[str, tuple[str, ...]]
"""A workflow id and its scopes."""


class NoticeKind(StrEnum):
    """The kinds of notice: a waiting plan may ask again, a holder is locked, a plan is unlocked."""

    GRANTED = "granted"
    LOCK = "lock"
    UNLOCK = "unlock"


class Notice(WireModel):
    """Something to tell a workflow. `request` is whose grant it is, `by` and `reason` whose lock."""

    kind: NoticeKind
    to: str
    request: str = ""
    by: str = ""
    reason: str = ""


class GateLock(WireModel):
    """A lock. `scope` is None for all, or `agent:x`, `tool:y`, `resource:z`. `gate` says what is locked; `at` is UTC."""

    scope: str | None
    by: str
    reason: str
    at: datetime
    gate: str = "live gate"

    def matches(self, scopes: tuple[str, ...]) -> bool:
        """Return True if it closes the gate for a plan with these scopes; `resource:*` stands for any resource."""
        wide = (f"{self.scope.partition(':')[0]}:*", *_ANY) if self.scope else ()
        return self.scope is None or self.scope in scopes or any(scope in scopes for scope in wide)

    @property
    def why(self) -> str:
        """The text shown to the plans that this lock excludes."""
        scope = f" for {self.scope}" if self.scope else ""
        who = f" by {self.by}" if self.told_by != self.by else ""
        return shorten(f"{self.gate} locked{scope}{who}: {self.reason}")

    @property
    def told_by(self) -> str:
        """The name shown as the author of the lock; no plan takes a signal in the name of Airlock or of a monitor."""
        return self.gate if self.by.lower() in RESERVED else self.by


class NotifiedHolder(BaseModel):
    """The proof for one holder that was told of a lock: when, since when it is out, or why it cannot be reached. UTC.

    `unlock` is what it is told once it is out, because the lock was lifted before that.
    """

    holder: str
    scopes: tuple[str, ...]
    told_at: datetime
    quiesced_at: datetime | None = None
    unreachable: str | None = None
    unlock: Notice | None = None


class Barrier(BaseModel):
    """All locks of one gate. Mutable, a part of its gate. `forgotten` counts those kept out whose names are not kept."""

    locks: list[GateLock] = Field(default_factory=list)
    told: dict[str, NotifiedHolder] = Field(default_factory=dict)
    kept_out: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    kept_out_bytes: int = 0
    forgotten: int = 0

    @property
    def empty(self) -> bool:
        """True if there is nothing to remember."""
        return not (self.locks or self.told or self.kept_out)

    @property
    def finishing(self) -> tuple[str, ...]:
        """Return the holders that were notified and still hold a slot."""
        return tuple(holder for holder, told in self.told.items() if told.quiesced_at is None)

    def closed_for(self, scopes: tuple[str, ...]) -> GateLock | None:
        """Return the first lock that excludes a plan with these scopes."""
        return next((lock for lock in self.locks if lock.matches(scopes)), None)

    def lock(self, lock: GateLock, inside: Iterable[Party], outside: Iterable[Party]) -> tuple[Verdict, list[Notice]]:
        """Add a lock.

        Args:
            lock: The lock.
            inside: Who is in and matches.
            outside: Who waits and matches; they count as kept out.

        Returns:
            The verdict, and the notices to send.
        """
        if found := self._of(lock.scope):
            return _no(f"{_what(lock.scope)} is locked already, by {found.by}: {found.reason}"), []
        if len(self.locks) >= MAX_LOCKS:
            return _no(f"there are {MAX_LOCKS} locks already: lock without a scope instead"), []
        self.locks.append(lock)
        going, waiting = list(inside), list(outside)
        news: list[Notice] = []
        for holder, scopes in going:
            told = self.told.get(holder)
            if told is not None and told.quiesced_at is None:
                told.unlock = None  # it is locked still, and stays so
                continue
            self.told[holder] = NotifiedHolder(holder=holder, scopes=scopes, told_at=lock.at)
            news.append(Notice(kind=NoticeKind.LOCK, to=holder, by=lock.told_by, reason=lock.why))
        for holder, scopes in waiting:
            self.keep_out(holder, scopes)
            news.append(Notice(kind=NoticeKind.LOCK, to=holder, by=lock.told_by, reason=lock.why))
        self._bound_proof()
        said = f"{_what(lock.scope)} is locked: {len(going)} in it to finish, {len(waiting)} sent out of the queue"
        return Verdict(accepted=True, reason=said), news

    def unlock(self, scope: str | None, by: str, reason: str) -> tuple[Verdict, list[Notice]]:
        """Lift one lock; a plan that no other lock excludes is notified, a holder as soon as it has left.

        Returns:
            The verdict, and the notices to send now.
        """
        lock = self._of(scope)
        if lock is None:
            held = ", ".join(f"{_what(held.scope)} (by {held.by})" for held in self.locks[:10])
            missing = f"there is no lock of {scope}" if scope else "there is no lock without a scope"
            return _no(f"{missing}; locked: {held or 'nothing'}"), []
        self.locks.remove(lock)
        free: list[Notice] = []
        for told in [told for told in self.told.values() if not self.closed_for(told.scopes)]:
            news = Notice(kind=NoticeKind.UNLOCK, to=told.holder, by=by, reason=reason)
            if told.quiesced_at is None:
                told.unlock = news
                continue
            free.append(news)
            del self.told[told.holder]
        for holder, scopes in [party for party in self.kept_out.items() if not self.closed_for(party[1])]:
            free.append(Notice(kind=NoticeKind.UNLOCK, to=holder, by=by, reason=reason))
            self._let_go(holder, scopes)
        self.forgotten = self.forgotten if self.locks else 0
        left = ", ".join(_what(held.scope) for held in self.locks[:10])
        later = f", {len(self.finishing)} when they have finished" if self.finishing else ""
        still = f"; still locked: {left}" if left else ""
        return Verdict(accepted=True, reason=f"{_what(scope)} is unlocked: {len(free)} told{later}{still}"), free

    def keep_out(self, holder: str, scopes: tuple[str, ...]) -> None:
        """Remember an excluded plan, which is notified when the lock is lifted."""
        if holder in self.told:
            return
        if holder in self.kept_out:
            self._let_go(holder, self.kept_out[holder])
        if self.kept_out_bytes > MAX_KEPT_OUT_BYTES // 2:
            scopes = _ANY  # who cannot be remembered exactly is told when nothing at all is locked any more
        size = _size(holder, scopes)
        if len(self.kept_out) >= MAX_KEPT_OUT or self.kept_out_bytes + size > MAX_KEPT_OUT_BYTES:
            self.forgotten += 1
            return
        self.kept_out[holder] = scopes
        self.kept_out_bytes += size

    def left(self, holder: str, now: datetime) -> Notice | None:
        """Record that a holder has left; returns its notice if it was unlocked meanwhile."""
        told = self.told.get(holder)
        if told is None or told.quiesced_at is not None:
            return None
        told.quiesced_at = now
        if told.unlock is not None:
            del self.told[holder]
        return told.unlock

    def not_told(self, holder: str, why: str) -> None:
        """Record that a holder could not be notified of a lock."""
        if holder in self.kept_out:
            self._let_go(holder, self.kept_out[holder])
        if told := self.told.get(holder):
            told.unreachable = shorten(why)

    def _bound_proof(self) -> None:
        quiesced = [told for told in self.told.values() if told.quiesced_at is not None]
        for told in quiesced[: max(len(self.told) - MAX_TOLD, 0)]:
            del self.told[told.holder]
            self.keep_out(told.holder, told.scopes)

    def _let_go(self, holder: str, scopes: tuple[str, ...]) -> None:
        del self.kept_out[holder]
        self.kept_out_bytes -= _size(holder, scopes)

    def _of(self, scope: str | None) -> GateLock | None:
        return next((lock for lock in self.locks if lock.scope == scope), None)


def _size(holder: str, scopes: tuple[str, ...]) -> int:
    return len(holder) + sum(len(scope) + 3 for scope in scopes) + 6


def _what(scope: str | None) -> str:
    return scope or "the gate"


def _no(reason: str) -> Verdict:
    return Verdict(accepted=False, reason=reason)
