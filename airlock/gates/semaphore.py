"""Gate: a counted semaphore with a queue, locks, budgets and turns. A plain object without Temporal.

The gate workflow passes every event in, with its time. The gate answers, and lists in `news` the notices to send.
Its state is bounded, so that it fits a continue-as-new. Slots and queue together take 500 KB of JSON; beyond that the gate
answers `busy`. `locks`, `budget_ledger` and `rate_limit` bound the rest.
"""

from datetime import datetime, timedelta

from pydantic import BaseModel, Field

from airlock.base.incoming import Verdict
from airlock.base.names import MONITOR
from airlock.gates.answers import GateAnswer, GateBusy, GateClosed, OverBudget, SlotGranted, SlotQueued
from airlock.gates.budget_ledger import BudgetLedger
from airlock.gates.lock_proof import RESET, VANISHED, Doubts
from airlock.gates.locks import Barrier, GateLock, Notice, NoticeKind
from airlock.gates.protocol import HoldOff, LockWish, Permit, PermitAnswer, Release, SlotRequest
from airlock.gates.rate_limit import Turns
from airlock.gates.signing import GateSigning
from airlock.gates.slots import Slot, Waiter, bounded_request, is_released, releases, request_key, request_size

MAX_SLOTS_BYTES = 500_000
"""Size limit of slots and queue together, as JSON."""
_NAMED = 20


