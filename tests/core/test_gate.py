"""A gate against a simple model, under everything that may happen to it; locks by table."""

import zlib
from collections import deque
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from airlock.admission.budget import Spending
from airlock.admission.policy import WindowBudget
from airlock.gates.answers import GateBusy, GateClosed, SlotGranted, SlotQueued
from airlock.gates.locks import NoticeKind
from airlock.gates.protocol import Permit, Release
from airlock.gates.semaphore import Gate
from tests.core.gate_build import START, granted, told, wants

HOLDERS = [f"plan-{letter}" for letter in "abcdefg"]


class GateMachine(RuleBasedStateMachine):
    """The model: a queue of names, a set of places, and the locks, kept without any of the gate's own code."""

    @initialize(capacity=st.integers(1, 4))
    def begin(self, capacity: int) -> None:
        self.gate = Gate()
        self.now = START
        self.capacity = capacity
        self.inside: dict[str, tuple[str, int]] = {}  # holder: request, slots
        self.queue: deque[tuple[str, str, int, bool]] = deque()  # holder, request, slots, urgent
        self.leaving: dict[str, datetime] = {}
        self.locked: dict[str | None, None] = {}
        self.last_fence = 0
        self.fences: dict[tuple[str, str], int] = {}

    def scopes(self, holder: str) -> tuple[str, ...]:
        return (f"agent:{holder[-1] < 'd'}",)

    def closed(self, holder: str) -> bool:
        return None in self.locked or self.scopes(holder)[0] in self.locked

    def used(self) -> int:
        return sum(slots for _, slots in self.inside.values())

    def enter(self, holder: str, request: str, slots: int) -> None:
        before = self.used()
        self.inside[holder] = (request, slots)
        self.leaving.pop(holder, None)
        assert self.used() <= max(self.capacity, before)

    def settle(self) -> None:
        for holder, until in list(self.leaving.items()):
            if until <= self.now:
                del self.leaving[holder], self.inside[holder]
        while self.queue and self.capacity - self.used() > 0:
            holder, request, slots, _ = self.queue.popleft()
            self.enter(holder, request, min(slots, self.capacity - self.used()))
            self.granted.append(holder)

    def drop(self, holder: str) -> None:
        self.queue = deque(waiter for waiter in self.queue if waiter[0] != holder)

    def orphan(self, holder: str) -> None:
        if holder in self.inside and holder not in self.leaving:
            known = (holder, self.inside[holder][0]) in self.fences
            self.leaving[holder] = self.now + timedelta(seconds=5 if known else 0)
            self.settle()

    def check(self) -> None:
        """Both agree on who is in, who waits, and who is told."""
        assert {h: (p.request, p.slots) for h, p in self.gate.places.items()} == self.inside
        assert [w.wanted.holder for w in self.gate.queue] == [w[0] for w in self.queue]
        assert told(self.gate, NoticeKind.GRANTED) == self.granted

    @rule(
        holder=st.sampled_from(HOLDERS), request=st.sampled_from("12"), slots=st.integers(1, 3), capacity=st.integers(1, 4),
        wait=st.booleans(), urgent=st.booleans(), same_capacity=st.booleans(),
    )  # fmt: skip
    def acquire(
        self, holder: str, request: str, slots: int, capacity: int, wait: bool, urgent: bool, same_capacity: bool
    ) -> None:
        self.granted: list[str] = []
        self.capacity = self.capacity if same_capacity else capacity
        wanted = wants(
            holder, request, slots=slots, capacity=self.capacity, wait=wait, urgent=urgent, grace=5,
            scopes=self.scopes(holder),
        )  # fmt: skip
        answer = self.gate.acquire(wanted, self.now)
        self.settle()
        waits = next((waiter for waiter in self.queue if waiter[0] == holder), None)
        if waits and waits[1] != request:
            self.drop(holder)
            waits = None
        expected, fresh = self.expected(holder, request, slots, wait, urgent, waits)
        self.settle()
        assert type(answer) is expected, answer
        if isinstance(answer, SlotGranted):
            self.check_grant(answer, holder, request, fresh)
        if isinstance(answer, SlotQueued):
            assert [w[0] for w in self.queue].index(holder) + 1 == answer.position
        self.check()
        # asked once more, the same is answered
        again = self.gate.acquire(wanted, self.now)
        named = {"holders": again.holders} if isinstance(again, SlotQueued | GateBusy) else {}
        assert again == answer.model_copy(update=named)
        self.check_nothing_new()

    def expected(
        self, holder: str, request: str, slots: int, wait: bool, urgent: bool, waits: Any
    ) -> tuple[type[Any], bool]:
        if self.closed(holder):
            self.drop(holder)
            self.orphan(holder)
            return GateClosed, False
        if holder in self.inside:
            old, had = self.inside[holder]
            if old == request:
                fresh = (holder, request) not in self.fences
                self.leaving.pop(holder, None)
                return SlotGranted, fresh
            free = 0 if self.queue else max(self.capacity - self.used(), 0)
            self.fences.pop((holder, old), None)
            self.fences.pop((holder, request), None)
            self.enter(holder, request, min(slots, had + free))
            return SlotGranted, True
        if waits:
            return SlotQueued, False
        self.fences.pop((holder, request), None)
        if not self.queue and self.capacity > self.used():
            self.enter(holder, request, min(slots, self.capacity - self.used()))
            return SlotGranted, True
        if not wait:
            return GateBusy, False
        urgents = sum(waiter[3] for waiter in self.queue)
        self.queue.insert(urgents if urgent else len(self.queue), (holder, request, slots, urgent))
        return SlotQueued, False

    def check_grant(self, answer: SlotGranted, holder: str, request: str, fresh: bool) -> None:
        place = self.gate.places[holder]
        assert (answer.fence, answer.slots) == (place.fence, self.inside[holder][1])
        if not fresh:
            assert self.fences[(holder, request)] == answer.fence
        self.fences[(holder, request)] = answer.fence

    def check_nothing_new(self) -> None:
        self.granted = []
        self.check()

    @rule(holder=st.sampled_from(HOLDERS), request=st.sampled_from("12"))
    def release(self, holder: str, request: str) -> None:
        self.granted = []
        self.gate.release(Release(holder=holder, request=request), self.now)
        if self.inside.get(holder, ("",))[0] == request:
            del self.inside[holder]
            self.leaving.pop(holder, None)
            self.fences.pop((holder, request), None)
        self.queue = deque(waiter for waiter in self.queue if waiter[:2] != (holder, request))
        self.settle()
        self.check()

    @rule(holder=st.sampled_from(HOLDERS), ago=st.integers(0, 9), completed=st.booleans(), asked_since=st.booleans())
    def death(self, holder: str, ago: int, completed: bool, asked_since: bool) -> None:
        self.granted = []
        looked = START - timedelta(days=1) if asked_since else self.now
        self.gate.vanished(holder, looked, self.now - timedelta(seconds=ago), completed, self.now)
        if not asked_since:
            self.drop(holder)
            if holder in self.inside:
                free = self.now if completed else max(self.now, self.now + timedelta(seconds=5 - ago))
                self.leaving[holder] = min(self.leaving.get(holder, free), free)
        self.settle()
        self.check()

    @rule(seconds=st.integers(0, 6))
    def time_passes(self, seconds: int) -> None:
        self.granted = []
        self.now += timedelta(seconds=seconds)
        self.gate.settle(self.now)
        self.settle()
        self.check()

    @rule(scope=st.sampled_from([None, "agent:True", "agent:False"]))
    def lock(self, scope: str | None) -> None:
        self.granted = []
        verdict = self.gate.lock(scope, "olga", "drill", self.now)
        assert verdict.accepted is (scope not in self.locked)
        self.locked[scope] = None
        for holder in [waiter[0] for waiter in self.queue if self.closed(waiter[0])]:
            self.drop(holder)
        self.settle()
        self.check()
        for holder in self.inside:
            assert not self.closed(holder) or holder in self.gate.barrier.told

    @rule(scope=st.sampled_from([None, "agent:True", "agent:False"]))
    def unlock(self, scope: str | None) -> None:
        self.granted = []
        verdict = self.gate.unlock(scope, "olga", "over")
        assert verdict.accepted is (scope in self.locked)
        self.locked.pop(scope, None)
        self.check()
        barred = {*self.gate.barrier.kept_out, *self.gate.barrier.told}
        assert all(self.closed(holder) or holder in self.inside for holder in barred)

    @rule()
    def continue_as_new(self) -> None:
        self.gate = Gate.model_validate_json(self.gate.model_dump_json())

    @invariant()
    def nobody_grantable_waits(self) -> None:
        if hasattr(self, "gate"):
            assert not self.gate.queue or self.gate.used >= self.gate.capacity
            everyone = [*self.gate.places, *(waiter.wanted.holder for waiter in self.gate.queue)]
            assert len(everyone) == len(set(everyone))

    @invariant()
    def fences_rise(self) -> None:
        if hasattr(self, "gate"):
            assert self.gate.fence >= self.last_fence
            self.last_fence = self.gate.fence
            fences = [place.fence for place in self.gate.places.values()]
            assert fences == sorted(set(fences))

    @invariant()
    def whom_a_lock_keeps_out_is_not_let_in(self) -> None:
        if hasattr(self, "gate"):
            assert not [waiter for waiter in self.gate.queue if self.closed(waiter.wanted.holder)]


