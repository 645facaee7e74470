"""A gate: how many may be in at once, who comes next, and who locked it. A plain object without Temporal.

The workflow feeds it what happened, with the time; it answers, and leaves in `news` what must be told to others.
What it remembers is bounded, so that it fits a continue-as-new: slots and queue together 500 KB of JSON (a plan that
comes then
is sent away as from a busy gate), locks as `airlock.barrier`, budgets and turns as `airlock.gates.budget_ledger` says.
"""

from datetime import datetime, timedelta

from pydantic import BaseModel, Field

from airlock.base.incoming import Verdict
from airlock.base.names import MONITOR
from airlock.gates.budget_ledger import BudgetLedger
from airlock.gates.locks import Barrier, GateLock, Notice, NoticeKind
from airlock.gates.protocol import GateAnswer, GateStatus, HoldOff, LockWish, Permit, PermitAnswer, Release, SlotRequest
from airlock.gates.rate_limit import Turns

MAX_PLACES_BYTES = 500_000
_OVERHEAD = 150
_NAMED = 20
_SCOPE_BYTES = 2_000
_MAX_GRACE = 30 * 86_400.0


class Slot(BaseModel):
    """A slot and its holder. Times are UTC.

    `seen` is when the holder last asked, `known` says that it was answered that it is in; until then no call of it can be
    running. `until` is when the place is freed because its holder is gone.
    """

    holder: str
    request: str
    slots: int
    fence: int
    since: datetime
    seen: datetime
    grace: float
    scopes: tuple[str, ...]
    until: datetime | None = None
    known: bool = False
    size: int = 0
    run_id: str = ""


class Waiter(BaseModel):
    """A plan in the queue, with its request. Times are UTC."""

    wanted: SlotRequest
    since: datetime
    seen: datetime
    size: int = 0


