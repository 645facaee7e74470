"""Notices of a gate that is locked, unlocked or taken up again, and those that cannot reach their workflow."""

from datetime import UTC, datetime, timedelta

import pytest

from airlock.admission.budget import Spending
from airlock.admission.policy import WindowBudget
from airlock.gates import locks
from airlock.gates.answers import SlotGranted, SlotQueued
from airlock.gates.budget_ledger import BudgetLedger
from airlock.gates.locks import Barrier, GateLock, Notice, NoticeKind
from airlock.gates.protocol import AnomalyKind, HoldOff, LockWish, Permit, Release, SlotRequest
from airlock.gates.restored import tell_again, unite
from airlock.gates.semaphore import Gate

START = datetime(2026, 1, 1, tzinfo=UTC)


def holding(*holders: str, scopes: tuple[str, ...] = (), capacity: int = 0) -> Gate:
    """Return a gate whose first holders have a slot; those beyond its capacity wait."""
    made = Gate()
    for holder in holders:
        made.acquire(SlotRequest(holder=holder, request="1", scopes=scopes, capacity=capacity or len(holders)), START)
    made.news = []
    return made


def wish(minutes: int) -> LockWish:
    at = START + timedelta(minutes=minutes)
    return LockWish(at=at, kind=next(iter(AnomalyKind)), severity=9, reason="20 refusals in a minute")


def test_taken_up_again_a_gate_repeats_exactly_the_notices_that_still_hold():
    made = holding("open", "stopped", "leaving")
    made.places["stopped"].scopes = ("agent:x",)
    made.places["leaving"].scopes = ("agent:y",)
    assert made.lock("agent:x", "olga", "stop", START).accepted
    assert made.lock("agent:y", "olga", "stop", START).accepted
    assert made.unlock("agent:y", "olga", "go on").accepted
    made.news = []
    tell_again(made)
    assert [(news.kind, news.to) for news in made.news] == [(NoticeKind.GRANTED, "open"), (NoticeKind.LOCK, "stopped")]
    assert (made.news[1].by, made.news[1].reason) == ("olga", "live gate locked for agent:x: stop")


def test_of_two_states_of_a_gate_the_stricter_one_counts():
    made, other = Gate(fence=7), Gate(fence=9)
    for gate, scopes in ((made, ("agent:x",)), (other, ("agent:x", "tool:mail"))):
        for scope in scopes:
            assert gate.lock(scope, "olga", f"{scope} at {gate.fence}", START).accepted
    assert made.obey("both", wish(1), START).accepted
    assert other.obey("both", wish(3), START).accepted
    assert other.obey("one", wish(2), START).reason
    unite(made, other)
    locks = {lock.scope: lock.reason for lock in made.barrier.locks}
    assert locks["agent:x"] == "agent:x at 7", "a lock that is known stays as it is"
    assert locks["tool:mail"] == "tool:mail at 9"
    assert made.fence == 9
    assert made.heard == {"both": wish(3).at, "one": wish(2).at}
    unite(made, Gate(fence=2))
    assert (made.fence, len(made.barrier.locks)) == (9, 3), "nothing is forgotten"


def test_an_older_wish_of_a_monitor_never_locks_again_and_a_newer_one_does():
    made = Gate()
    assert made.obey("monitor", None, START).reason == "monitor wants no lock"
    assert made.obey("monitor", wish(5), START).accepted
    assert made.unlock(None, "olga", "looked at it").accepted
    for late in (4, 5):
        said = made.obey("monitor", wish(late), START)
        assert (said.accepted, made.barrier.locks) == (False, [])
        assert said.reason == "monitor wants no lock newer than that of 2026-01-01 00:05:00 UTC"
    assert made.obey("monitor-2", wish(4), START).accepted, "another monitor has wishes of its own"
    assert made.unlock(None, "olga", "looked at it").accepted
    assert made.obey("monitor", wish(6), START).accepted
    assert made.barrier.locks[0].reason == "monitor: 20 refusals in a minute"


@pytest.mark.parametrize("held", ["place", "queue", "news", "lock", "turn"])
def test_a_gate_ends_only_when_nothing_depends_on_it(held: str):
    made = holding("a") if held == "place" else Gate()
    if held == "queue":
        made = holding("a", "b", capacity=1)
        del made.places["a"]
    elif held == "news":
        made.news = [Notice(kind=NoticeKind.UNLOCK, to="a")]
    elif held == "lock":
        made.lock(None, "olga", "stop", START)
    elif held == "turn":
        made.hold_off(HoldOff(seconds=30.0), START)
        assert (made.idle_in(START) or 0.0) > 0.0
        return
    assert made.idle_in(START) is None
    assert Gate().idle_in(START) == 0


def test_a_slot_granted_by_a_notice_to_a_closed_workflow_goes_to_the_next():
    made = holding("a", "b", "c", capacity=1)
    made.release(Release(holder="a", request="1"), START)
    (notice,) = [news for news in made.news if news.kind is NoticeKind.GRANTED]
    assert (notice.to, list(made.places)) == ("b", ["b"])
    made.gone(notice, "not found", START)
    assert list(made.places) == ["c"]