TestGate = GateMachine.TestCase
TestGate.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_fences_rise_across_lives_of_a_gate() -> None:
    first, later = (granted(Gate().acquire(wants("plan-a"), START + timedelta(seconds=passed))).fence for passed in (0, 1))
    assert first == int(START.timestamp() * 1000)
    assert later > first


def test_a_place_nobody_knew_of_is_free_at_once_when_it_cannot_be_granted_and_one_in_use_is_not() -> None:
    made = Gate()
    made.acquire(wants("plan-a", grace=100), START)
    made.acquire(wants("plan-b", grace=100), START)
    made.release(Release(holder="plan-a", request="1"), START)
    granted = made.news[0]
    assert (granted.kind, granted.to, granted.request) == (NoticeKind.GRANTED, "plan-b", "1")
    made.acquire(wants("plan-b", grace=100), START)  # it came first: now it knows, and may be calling
    made.gone(granted, "not found", START)
    assert list(made.places) == ["plan-b"]
    made.acquire(wants("plan-c"), START)
    made.acquire(wants("plan-d"), START)
    made.release(Release(holder="plan-b", request="1"), START)
    made.gone(made.news[-1], "not found", START)
    assert list(made.places) == ["plan-d"]


def test_what_is_unlocked_before_it_has_finished_is_told_when_it_has() -> None:
    made = Gate()
    made.acquire(wants("plan-a"), START)
    made.lock(None, "olga", "stop", START)
    assert told(made, NoticeKind.LOCK) == ["plan-a"]
    made.unlock(None, "olga", "go")
    assert told(made, NoticeKind.UNLOCK) == []
    made.release(Release(holder="plan-a", request="1"), START)
    assert told(made, NoticeKind.UNLOCK) == ["plan-a"]
    assert made.idle_in(START) == 0