class Gate(BaseModel):
    """State of one gate, owned and changed by one gate workflow.

    A continue-as-new carries it to the next run, so the names of its fields stay, `places` and `news` among them.
    """

    name: str = ""
    """Name shown to operators: the resource, the tool, or `live`."""
    label: str = "live gate"
    """Name shown to holders that a lock excludes."""
    capacity: int = 1
    fence: int = 0
    """Fence of the last grant."""
    places: dict[str, Slot] = Field(default_factory=dict)
    """Slot of each holder, in the order of the grants."""
    queue: list[Waiter] = Field(default_factory=list)
    barrier: Barrier = Field(default_factory=Barrier)
    doubts: Doubts = Field(default_factory=Doubts)
    """Calls that may still take effect although their plans released their slots."""
    heard: dict[str, datetime] = Field(default_factory=dict)
    """Time of the last lock wish that was obeyed, UTC, by monitor."""
    books: BudgetLedger = Field(default_factory=BudgetLedger)
    turns: Turns = Field(default_factory=Turns)
    news: list[Notice] = Field(default_factory=list)
    """Notices to send, oldest first."""
    signing: GateSigning = Field(default_factory=GateSigning, exclude_if=lambda signing: signing == GateSigning())
    suspect: bool = False
    """True if a request was answered `busy` since the last search for closed holders."""

    @property
    def used(self) -> int:
        """Number of slots taken."""
        return sum(slot.slots for slot in self.places.values())

    @property
    def restless(self) -> bool:
        """True if the gate must search for closed holders, because a request or a lock waits for a slot to be freed."""
        leaving = any(slot.until is not None for slot in self.places.values())
        return bool(self.queue or self.barrier.finishing or self.suspect or leaving)

    def idle_in(self, now: datetime) -> float | None:
        """Return the seconds until the gate may end, 0 meaning now; None while it has holders, waiters, locks or notices."""
        if self.places or self.queue or self.news or not self.barrier.empty:
            return None
        return self.turns.idle_in(now.timestamp())

    def acquire(self, wanted: SlotRequest, now: datetime) -> GateAnswer:
        """Grant a slot, queue the request, or refuse it. The same holder and request get the same slot again.

        A new request of a holder takes over the slot of its old one: a workflow id has one run at a time.

        Args:
            wanted: The request; its capacity becomes that of the gate.
            now: UTC.
        """
        wanted = bounded_request(wanted)
        if wanted.passing:
            return self._let_pass(wanted, now)
        self.name = wanted.name or self.name
        self.capacity = max(wanted.capacity, 1)
        self.settle(now)
        slot, waiter = self.places.get(wanted.holder), self._waiter(wanted.holder)
        if slot is not None:
            self._notice_reset(slot, wanted)
        if slot is not None and slot.request == wanted.request:
            slot.seen, slot.run_id = now, wanted.run_id
        if waiter is not None and waiter.wanted.request != wanted.request:
            self.queue.remove(waiter)
            waiter = None
        answer = self._answer(wanted, slot, waiter, now)
        self._grant(now)
        return answer

    def _let_pass(self, wanted: SlotRequest, now: datetime) -> GateAnswer:
        """Consent to reads, or refuse them: by the locks and the budgets, without a slot, a place or a notice."""
        if lock := self.barrier.closed_for(wanted.scopes):
            return self._closed(lock)
        if why := self._over_budget(wanted, now):
            return OverBudget(why=why)
        self.books.book(request_key(wanted), wanted.spending, wanted.budgets, now.timestamp())
        return SlotGranted(fence=0, slots=0)

    def _answer(self, wanted: SlotRequest, slot: Slot | None, waiter: Waiter | None, now: datetime) -> GateAnswer:
        if lock := self.barrier.closed_for(wanted.scopes):
            if waiter is not None:
                self.queue.remove(waiter)
            self._orphan(slot, now)
            self.barrier.keep_out(wanted.holder, wanted.scopes)
            return self._closed(lock)
        if slot is not None and slot.request == wanted.request:
            return self._granted(slot)
        if waiter is not None:
            waiter.seen, waiter.wanted = now, waiter.wanted.model_copy(update={"run_id": wanted.run_id})
            return self._queued(self.queue.index(waiter) + 1)
        if why := self._over_budget(wanted, now):
            self._orphan(slot, now)
            return OverBudget(why=why)
        if slot is not None:
            return self._granted(self._take_over(slot, wanted, now))
        size = request_size(wanted)
        if self._carried() + size > MAX_SLOTS_BYTES:
            return self._busy(f"the gate has too many holders ({len(self.places)}) and waiting requests ({len(self.queue)})")
        free = self.capacity - self.used
        if free > 0 and not self.queue:
            return self._granted(self._admit(wanted, min(max(wanted.slots, 1), free), size, now))
        if not wanted.wait:
            return self._busy("")
        position = sum(other.wanted.urgent for other in self.queue) if wanted.urgent else len(self.queue)
        self.queue.insert(position, Waiter(wanted=wanted, since=now, seen=now, size=size))
        return self._queued(position + 1)

    def release(self, release: Release, now: datetime) -> None:
        """Free a slot, or remove a waiter; an unknown request changes nothing."""
        slot, waiter = self.places.get(release.holder), self._waiter(release.holder)
        if slot is not None and releases(release, slot):
            self._free(slot, now)
            self.doubts.take(release, slot.scopes, now)
        elif slot is None and (release.doubts or release.lost or self.doubts.knows(release.holder)):
            self.doubts.take(release, self.doubts.scopes_of(release.holder), now)
        if waiter is not None and is_released(release, waiter.wanted.request, waiter.wanted.execution):
            self.queue.remove(waiter)
        self.settle(now)

    def gone(self, news: Notice, why: str, now: datetime) -> None:
        """Record that a notice could not be delivered, because the workflow is closed.

        A slot that was granted by this notice is free immediately: its holder never knew of it, so no call of it is running.

        Args:
            news: The notice.
            why: Temporal's reason.
            now: UTC.
        """
        slot = self.places.get(news.to)
        if news.kind is NoticeKind.LOCK:
            self.barrier.not_told(news.to, why)
        elif news.kind is NoticeKind.GRANTED and slot is not None and not slot.known:
            self.release(Release(holder=news.to, request=news.request), now)

    def vanished(
        self, holder: str, looked: datetime, closed: datetime, completed: bool, now: datetime, calls: tuple[str, ...] = ("",)
    ) -> None:
        """Record that a holder's workflow is closed.

        Its waiter is removed. Its slot is freed immediately if the workflow completed, otherwise when none of its calls can
        be running any more.

        Args:
            holder: The workflow id.
            looked: Time before Temporal was asked, UTC. A holder that sent a request since then runs again, and keeps its
                slot and its position.
            closed: Time of the close, UTC.
            completed: True if it completed normally.
            now: UTC.
            calls: Steps whose calls may be running all the same; the empty name stands for any.
        """
        slot, waiter = self.places.get(holder), self._waiter(holder)
        if waiter is not None and waiter.seen <= looked:
            self.queue.remove(waiter)
        if slot is not None and slot.seen <= looked:
            free = now if completed else max(now, closed + timedelta(seconds=slot.grace))
            slot.until = min(slot.until or free, free)
            if slot.known and not completed:
                slot.doubt, slot.calls = VANISHED, calls
        self.settle(now)

    def settle(self, now: datetime) -> None:
        """Free the expired slots, and grant them to the queue."""
        for slot in [slot for slot in self.places.values() if slot.until is not None and slot.until <= now]:
            self._free(slot, now)
        self._grant(now)

    def lock(self, scope: str | None, by: str, reason: str, now: datetime, decision: str = "") -> Verdict:
        """Close the gate, completely or for a scope.

        Holders and waiters that match the scope get a notice. The waiters leave the queue. `decision` names the decision
        among those that the gate can prove.
        """
        lock = GateLock(scope=scope, by=by, reason=reason, at=now, gate=self.label, decision=decision)
        inside = [(slot.holder, slot.scopes) for slot in self.places.values() if lock.matches(slot.scopes)]
        outside = [
            (waiter.wanted.holder, waiter.wanted.scopes) for waiter in self.queue if lock.matches(waiter.wanted.scopes)
        ]
        verdict, notices = self.barrier.lock(lock, inside, outside)
        if verdict.accepted:
            self.queue = [waiter for waiter in self.queue if not lock.matches(waiter.wanted.scopes)]
            self.signing.locked(scope)
        self.news += notices
        self._grant(now)
        return verdict

    def unlock(self, scope: str | None, by: str, reason: str, decision: str = "") -> Verdict:
        """Lift one lock, and notify workflows that no other lock excludes. A holder is notified when it has left."""
        verdict, notices = self.barrier.unlock(scope, by, reason, decision)
        self.news += notices
        return verdict

    def obey(self, monitor: str, wish: LockWish | None, now: datetime) -> Verdict:
        """Lock the gate because a monitor wants it. A wish counts once: after an unlock, only a newer wish locks again.

        Args:
            monitor: Its workflow id, one of at most 1,000.
            wish: The wish that the monitor itself confirmed; None if it has none.
            now: UTC.
        """
        if wish is None:
            return Verdict(accepted=False, reason=f"{monitor} wants no lock")
        if (last := self.heard.get(monitor)) is not None and wish.at <= last:
            return Verdict(accepted=False, reason=f"{monitor} wants no lock newer than that of {last:%Y-%m-%d %H:%M:%S} UTC")
        self.heard[monitor] = wish.at
        return self.lock(None, MONITOR, f"{monitor}: {wish.reason}", now)

    def permit(self, permit: Permit, now: datetime) -> PermitAnswer | None:
        """Return the turn of a call under a rate limit; None if too many calls wait already."""
        wait = self.turns.turn(permit, now.timestamp())
        return None if wait is None else PermitAnswer(wait=wait)

    def hold_off(self, hold: HoldOff, now: datetime) -> None:
        """Give no turn for the requested time."""
        self.turns.hold_off(hold, now.timestamp())

    def _grant(self, now: datetime) -> None:
        while self.queue and (free := self.capacity - self.used) > 0:
            waiter = self.queue.pop(0)
            wanted = waiter.wanted
            # a waiter over its budget gets the notice as well: it asks again, and learns the reason
            if not self._over_budget(wanted, now):
                self._admit(wanted, min(max(wanted.slots, 1), free), waiter.size, now)
            self.news.append(Notice(kind=NoticeKind.GRANTED, to=wanted.holder, request=wanted.request))

    def _admit(self, wanted: SlotRequest, slots: int, size: int, now: datetime) -> Slot:
        # fences start from the clock: they rise across lives of a gate, which ends when it is idle
        self.fence = max(self.fence + 1, int(now.timestamp() * 1_000))
        self.books.book(request_key(wanted), wanted.spending, wanted.budgets, now.timestamp())
        slot = Slot(
            holder=wanted.holder, request=wanted.request, slots=slots, fence=self.fence, since=now, seen=now,
            grace=wanted.grace, scopes=wanted.scopes, size=size, run_id=wanted.run_id,
            execution=wanted.execution,
        )  # fmt: skip
        self.places[wanted.holder] = slot
        return slot

    def _take_over(self, old: Slot, wanted: SlotRequest, now: datetime) -> Slot:
        """Replace the slot of a holder's old request; free slots are added only if the queue is empty."""
        del self.places[old.holder]
        self._doubt_calls_of(old, now)
        free = 0 if self.queue else max(self.capacity - self.used - old.slots, 0)
        slots = min(max(wanted.slots, 1), old.slots + free)
        return self._admit(wanted, slots, request_size(wanted), now)

    def _orphan(self, slot: Slot | None, now: datetime) -> None:
        """Expire a slot that its holder will not release: the holder asks again, so it does not know of the slot.

        A call of an earlier stay, or of a run that was reset, may still be running.
        """
        if slot is not None and slot.until is None:
            slot.until = now + timedelta(seconds=slot.grace if slot.known else 0.0)
            self.settle(now)

    def _notice_reset(self, slot: Slot, wanted: SlotRequest) -> None:
        """Doubt the calls of a run that was granted its slot and knew it, if another run asks for that slot."""
        if slot.known and slot.run_id and wanted.run_id and slot.run_id != wanted.run_id and not slot.doubt:
            slot.doubt, slot.calls = RESET, ("",)

    def _free(self, slot: Slot, now: datetime) -> None:
        del self.places[slot.holder]
        self._doubt_calls_of(slot, now)
        if (notice := self.barrier.left(slot.holder, now)) is not None:
            self.news.append(notice)

    def _doubt_calls_of(self, slot: Slot, now: datetime) -> None:
        if slot.doubt:
            self.doubts.add(slot.holder, slot.scopes, slot.calls, slot.doubt, now)

    def _carried(self) -> int:
        return sum(slot.size for slot in self.places.values()) + sum(waiter.size for waiter in self.queue)

    def _over_budget(self, wanted: SlotRequest, now: datetime) -> str:
        return self.books.refusal(request_key(wanted), wanted.spending, wanted.budgets, now.timestamp())

    def _closed(self, lock: GateLock) -> GateClosed:
        return GateClosed(by=lock.by, why=lock.why, proof=self.signing.proof(lock.decision))

    def _granted(self, slot: Slot) -> SlotGranted:
        slot.known, slot.until = True, None
        # Temporal delivers a signal of a run a moment later than one of a worker, which counts where others wait
        return SlotGranted(fence=slot.fence, slots=slot.slots, own_release=not self.queue)

    def _busy(self, why: str) -> GateBusy:
        self.suspect = True
        return GateBusy(holders=tuple(self.places)[:_NAMED], why=why)

    def _queued(self, position: int) -> SlotQueued:
        return SlotQueued(position=position, holders=tuple(self.places)[:_NAMED])

    def _waiter(self, holder: str) -> Waiter | None:
        return next((waiter for waiter in self.queue if waiter.wanted.holder == holder), None)