@pytest.mark.parametrize("known", [True, False])
def test_a_notice_that_fails_frees_no_slot_that_its_holder_knows(known: bool):
    made = holding("a", "b", capacity=1)
    made.release(Release(holder="a", request="1"), START)
    (notice,) = [news for news in made.news if news.kind is NoticeKind.GRANTED]
    if known:
        assert isinstance(made.acquire(SlotRequest(holder="b", request="1"), START + timedelta(seconds=1)), SlotGranted)
    made.gone(notice, "not found", START + timedelta(seconds=2))
    assert ("b" in made.places) is known


def test_a_lock_notice_that_fails_stands_in_the_proof():
    made = holding("a")
    made.lock(None, "olga", "stop", START)
    (notice,) = made.news
    made.gone(notice, "workflow not found", START)
    assert made.barrier.told["a"].unreachable == "workflow not found"
    assert list(made.places) == ["a"], "its calls may still be running"
    made.barrier.keep_out("outside", ())
    made.gone(Notice(kind=NoticeKind.LOCK, to="outside"), "workflow not found", START)
    assert "outside" not in made.barrier.kept_out
    assert made.barrier.kept_out_bytes == 0


def test_a_changed_request_of_a_waiter_loses_its_place_in_the_queue():
    made = holding("a", "b", "c", capacity=1)
    answer = made.acquire(SlotRequest(holder="b", request="2"), START)
    assert isinstance(answer, SlotQueued)
    assert answer.position == 2
    assert [(waiter.wanted.holder, waiter.wanted.request) for waiter in made.queue] == [("c", "1"), ("b", "2")]


def test_a_full_gate_of_locks_refuses_one_more_and_says_what_to_do():
    made = Gate()
    for number in range(locks.MAX_LOCKS):
        assert made.lock(f"agent:{number}", "olga", "stop", START).accepted
    said = made.lock("agent:more", "olga", "stop", START)
    assert (said.accepted, said.reason) == (False, "there are 100 locks already: lock without a scope instead")
    assert made.lock("agent:7", "paul", "me too", START).reason == "agent:7 is locked already, by olga: stop"


def test_a_second_lock_keeps_a_holder_locked_that_the_first_would_have_let_go():
    barrier = Barrier()
    inside = [("a", ("agent:x", "tool:t"))]
    first, second = (GateLock(scope=scope, by="olga", reason="stop", at=START) for scope in ("agent:x", "tool:t"))
    assert [notice.to for notice in barrier.lock(first, inside, [])[1]] == ["a"]
    barrier.unlock("agent:x", "olga", "go on")
    assert barrier.told["a"].unlock is not None
    assert barrier.lock(second, inside, [])[1] == [], "it was notified already"
    assert barrier.told["a"].unlock is None
    assert barrier.left("a", START) is None, "no notice to go on"
    _, notices = barrier.unlock("tool:t", "olga", "go on")
    assert [(notice.kind, notice.to) for notice in notices] == [(NoticeKind.UNLOCK, "a")]


def test_the_proof_is_bounded_by_the_holders_that_have_left(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(locks, "MAX_TOLD", 2)
    barrier = Barrier()
    everyone = [(holder, ("agent:x",)) for holder in ("a", "b")]
    barrier.lock(GateLock(scope="agent:x", by="olga", reason="stop", at=START), everyone, [])
    barrier.left("a", START)
    barrier.lock(GateLock(scope="agent:y", by="olga", reason="stop", at=START), [("c", ("agent:y",))], [])
    assert set(barrier.told) == {"b", "c"}
    assert set(barrier.kept_out) == {"a"}, "it is still told when it may go on"


def test_ids_beyond_the_limit_are_only_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(locks, "MAX_KEPT_OUT", 1)
    barrier = Barrier()
    barrier.lock(GateLock(scope=None, by="olga", reason="stop", at=START), [], [("a", ()), ("b", ())])
    assert (list(barrier.kept_out), barrier.forgotten) == (["a"], 1)
    barrier.unlock(None, "olga", "go on")
    assert (barrier.empty, barrier.forgotten) == (True, 0)


def test_the_second_call_of_a_rate_limit_waits_for_its_window():
    made = Gate()
    first = made.permit(Permit(key="one", calls=1, per=60.0), START)
    again = made.permit(Permit(key="two", calls=1, per=60.0), START)
    assert first is not None
    assert again is not None
    assert (first.wait, again.wait) == (0.0, 60.0)


def test_an_agent_without_a_limit_and_a_request_without_spending_are_not_counted():
    books = BudgetLedger()
    budget = WindowBudget(per="1h", live_calls=1)
    assert books.refusal("k1", {}, {"x": budget}, 0.0) == ""
    books.book("k1", {}, {"x": budget}, 0.0)
    books.book("k2", {"y": Spending(live_calls=5)}, {"x": budget}, 0.0)
    assert books.agents == {}
    books.book("k3", {"x": Spending(live_calls=1)}, {"x": budget}, 0.0)
    assert books.refusal("k3", {"x": Spending(live_calls=1)}, {"x": budget}, 0.0) == "", "a booked request is paid for"
    assert books.refusal("k4", {"x": Spending(live_calls=1)}, {"x": budget}, 0.0) != ""