def test_a_holder_that_cannot_be_told_shows_and_quiesces_when_its_calls_must_have_ended() -> None:
    made = Gate()
    made.acquire(wants("plan-a", grace=20), START)
    made.lock(None, "olga", "stop", START)
    made.gone(made.news[0], "workflow is closed", START)
    assert made.barrier.told["plan-a"].unreachable == "workflow is closed"
    later = START + timedelta(seconds=10)
    made.vanished("plan-a", later, START, False, later)
    assert made.barrier.finishing == ("plan-a",)
    assert made.restless
    made.settle(START + timedelta(seconds=20))
    assert made.barrier.finishing == ()
    assert not made.restless


@pytest.mark.slow
def test_everything_that_is_remembered_is_bounded_and_fits_a_continue_as_new() -> None:
    made = Gate()
    scopes = tuple(f"resource:contact-{number:05}@acme.test" for number in range(300))
    made.lock("agent:evil", "olga", "stop", START)
    for number in range(12_000):
        made.acquire(wants(f"plan-{number:0100}", scopes=("agent:evil", *scopes)), START)
    assert len(made.barrier.kept_out) < 10_000
    assert made.barrier.forgotten == 12_000 - len(made.barrier.kept_out)
    answers = [type(made.acquire(wants(f"plan-{number:0100}", scopes=scopes), START)) for number in range(3_000)]
    assert answers.count(GateBusy) > 0
    assert answers.count(SlotQueued) > 1_000
    budget = {f"agent {number}": WindowBudget(live_calls=10) for number in range(900)}
    books = made.books
    for hour in range(10):
        for agent, allowed in budget.items():
            at = START.timestamp() + hour * 3_600
            books.book(f"{agent} {hour}", {agent: Spending(live_calls=1)}, {agent: allowed}, at)
    for number in range(5_000):
        made.permit(Permit(key=f"{number:050}", calls=1, per=100), START)
    assert len(made.model_dump_json()) < 1_500_000
    # to tell them all takes longer than one run; what Temporal counts is what the codec makes of it
    unlocking = Gate.model_validate_json(made.model_dump_json())
    unlocking.unlock("agent:evil", "o" * 200, "r" * 500)
    assert len(unlocking.news) > 2_000
    assert len(zlib.compress(unlocking.model_dump_json().encode())) < 1_000_000
    # what was collapsed is matched all the same
    assert made.lock("resource:contact-00299@acme.test", "olga", "stop", START).accepted
    assert not made.queue


@pytest.mark.parametrize(("fence", "freed"), [(None, True), (0, False), (1, False), ("own", True)])
def test_a_release_frees_the_slot_whose_fence_it_names(fence: int | str | None, freed: bool) -> None:
    """A reset repeats the name of a request; a worker of an earlier version names no fence."""
    gate = Gate(capacity=1)
    granted = gate.acquire(wants("plan-a"), START)
    named = granted.fence if fence == "own" else fence
    gate.release(Release(holder="plan-a", request="1", fence=named), START)
    assert ("plan-a" not in gate.places) == freed


def test_a_holder_that_was_never_told_of_its_slot_frees_it_without_a_fence() -> None:
    gate = Gate(capacity=1)
    gate.acquire(wants("plan-a"), START)
    gate.acquire(wants("plan-b"), START)
    gate.release(Release(holder="plan-a", request="1"), START)
    assert not gate.places["plan-b"].known
    gate.release(Release(holder="plan-b", request="1", fence=0), START)
    assert not gate.places
