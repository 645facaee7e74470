"""Learning signals: raised where the data leaves no doubt, and how often they are right and wrong, by simulation."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import cache

import pytest
from hypothesis import given

from airlock.admission.conflicts.conflict import ConflictKind
from airlock.monitoring.aggregation import Aggregate, Decision
from airlock.monitoring.anomaly import anomalies
from airlock.monitoring.feedback import LEVEL, MIN_CALLS, MIN_PLANS, MOST_SURE, Signal, learning_signals
from airlock.monitoring.observation import observe
from airlock.monitoring.rolling import Window, Windows
from airlock.plans.contract import Mode
from tests.core.counting import AT, aggregates, call, counted, live, report


def signals(facts: Aggregate) -> tuple[Signal, ...]:
    return learning_signals(counted(facts), AT)


def matched(ok: int, number: int) -> Aggregate:
    return observe(call(matched=index < ok, confidence=0.99) for index in range(number))


def slow(hits: int, number: int) -> Aggregate:
    return observe(call(slow=index < hits, seconds=9.0, confidence=0.99) for index in range(number))


def gap(hits: int, number: int) -> Aggregate:
    dry = observe(call(mode=Mode.DRY_RUN) for _ in range(number))
    return dry + live(hits, number, confidence=hits / number)


def conflicting(hits: int, number: int) -> Aggregate:
    return Aggregate(rehearsals=number, conflicted=hits, conflicted_by={ConflictKind.RESOURCE: hits} if hits else {})


def clean(hits: int, number: int) -> Aggregate:
    return Aggregate(ended_live=number, clean=hits, rolled_back=number - hits)


def denied(hits: int, number: int) -> Aggregate:
    return Aggregate(decided={Decision.DENIED: hits, Decision.APPROVED: number - hits, Decision.WAIVED: 1_000})


def test_a_tool_that_is_right_95_percent_of_the_time_at_95_percent_confidence_raises_no_alarm() -> None:
    for number in (20, 40, 100, 200, 1_000, 10_000):
        windows = counted(live(round(0.95 * number), number))
        assert learning_signals(windows, AT) == ()
        assert anomalies(windows, AT) == ()


@pytest.mark.parametrize(
    ("facts", "kind", "tool", "phase", "says"),
    [
        (live(70, 100), "TOOL_RELIABILITY", "write", "16",
         "write fails more often than agents think: 70 of 100 live calls worked, agents stated a confidence of 0.95"),
        (live(99, 100, confidence=0.8), "TOOL_RELIABILITY", "write", "16",
         "write works more often than agents think: 99 of 100 live calls worked, agents stated a confidence of 0.80"),
        (slow(20, 100), "TOOL_PERFORMANCE", "write", "19",
         "20 of 100 calls of write took more than half of their timeout; 95 % of all calls so far took at most"),
        (matched(60, 100), "EXECUTION_MODE_ANALYSIS", "write", "19",
         "the dry run of write predicted another output than live in 40 of 100 calls"),
        (gap(75, 100), "EXECUTION_MODE_ANALYSIS", "write", "19",
         "write worked in 100 of 100 dry runs, but only in 75 of 100 live calls"),
        (conflicting(50, 100), "CONFLICT_PATTERN", None, "19", "50 of 100 plans had a RESOURCE conflict"),
        (clean(50, 100), "APPROVAL_MISMATCH", None, "16", "only 50 of 100 approved plans completed without a rollback"),
        (denied(80, 100), "APPROVAL_MISMATCH", None, "16", "approvers denied 80 of the 100 plans that they decided"),
    ],
)  # fmt: skip
def test_each_signal(facts: Aggregate, kind: str, tool: str | None, phase: str, says: str) -> None:
    (found,) = signals(facts)
    assert (found.signal_type.value, found.tool_name, found.target_phase) == (kind, tool, phase)
    assert found.insight.startswith(says)
    assert found.recommended_action
    assert LEVEL <= found.confidence <= MOST_SURE
    assert found.sample == 100
    assert found.interval.low < found.observed < found.interval.high
    assert not found.interval.low <= found.reference <= found.interval.high


@pytest.mark.parametrize(
    ("make", "minimum", "worst"),
    [(live, MIN_CALLS, 0.0), (slow, MIN_CALLS, 1.0), (matched, MIN_CALLS, 0.0), (gap, MIN_CALLS, 0.3),
     (conflicting, MIN_PLANS, 1.0), (clean, MIN_PLANS, 0.0), (denied, MIN_PLANS, 1.0)],
)  # fmt: skip
def test_below_the_minimum_sample_nothing_is_said(make: Callable[[int, int], Aggregate], minimum: int, worst: float) -> None:
    assert signals(make(round(worst * (minimum - 1)), minimum - 1)) == ()
    assert signals(make(round(worst * minimum), minimum)) != ()


def test_more_of_the_same_is_surer() -> None:
    few, many = signals(live(35, 45))[0], signals(live(70, 90))[0]
    assert few.confidence < many.confidence
    assert few.observed == many.observed
    assert signals(live(0, 1_000))[0].confidence == MOST_SURE, "nothing is certain"


def test_confidence_is_the_level_of_the_wilson_interval_that_ends_at_the_reference() -> None:
    # reference 0.9, 80 of 100: z = 0.1 / sqrt(0.9 * 0.1 / 100) = 3.3333, which is 99.9142 % of a normal distribution
    (found,) = signals(live(80, 100))
    assert found.reference == pytest.approx(0.90)
    assert found.confidence == pytest.approx(0.999_142, abs=1e-6)


def test_the_last_day_decides_where_it_has_enough_so_that_a_mended_tool_is_forgiven() -> None:
    past = AT - timedelta(days=3)
    windows = counted(live(300, 600), past)
    (old,) = learning_signals(windows, AT)
    assert old.window is Window.ALL
    mended = windows.counting(report(live(95, 100), 2), AT)
    assert learning_signals(mended, AT) == ()
    few = windows.counting(report(live(10, 10), 2), AT)
    assert [found.window for found in learning_signals(few, AT)] == [Window.ALL]
    good = counted(live(950, 1_000), past).counting(report(live(60, 100), 2), AT)
    assert [found.window for found in learning_signals(good, AT)] == [Window.DAY]


def test_tools_are_judged_one_by_one() -> None:
    found = signals(live(50, 100, "b") + live(95, 100, "fine") + live(50, 100, "a"))
    assert [signal.tool_name for signal in found] == ["a", "b"]


@given(aggregates(), aggregates())
def test_what_shards_learn_together_is_what_one_would_have_learned(one: Aggregate, other: Aggregate) -> None:
    whole = Windows().counting(report(one, 1), AT).counting(report(other, 2), AT)
    backwards = Windows().counting(report(other, 2), AT).counting(report(one, 1), AT)
    assert learning_signals(whole, AT) == learning_signals(backwards, AT)


# How often signals are right and wrong: each case is simulated many times with seeds of its own. What was measured over
# 1,000 seeds, with a stated confidence of 0.95: no alarm where it is true (one at 30 calls); of a true 0.90 2 % are found in
# 200 calls, of 0.85 47 %, of 0.80 96 %.

SEEDS = 300


def raised(make: Callable[[int, int], Aggregate], rate: float, number: int) -> float:
    """Return the share of simulations, each of so many trials at a true rate, in which any signal is raised."""
    drawn: Counter[int] = Counter()
    for seed in range(SEEDS):
        chance = random.Random(f"{rate}/{number}/{seed}")
        drawn[sum(chance.random() < rate for _ in range(number))] += 1
    # many simulations draw the same, and mean the same then
    return sum(times for hits, times in drawn.items() if signals(make(hits, number))) / SEEDS


def at(confidence: float) -> Callable[[int, int], Aggregate]:
    return lambda ok, number: live(ok, number, confidence=confidence)


@pytest.mark.parametrize(
    ("make", "rate", "number"),
    [(at(0.95), 0.95, 30), (at(0.95), 0.95, 100), (at(0.95), 0.95, 200), (at(0.9), 0.9, 50), (at(0.8), 0.8, 100),
     (at(0.99), 0.99, 100), (slow, 0.02, 50), (matched, 0.95, 50), (conflicting, 0.10, 50), (clean, 0.90, 50),
     (denied, 0.35, 50)],
)  # fmt: skip
def test_false_alarms_are_rare(make: Callable[[int, int], Aggregate], rate: float, number: int) -> None:
    found = raised(make, rate, number)
    assert found <= 0.01, f"false alarms in {found:.2%}; 0 of 300 in each case when this was written"


@pytest.mark.parametrize(
    ("make", "rate", "number", "least"),
    [(at(0.95), 0.60, 50, 0.97), (at(0.95), 0.70, 50, 0.85), (at(0.95), 0.80, 200, 0.90), (at(0.80), 0.98, 100, 0.95),
     (slow, 0.25, 50, 0.9), (matched, 0.60, 50, 0.9), (gap, 0.65, 50, 0.9), (conflicting, 0.60, 50, 0.9),
     (clean, 0.40, 50, 0.9), (denied, 0.85, 50, 0.9)],
)  # fmt: skip
def test_what_is_really_wrong_is_found(
    make: Callable[[int, int], Aggregate], rate: float, number: int, least: float
) -> None:
    found = raised(make, rate, number)
    assert found >= least


def test_looking_again_and_again_raises_few_false_alarms() -> None:
    """A person who looks after every 25 calls, 12 times, sees a false alarm in few histories."""
    alarms = cache(lambda ok, number: bool(signals(live(ok, number, confidence=0.9))))
    alarmed = 0
    for seed in range(100):
        chance = random.Random(f"looking/{seed}")
        ok = 0
        seen = False
        for number in range(25, 301, 25):
            ok += sum(chance.random() < 0.9 for _ in range(25))
            seen = seen or alarms(ok, number)
        alarmed += seen
    assert alarmed <= 2
