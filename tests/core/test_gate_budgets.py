"""Budgets and turns at a gate: by table and property."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.admission.budget import Spending
from airlock.admission.policy import WindowBudget
from airlock.gates import budget_ledger as window
from airlock.gates import rate_limit
from airlock.gates.answers import OverBudget, SlotQueued
from airlock.gates.budget_ledger import BudgetLedger
from airlock.gates.locks import NoticeKind
from airlock.gates.protocol import HoldOff, Permit, Release, SlotRequest
from airlock.gates.rate_limit import Turns
from airlock.gates.semaphore import Gate
from tests.core.gate_build import START, told, wants

DAY = 86_400.0


@pytest.mark.parametrize(
    ("used", "more", "budget", "sentence"),
    [
        (
            8, {"live_calls": 4}, {"live_calls": 10},
            "agent 'crm' would make 12 live calls within 24h, 10 are allowed (8 used)",
        ),
        (8, {"live_calls": 2}, {"live_calls": 10}, ""),
        (0, {"live_calls": 1}, {"live_calls": 0}, "agent 'crm' would make 1 live call within 24h, 0 are allowed (0 used)"),
        (
            1, {"irreversible_calls": 1}, {"irreversible_calls": 1},
            "agent 'crm' would make 2 irreversible calls within 24h, 1 is allowed (1 used)",
        ),
        (1, {"cost": 0.2}, {"cost": 0.3}, ""),
        (1, {"cost": 0.25}, {"cost": 0.3}, "agent 'crm' would cost 0.35 within 24h, 0.3 is allowed (0.1 used)"),
        (9, {"live_calls": 1}, {}, ""),
        (9, {}, {"live_calls": 1}, ""),
    ],
)  # fmt: skip
def test_budgets(used: int, more: dict[str, Any], budget: dict[str, Any], sentence: str) -> None:
    allowed = {"crm": WindowBudget(**budget)}
    books = BudgetLedger()
    spent = Spending(live_calls=used, irreversible_calls=used, cost=round(used * 0.1, 9))
    books.book("plan-a 1", {"crm": spent}, allowed, 0.0)
    books.book("plan-a 1", {"crm": spent}, allowed, 5.0)  # only once
    wanted = {"crm": Spending(**more)}
    assert books.refusal("plan-b 1", wanted, allowed, 10.0) == sentence
    assert not used or books.refusal("plan-a 1", wanted, allowed, 10.0) == ""
    assert books.refusal("plan-b 1", wanted, allowed, DAY * 2) == books.refusal("plan-b 1", wanted, allowed, DAY * 3)


@given(st.lists(st.tuples(st.floats(0, 3_000), st.integers(1, 5)), min_size=1, max_size=120))
def test_a_window_never_counts_too_little_nor_much_too_long(steps: list[tuple[float, int]]) -> None:
    per, now, budget = 3_600.0, 1e9, {"crm": WindowBudget(live_calls=10**9, per="1h")}
    books, booked = BudgetLedger(), []
    for number, (passed, calls) in enumerate(steps):
        now += passed
        books.book(str(number), {"crm": Spending(live_calls=calls)}, budget, now)
        booked.append((now, calls))
        counted = books.agents["crm"].used(per, now).live_calls
        assert counted >= sum(calls for at, calls in booked if at > now - per)
        assert counted <= sum(calls for at, calls in booked if at > now - per - per / 50)
        assert len(books.agents["crm"].buckets) <= window.BUCKETS


def test_a_waiter_that_cannot_pay_any_more_is_told_and_learns_why() -> None:
    budgets = {"crm": WindowBudget(live_calls=10)}

    def asks(holder: str, calls: int) -> SlotRequest:
        return wants(holder, budgets=budgets, spending={"crm": Spending(live_calls=calls)})

    made = Gate()
    made.acquire(asks("plan-a", 6), START)
    for holder, calls in (("plan-b", 4), ("plan-c", 4), ("plan-d", 0)):
        assert isinstance(made.acquire(asks(holder, calls), START), SlotQueued)
    for holder in ("plan-a", "plan-b"):
        made.release(Release(holder=holder, request="1"), START)
    assert told(made, NoticeKind.GRANTED) == ["plan-b", "plan-c", "plan-d"]
    assert list(made.places) == ["plan-d"]
    answer = made.acquire(asks("plan-c", 4), START)
    assert answer == OverBudget(why="agent 'crm' would make 14 live calls within 24h, 10 are allowed (10 used)")


@given(
    calls=st.integers(1, 4), per=st.floats(0.5, 20),
    steps=st.lists(st.tuples(st.floats(0, 5), st.integers(0, 40), st.floats(0, 8)), min_size=1, max_size=60),
)  # fmt: skip
def test_never_more_turns_in_any_window_than_allowed(calls: int, per: float, steps: list[tuple[float, int, float]]) -> None:
    turns, now, held = Turns(), 1e6, 0.0
    used: list[float] = []
    for passed, key, hold in steps:
        now += passed
        if hold > 7:
            turns.hold_off(HoldOff(seconds=hold), now)
            held = max(held, now + hold)
        permit = Permit(key=str(key), calls=calls, per=per)
        wait = turns.turn(permit, now)
        assert wait is not None
        if wait == 0:  # used up: what asks next is another call
            used.append(now)
            assert now >= held
        else:
            assert turns.turn(permit, now) == wait
        turns = Turns.model_validate_json(turns.model_dump_json())
    taken = sorted(turn for _, turn in turns.turns)
    for first in range(len(taken) - calls):
        assert taken[first + calls] - taken[first] >= per - 1e-6


@given(calls=st.integers(1, 3), keys=st.lists(st.integers(0, 5), min_size=1, max_size=40), pauses=st.integers(0, 3))
def test_whoever_asks_at_once_when_its_turn_comes_never_calls_too_often(calls: int, keys: list[int], pauses: int) -> None:
    turns, now, per = Turns(), 1e6, 2.0
    made: list[float] = []
    for key in keys:  # one after the other: each waits for its turn, and asks again, before the next one asks
        permit = Permit(key=str(key), calls=calls, per=per)
        while wait := turns.turn(permit, now):
            now += wait
        made.append(now)
        now += 0.1 * pauses
    for first in range(len(made) - calls):
        assert made[first + calls] - made[first] >= per - 1e-6, "the same step and attempt counts each time"


def test_turns_are_bounded_and_a_large_limit_is_not_loosened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MAX_TURNS", 500)
    monkeypatch.setattr(rate_limit, "_COUNTED", 200)
    turns = Turns()
    waits = [turns.turn(Permit(key=str(number), calls=480, per=99.0), 0.0) for number in range(rate_limit.MAX_TURNS + 1)]
    assert waits[-1] is None
    at = sorted(wait for wait in waits if wait is not None)
    assert len(at) == rate_limit.MAX_TURNS
    assert at[479] < 99.0 <= at[480]
    assert turns.idle_in(0.0) > 0
    assert turns.idle_in(1_000.0) == 0