class Gate(BaseModel):
    """One gate. Mutable: the workflow owns exactly one. `places` are in the order in which they were granted.

    `label` is the name of the gate in notices to excluded plans. `heard` is the last wish of each
    monitor, by its time, UTC.
    """

    name: str = ""
    label: str = "live gate"
    capacity: int = 1
    fence: int = 0
    places: dict[str, Slot] = Field(default_factory=dict)
    queue: list[Waiter] = Field(default_factory=list)
    barrier: Barrier = Field(default_factory=Barrier)
    heard: dict[str, datetime] = Field(default_factory=dict)
    books: BudgetLedger = Field(default_factory=BudgetLedger)
    turns: Turns = Field(default_factory=Turns)
    news: list[Notice] = Field(default_factory=list)
    suspect: bool = False

    @property
    def used(self) -> int:
        """Slots that are taken."""
        return sum(place.slots for place in self.places.values())

    @property
    def restless(self) -> bool:
        """True if vanished holders must be looked for: a plan waits or was sent away, or a lock waits for quiescence."""
        leaving = any(place.until is not None for place in self.places.values())
        return bool(self.queue or self.barrier.finishing or self.suspect or leaving)

    def idle_in(self, now: datetime) -> float | None:
        """Return the seconds until this gate is needed by nothing, 0 meaning now.

        None while a plan holds a slot or waits.
        """
        if self.places or self.queue or self.news or not self.barrier.empty:
            return None
        return self.turns.idle_in(now.timestamp())

    def acquire(self, wanted: SlotRequest, now: datetime) -> GateAnswer:
        """Grant a slot, or answer why not. The same holder and request get the same slot again.

        A holder with a new request takes over its own old place: a workflow id has one run at a time.

        Args:
            wanted: Who wants in, and what for.
            now: UTC.
        """
        wanted = _bounded(wanted)
        self.name = wanted.name or self.name
        self.capacity = max(wanted.capacity, 1)
        self.settle(now)
        place, waiter = self.places.get(wanted.holder), self._waiter(wanted.holder)
        if place is not None and place.request == wanted.request:
            place.seen, place.run_id = now, wanted.run_id
        if waiter is not None and waiter.wanted.request != wanted.request:
            self.queue.remove(waiter)
            waiter = None
        answer = self._answer(wanted, place, waiter, now)
        self._grant(now)
        return answer

    def _answer(self, wanted: SlotRequest, place: Slot | None, waiter: Waiter | None, now: datetime) -> GateAnswer:
        if lock := self.barrier.closed_for(wanted.scopes):
            if waiter is not None:
                self.queue.remove(waiter)
            self._orphan(place, now)
            self.barrier.keep_out(wanted.holder, wanted.scopes)
            return GateAnswer(status=GateStatus.CLOSED, by=lock.by, why=lock.why)
        if place is not None and place.request == wanted.request:
            return _granted(place)
        if waiter is not None:
            waiter.seen, waiter.wanted = now, waiter.wanted.model_copy(update={"run_id": wanted.run_id})
            return self._queued(self.queue.index(waiter) + 1)
        if why := self._too_expensive(wanted, now):
            self._orphan(place, now)
            return GateAnswer(status=GateStatus.OVER_BUDGET, why=why)
        if place is not None:
            return _granted(self._take_over(place, wanted, now))
        size = len(wanted.model_dump_json()) + _OVERHEAD
        if self._carried() + size > MAX_PLACES_BYTES:
            return self._busy(f"too many are in or wait: {len(self.places)} and {len(self.queue)}")
        free = self.capacity - self.used
        if free > 0 and not self.queue:
            return _granted(self._let_in(wanted, min(max(wanted.slots, 1), free), size, now))
        if not wanted.wait:
            return self._busy("")
        position = sum(other.wanted.urgent for other in self.queue) if wanted.urgent else len(self.queue)
        self.queue.insert(position, Waiter(wanted=wanted, since=now, seen=now, size=size))
        return self._queued(position + 1)

    def release(self, release: Release, now: datetime) -> None:
        """Give a place back, or leave the queue; a request that is not there any more changes nothing."""
        place, waiter = self.places.get(release.holder), self._waiter(release.holder)
        if place is not None and place.request == release.request:
            self._free(place, now)
        if waiter is not None and waiter.wanted.request == release.request:
            self.queue.remove(waiter)
        self.settle(now)

    def gone(self, news: Notice, why: str, now: datetime) -> None:
        """Record that a plan could not be notified, because its workflow is closed.

        A place that was just granted is free at once: its holder never knew of it, so that no call of it is running.

        Args:
            news: What could not be told.
            why: What Temporal said.
            now: UTC.
        """
        place = self.places.get(news.to)
        if news.kind is NoticeKind.LOCK:
            self.barrier.not_told(news.to, why)
        elif news.kind is NoticeKind.GRANTED and place is not None and not place.known:
            self.release(Release(holder=news.to, request=news.request), now)

    def vanished(self, holder: str, looked: datetime, closed: datetime, completed: bool, now: datetime) -> None:
        """Take note that a holder's workflow is closed.

        Its place in the queue is dropped. Its place is free at once if it completed, otherwise when a call of it cannot be
        running any more.

        Args:
            holder: The workflow id.
            looked: Before Temporal was asked, UTC; who has asked since runs again, and keeps what it has.
            closed: When it closed, UTC.
            completed: Whether it completed normally.
            now: UTC.
        """
        place, waiter = self.places.get(holder), self._waiter(holder)
        if waiter is not None and waiter.seen <= looked:
            self.queue.remove(waiter)
        if place is not None and place.seen <= looked:
            free = now if completed else max(now, closed + timedelta(seconds=place.grace))
            place.until = min(place.until or free, free)
        self.settle(now)

    def settle(self, now: datetime) -> None:
        """Free the places whose time has come, and let in who is next."""
        for place in [place for place in self.places.values() if place.until is not None and place.until <= now]:
            self._free(place, now)
        self._grant(now)

    def lock(self, scope: str | None, by: str, reason: str, now: datetime) -> Verdict:
        """Close the gate, for everybody or for a scope. Who is in is told; who waits is told and leaves the queue."""
        lock = GateLock(scope=scope, by=by, reason=reason, at=now, gate=self.label)
        inside = [(place.holder, place.scopes) for place in self.places.values() if lock.matches(place.scopes)]
        outside = [
            (waiter.wanted.holder, waiter.wanted.scopes) for waiter in self.queue if lock.matches(waiter.wanted.scopes)
        ]
        verdict, news = self.barrier.lock(lock, inside, outside)
        if verdict.accepted:
            self.queue = [waiter for waiter in self.queue if not lock.matches(waiter.wanted.scopes)]
        self.news += news
        self._grant(now)
        return verdict

    def unlock(self, scope: str | None, by: str, reason: str) -> Verdict:
        """Lift one lock; a plan that no other lock excludes is notified, a holder as soon as it has left."""
        verdict, news = self.barrier.unlock(scope, by, reason)
        self.news += news
        return verdict

    def obey(self, monitor: str, wish: LockWish | None, now: datetime) -> Verdict:
        """Lock because a monitor wants it. Each wish counts once: after an unlock it takes a new one.

        Args:
            monitor: Its workflow id, one of at most 1,000.
            wish: What that monitor itself says it wants.
            now: UTC.
        """
        if wish is None:
            return Verdict(accepted=False, reason=f"{monitor} wants no lock")
        if (last := self.heard.get(monitor)) is not None and wish.at <= last:
            return Verdict(accepted=False, reason=f"{monitor} wants no other lock than that of {last:%Y-%m-%d %H:%M:%S} UTC")
        self.heard[monitor] = wish.at
        return self.lock(None, MONITOR, f"{monitor}: {wish.reason}", now)

    def permit(self, permit: Permit, now: datetime) -> PermitAnswer | None:
        """Return the seconds until a call under a rate limit may be made.

        None if too many calls wait for their turn already.
        """
        wait = self.turns.turn(permit, now.timestamp())
        return None if wait is None else PermitAnswer(wait=wait)

    def hold_off(self, hold: HoldOff, now: datetime) -> None:
        """Give no turn for a while."""
        self.turns.hold_off(hold, now.timestamp())

    def tell_again(self) -> None:
        """Tell everybody what they may have missed; it does no harm twice. For a gate that takes up another's state."""
        for place in self.places.values():
            told = self.barrier.told.get(place.holder)
            if told is None:
                self.news.append(Notice(kind=NoticeKind.GRANTED, to=place.holder, request=place.request))
            elif told.unlock is None and (lock := self.barrier.closed_for(told.scopes)):
                self.news.append(Notice(kind=NoticeKind.LOCK, to=place.holder, by=lock.told_by, reason=lock.why))

    def _grant(self, now: datetime) -> None:
        while self.queue and (free := self.capacity - self.used) > 0:
            waiter = self.queue.pop(0)
            wanted = waiter.wanted
            # a waiter that cannot pay any more is told all the same: it asks again, and learns why
            if not self._too_expensive(wanted, now):
                self._let_in(wanted, min(max(wanted.slots, 1), free), waiter.size, now)
            self.news.append(Notice(kind=NoticeKind.GRANTED, to=wanted.holder, request=wanted.request))

    def _let_in(self, wanted: SlotRequest, slots: int, size: int, now: datetime) -> Slot:
        self.fence = max(self.fence + 1, int(now.timestamp() * 1_000))
        self.books.book(_key(wanted), wanted.spending, wanted.budgets, now.timestamp())
        place = Slot(
            holder=wanted.holder, request=wanted.request, slots=slots, fence=self.fence, since=now, seen=now,
            grace=wanted.grace, scopes=wanted.scopes, size=size, run_id=wanted.run_id,
        )  # fmt: skip
        self.places[wanted.holder] = place
        return place

    def _take_over(self, old: Slot, wanted: SlotRequest, now: datetime) -> Slot:
        """Begin a new stay of a holder that still holds a slot.

        It keeps its slots, and free ones are added if no plan waits.
        """
        del self.places[old.holder]
        free = 0 if self.queue else max(self.capacity - self.used - old.slots, 0)
        slots = min(max(wanted.slots, 1), old.slots + free)
        return self._let_in(wanted, slots, len(wanted.model_dump_json()) + _OVERHEAD, now)

    def _orphan(self, place: Slot | None, now: datetime) -> None:
        """Free a slot that no plan will return: its holder asks, so it does not know of it, and is refused.

        A call of an earlier stay, or of a run that was reset, may still be running.
        """
        if place is not None and place.until is None:
            place.until = now + timedelta(seconds=place.grace if place.known else 0.0)
            self.settle(now)

    def _free(self, place: Slot, now: datetime) -> None:
        del self.places[place.holder]
        if (news := self.barrier.left(place.holder, now)) is not None:
            self.news.append(news)

    def _carried(self) -> int:
        return sum(place.size for place in self.places.values()) + sum(waiter.size for waiter in self.queue)

    def _too_expensive(self, wanted: SlotRequest, now: datetime) -> str:
        return self.books.refusal(_key(wanted), wanted.spending, wanted.budgets, now.timestamp())

    def _busy(self, why: str) -> GateAnswer:
        self.suspect = True
        return GateAnswer(status=GateStatus.BUSY, holders=tuple(self.places)[:_NAMED], why=why)

    def _queued(self, position: int) -> GateAnswer:
        return GateAnswer(status=GateStatus.QUEUED, position=position, holders=tuple(self.places)[:_NAMED])

    def _waiter(self, holder: str) -> Waiter | None:
        return next((waiter for waiter in self.queue if waiter.wanted.holder == holder), None)


def _granted(place: Slot) -> GateAnswer:
    place.known, place.until = True, None
    return GateAnswer(status=GateStatus.GRANTED, fence=place.fence, slots=place.slots)


def _key(wanted: SlotRequest) -> str:
    return f"{wanted.holder} {wanted.request} {wanted.run_id}"


def _bounded(wanted: SlotRequest) -> SlotRequest:
    """Return the same request with bounded scopes: where there are too many of a kind it stands for all of that kind."""
    by_kind: dict[str, list[str]] = {}
    for scope in sorted(set(wanted.scopes)):
        by_kind.setdefault(scope.partition(":")[0], []).append(scope)
    kept = (
        scopes if sum(map(len, scopes)) <= _SCOPE_BYTES else [f"{kind}:*"] for kind, scopes in sorted(by_kind.items())[:10]
    )
    grace = min(max(wanted.grace, 0.0), _MAX_GRACE)
    return wanted.model_copy(update={"scopes": tuple(scope for scopes in kept for scope in scopes), "grace": grace})
