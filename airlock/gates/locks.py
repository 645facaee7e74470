"""Locks of a gate, and the proof that they hold: each notified holder, when it left, or why it cannot be reached.

The state is bounded: 100 locks, 1,000 lines of proof, 10,000 excluded workflows and 400 KB of their names. Beyond
that, excluded workflows are only counted, and must be unlocked by hand.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, Field

from airlock.admission.budget import agent_scope
from airlock.base.incoming import Verdict
from airlock.base.model import WireModel, is_empty
from airlock.base.names import RESERVED
from airlock.base.text import shorten

MAX_LOCKS = 100
MAX_TOLD = 1_000
"""Limit of notified holders, the lines of the proof."""
MAX_KEPT_OUT = 10_000
"""Limit of excluded workflows whose ids are kept."""
MAX_KEPT_OUT_BYTES = 400_000
"""Limit of their ids and scopes, in bytes."""
_ANY = ("*",)

Party = tuple[str, tuple[str, ...]]
"""Workflow id and its scopes."""


class NoticeKind(StrEnum):
    """Kinds of notices to a workflow: ask the gate again, stop, go on."""

    GRANTED = "granted"
    LOCK = "lock"
    UNLOCK = "unlock"


class Notice(WireModel):
    """Notice to a workflow, sent as a signal."""

    kind: NoticeKind
    to: str
    """Workflow id of the receiver."""
    request: str = ""
    """Request that was granted; for a grant only."""
    by: str = ""
    """Person or gate that locked or unlocked."""
    reason: str = ""
    """Reason of the lock or the unlock."""
    decision: str = Field(default="", exclude_if=is_empty)
    """Name of the decision among those that the gate can prove; empty if it was not signed."""


class GateLock(WireModel):
    """Lock of a gate."""

    scope: str | None
    """`agent:x`, `tool:y` or `resource:z`; None for everything."""
    by: str
    """Person or program that locked."""
    reason: str
    at: datetime
    """Time of the lock, UTC."""
    gate: str = "live gate"
    """Name of the gate, as shown to holders."""
    decision: str = Field(default="", exclude_if=is_empty)
    """Name of the decision among those that the gate can prove; empty if it was not signed."""

    def matches(self, scopes: tuple[str, ...]) -> bool:
        """Return True if the lock closes the gate for these scopes; `resource:*` stands for any resource."""
        kind, _, name = (self.scope or "").partition(":")
        # plans of releases that fold names add `agent=x`; earlier ones do not, so no old history is decided otherwise
        wide = (f"{kind}:*", *((agent_scope(name),) if kind == "agent" else ()), *_ANY) if self.scope else ()
        return self.scope is None or self.scope in scopes or any(scope in scopes for scope in wide)

    @property
    def why(self) -> str:
        """Reason shown to the workflows that the lock excludes."""
        scope = f" for {self.scope}" if self.scope else ""
        who = f" by {self.by}" if self.told_by != self.by else ""
        return shorten(f"{self.gate} locked{scope}{who}: {self.reason}")

    def notice(self, to: str) -> Notice:
        """Return the notice of this lock for a workflow."""
        return Notice(kind=NoticeKind.LOCK, to=to, by=self.told_by, reason=self.why, decision=self.decision)

    @property
    def told_by(self) -> str:
        """Author of the lock in notices.

        A plan refuses signals in the name of Airlock or of a monitor, so the gate signs their locks.
        """
        return self.gate if self.by.lower() in RESERVED else self.by


class NotifiedHolder(BaseModel):
    """Line of the proof: a holder that was notified of a lock. Times are UTC."""

    holder: str
    """Workflow id."""
    scopes: tuple[str, ...]
    told_at: datetime
    """Time of the notice."""
    quiesced_at: datetime | None = None
    """Time at which it released its slot; None while it finishes its calls."""
    unreachable: str | None = None
    """Reason why the notice could not be delivered."""
    unlock: Notice | None = None
    """Notice to send when it releases its slot, because the lock was lifted before that."""


class Barrier(BaseModel):
    """Locks of one gate, with their proof. Mutable, and carried through continue-as-new as a part of its gate."""

    locks: list[GateLock] = Field(default_factory=list)
    told: dict[str, NotifiedHolder] = Field(default_factory=dict)
    """Notified holders, by workflow id."""
    kept_out: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Scopes of the excluded workflows, which get a notice when they are unlocked, by workflow id."""
    kept_out_bytes: int = 0
    """Size of `kept_out`."""
    forgotten: int = 0
    """Number of excluded workflows beyond the limits, whose ids are not kept."""

    @property
    def empty(self) -> bool:
        """True if there are no locks, no notified holders and no excluded workflows."""
        return not (self.locks or self.told or self.kept_out)

    @property
    def finishing(self) -> tuple[str, ...]:
        """Workflow ids of the notified holders that still have their slot."""
        return tuple(holder for holder, line in self.told.items() if line.quiesced_at is None)

    def closed_for(self, scopes: tuple[str, ...]) -> GateLock | None:
        """Return the first lock that excludes these scopes."""
        return next((lock for lock in self.locks if lock.matches(scopes)), None)

    def lock(self, lock: GateLock, inside: Iterable[Party], outside: Iterable[Party]) -> tuple[Verdict, list[Notice]]:
        """Add a lock.

        Args:
            lock: The lock.
            inside: Holders that match.
            outside: Waiters that match; they become excluded workflows.

        Returns:
            The verdict, and the notices to send.
        """
        if found := self._of(lock.scope):
            return _no(f"{_what(lock.scope)} is locked already, by {found.by}: {found.reason}"), []
        if len(self.locks) >= MAX_LOCKS:
            return _no(f"there are {MAX_LOCKS} locks already: lock without a scope instead"), []
        self.locks.append(lock)
        leaving, waiting = list(inside), list(outside)
        notices: list[Notice] = []
        for holder, scopes in leaving:
            line = self.told.get(holder)
            if line is not None and line.quiesced_at is None:
                line.unlock = None  # it was notified of an earlier lock, and this one keeps it locked
                continue
            self.told[holder] = NotifiedHolder(holder=holder, scopes=scopes, told_at=lock.at)
            notices.append(lock.notice(holder))
        for holder, scopes in waiting:
            self.keep_out(holder, scopes)
            notices.append(lock.notice(holder))
        self._bound_proof()
        said = f"{_what(lock.scope)} is locked: {len(leaving)} to finish, {len(waiting)} removed from the queue"
        return Verdict(accepted=True, reason=said), notices

    def unlock(self, scope: str | None, by: str, reason: str, decision: str = "") -> tuple[Verdict, list[Notice]]:
        """Lift one lock.

        Workflows that no other lock excludes get a notice; a holder that is still finishing gets it when it has left.

        Returns:
            The verdict, and the notices to send now.
        """
        lock = self._of(scope)
        if lock is None:
            held = ", ".join(f"{_what(held.scope)} (by {held.by})" for held in self.locks[:10])
            missing = f"there is no lock of {scope}" if scope else "there is no lock without a scope"
            return _no(f"{missing}; locked: {held}" if held else "nothing is locked"), []
        self.locks.remove(lock)
        notices: list[Notice] = []
        for line in [line for line in self.told.values() if not self.closed_for(line.scopes)]:
            notice = Notice(kind=NoticeKind.UNLOCK, to=line.holder, by=by, reason=reason, decision=decision)
            if line.quiesced_at is None:
                line.unlock = notice
                continue
            notices.append(notice)
            del self.told[line.holder]
        for holder, scopes in [party for party in self.kept_out.items() if not self.closed_for(party[1])]:
            notices.append(Notice(kind=NoticeKind.UNLOCK, to=holder, by=by, reason=reason, decision=decision))
            self._forget(holder, scopes)
        self.forgotten = self.forgotten if self.locks else 0
        left = ", ".join(_what(held.scope) for held in self.locks[:10])
        later = f", {len(self.finishing)} when they have finished their calls" if self.finishing else ""
        still = f"; still locked: {left}" if left else ""
        return Verdict(accepted=True, reason=f"{_what(scope)} is unlocked: {len(notices)} notified{later}{still}"), notices

    def keep_out(self, holder: str, scopes: tuple[str, ...]) -> None:
        """Remember an excluded workflow, which gets a notice when it is unlocked."""
        if holder in self.told:
            return
        if holder in self.kept_out:
            self._forget(holder, self.kept_out[holder])
        if self.kept_out_bytes > MAX_KEPT_OUT_BYTES // 2:
            scopes = _ANY  # no room for its scopes: it gets its notice when no lock at all is left
        size = _size(holder, scopes)
        if len(self.kept_out) >= MAX_KEPT_OUT or self.kept_out_bytes + size > MAX_KEPT_OUT_BYTES:
            self.forgotten += 1
            return
        self.kept_out[holder] = scopes
        self.kept_out_bytes += size

    def left(self, holder: str, now: datetime) -> Notice | None:
        """Record that a holder released its slot; return the notice for it if it was unlocked meanwhile."""
        line = self.told.get(holder)
        if line is None or line.quiesced_at is not None:
            return None
        line.quiesced_at = now
        if line.unlock is not None:
            del self.told[holder]
        return line.unlock

    def not_told(self, holder: str, why: str) -> None:
        """Record that a workflow could not be notified of a lock."""
        if holder in self.kept_out:
            self._forget(holder, self.kept_out[holder])
        if line := self.told.get(holder):
            line.unreachable = shorten(why)

    def _bound_proof(self) -> None:
        quiesced = [line for line in self.told.values() if line.quiesced_at is not None]
        for line in quiesced[: max(len(self.told) - MAX_TOLD, 0)]:
            del self.told[line.holder]
            self.keep_out(line.holder, line.scopes)

    def _forget(self, holder: str, scopes: tuple[str, ...]) -> None:
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
