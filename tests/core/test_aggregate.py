"""Counts add up exactly, whatever the order and however they are divided, in bounded memory."""

import math
from collections import Counter
from datetime import timedelta
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.base.sketch import LONGEST, RELATIVE_ACCURACY, SHORTEST, Sketch
from airlock.monitoring.aggregation import (
    BRIEF_AGENTS,
    BRIEF_TOOLS,
    MAX_AGENTS,
    MAX_NAME,
    MAX_TOOLS,
    Aggregate,
    Calls,
    Tally,
    ToolStats,
    merged,
    short_name,
)
from airlock.monitoring.dedupe import MAX_KEYS, CountedReports, shard_of
from airlock.monitoring.observation import ObservedCall, bucket_of, observe
from airlock.monitoring.report import ReportKey
from airlock.monitoring.rolling import Window, Windows, merge
from airlock.plans.contract import Mode
from tests.core.counting import AT, aggregates, call, calls, counted, live, report, reports


@given(aggregates(), aggregates(), aggregates())
def test_adding_is_associative_commutative_and_has_a_zero(one: Aggregate, other: Aggregate, third: Aggregate) -> None:
    assert one + other == other + one
    assert (one + other) + third == one + (other + third)
    assert one + Aggregate() == one


@given(st.lists(calls, max_size=40), st.randoms())
def test_calls_counted_apart_are_what_is_counted_at_once(found: list[ObservedCall], chance: object) -> None:
    groups: dict[int, list[ObservedCall]] = {}
    for each in found:
        groups.setdefault(chance.randrange(4), []).append(each)  # type: ignore[attr-defined]
    assert merged(observe(group) for group in groups.values()) == observe(found)


@given(st.lists(calls, max_size=40), st.integers(0, 6), st.integers(0, 40))
def test_names_beyond_the_bound_are_counted_together_in_any_division(found: list[ObservedCall], keep: int, cut: int) -> None:
    whole = observe(found).folded(keep, keep)
    parts = merged((observe(found[:cut]), observe(found[cut:])), keep, keep)
    folded_early = merged((observe(found[:cut]).folded(keep, keep), observe(found[cut:]).folded(keep, keep)), keep, keep)
    assert whole == parts == folded_early
    assert len(whole.tools) == min(keep, len({each.tool for each in found}))
    assert len(whole.agents) <= keep
    for mode in Mode:
        of_mode = [each for each in found if each.mode is mode]
        assert whole.tally(mode) == Tally(calls=len(of_mode), ok=sum(each.ok for each in of_mode))
    every = sum(whole.agents.values(), whole.other_agents)
    assert every.live.calls == sum(each.mode is Mode.LIVE for each in found)


@given(st.lists(calls, max_size=30))
def test_every_count_is_the_count_of_the_calls(found: list[ObservedCall]) -> None:
    facts = observe(found)
    of_live = [each for each in found if each.mode is Mode.LIVE]
    for name in {each.tool for each in found}:
        mine = [each for each in of_live if each.tool == name]
        stats = facts.tool(name)
        assert stats.errors == Counter(each.error for each in mine if each.error)
        assert stats.matched == sum(each.matched is True for each in mine)
        assert stats.differed == sum(each.matched is False for each in mine)
        assert stats.drifted == sum(each.drifted for each in mine)
        assert stats.slow == sum(each.slow and each.ok for each in mine)
        assert stats.irreversible == sum(each.irreversible for each in mine)
        assert stats.latency.count == sum(each.ok and each.seconds is not None for each in mine)
        if mine:
            assert stats.stated == pytest.approx(sum(each.confidence for each in mine) / len(mine))
    assert facts.latency == sum((tool.latency for tool in facts.tools.values()), Sketch())
    assert {number: bucket.calls for number, bucket in facts.confidence.items()} == Counter(
        bucket_of(each.confidence) for each in of_live
    )


def test_a_bound_of_a_bucket_belongs_to_the_bucket_above_it() -> None:
    assert [bucket_of(tenth / 10) for tenth in range(11)] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9]
    assert bucket_of(0.299_999) == 2


def test_nothing_is_known_of_a_tool_that_was_never_called() -> None:
    assert live(1, 2).tool("other") == ToolStats()
    assert Calls().stated is None


def test_on_the_wire_zeros_are_left_out_and_come_back() -> None:
    facts = observe([call(), call(ok=False, mode=Mode.MOCK, tool="x" * 200)])
    text = facts.model_dump_json()
    assert "stale" not in text
    assert '"ok":0' not in text
    assert Aggregate.model_validate_json(text) == facts


def test_a_long_name_is_cut_and_stays_itself() -> None:
    one, other = "a" * 199 + "1", "a" * 199 + "2"
    assert short_name("a" * MAX_NAME) == "a" * MAX_NAME
    assert len(short_name(one)) == MAX_NAME
    assert short_name(one) != short_name(other)
    assert observe([call(tool=one)]).tool(one).live.calls == 1


# The sketch.


@given(st.lists(st.floats(SHORTEST, LONGEST), min_size=1, max_size=60), st.floats(0.0, 1.0))
def test_a_quantile_is_within_five_percent_of_the_exact_one(durations: list[float], share: float) -> None:
    exact = sorted(durations)[math.floor(share * (len(durations) - 1))]
    found = Sketch.of(durations).quantile(share)
    assert found is not None
    assert abs(found - exact) <= exact * RELATIVE_ACCURACY * 1.000_001


@given(st.lists(st.floats(0.0, 1e9), max_size=60), st.integers(0, 60))
def test_two_sketches_together_are_the_sketch_of_all(durations: list[float], cut: int) -> None:
    assert Sketch.of(durations[:cut]) + Sketch.of(durations[cut:]) == Sketch.of(durations)
    assert Sketch.of(durations).count == len(durations)


def test_a_sketch_is_bounded_and_an_empty_one_says_nothing() -> None:
    steps = (LONGEST / SHORTEST) ** (1 / 5_000)
    every = Sketch.of([0.0, 1e12, *(SHORTEST * steps**index for index in range(5_001))])
    assert len(every.bins) <= 218
    assert Sketch().quantile(0.5) is None


# Windows.


@given(st.lists(reports, max_size=6), st.randoms())
def test_shards_merged_in_any_order_are_the_whole(found: list[object], chance: object) -> None:
    whole, shards = Windows(), [Windows() for _ in range(3)]
    later = sorted(chance.randrange(90_000) for _ in found)  # type: ignore[attr-defined]
    for each, seconds in zip(found, later, strict=True):
        at = AT + timedelta(seconds=seconds)
        whole = whole.counting(each, at)  # type: ignore[arg-type]
        place = shard_of(each.key.name, 3)  # type: ignore[attr-defined]
        shards[place] = shards[place].counting(each, at)  # type: ignore[arg-type]
    first, second, third = shards
    assert merge(merge(first, second), third) == whole
    assert merge(third, merge(second, first)) == whole
    assert merge(whole, Windows()) == whole


@given(st.lists(reports, max_size=6))
def test_the_total_counts_every_report_once_in_any_order(found: list[object]) -> None:
    def total(of: list[object]) -> Aggregate:
        return reduce(lambda windows, each: windows.counting(each, AT), of, Windows()).total  # type: ignore[arg-type]

    assert total(found) == total(found[::-1])
    assert total(found) == merged(each.facts for each in found)  # type: ignore[attr-defined]


def test_what_ended_leaves_the_hour_then_the_day_and_stays_in_the_total() -> None:
    windows = counted(live(3, 4), AT)
    for after, hour, day in ((0, 4, 4), (3_599, 4, 4), (3_600 + 600, 0, 4), (86_399, 0, 4), (86_400 + 3_600, 0, 0)):
        at = AT + timedelta(seconds=after)
        assert windows.window(Window.HOUR, at).tally(Mode.LIVE).calls == hour, after
        assert windows.window(Window.DAY, at).tally(Mode.LIVE).calls == day, after
        assert windows.window(Window.ALL, at).tally(Mode.LIVE).calls == 4
    before = windows.window(Window.HOUR, AT - timedelta(hours=1))
    assert before == Aggregate(), "what had not ended then was not known then"


def test_a_report_counts_where_its_stage_ended_or_now_if_that_is_ahead() -> None:
    late = Windows().counting(report(live(1, 1), at=AT - timedelta(hours=2)), AT)
    assert late.window(Window.HOUR, AT) == Aggregate()
    assert late.window(Window.DAY, AT).tally(Mode.LIVE).calls == 1
    ancient = Windows().counting(report(live(1, 1), at=AT - timedelta(days=9)), AT)
    assert (ancient.short, ancient.long) == ({}, {})
    assert ancient.total.tally(Mode.LIVE).calls == 1
    ahead = Windows().counting(report(live(1, 1), at=AT + timedelta(days=9)), AT)
    assert ahead.window(Window.HOUR, AT).tally(Mode.LIVE).calls == 1


def test_the_trend_is_the_last_day_hour_by_hour() -> None:
    windows = Windows()
    for hours in range(40):
        at = AT + timedelta(hours=hours)
        windows = windows.counting(report(live(hours, hours), hours, at), at)
    trend = windows.trend(AT + timedelta(hours=39))
    assert [point.facts.tally(Mode.LIVE).calls for point in trend] == list(range(15, 40))
    assert (trend[-1].start.minute, trend[-1].start.second) == (0, 0)
    assert len(windows.long) == 25
    assert len(windows.short) <= 7


def test_memory_is_bounded_whatever_is_reported() -> None:
    """The most hostile names and durations there can be, each a million times, in every stretch that is kept."""
    names = [chr(0x1F600 + number % 64) * 190 + str(number) for number in range(MAX_TOOLS + 50)]
    every = Sketch.of(SHORTEST * (LONGEST / SHORTEST) ** (number / 1_000) for number in range(1_001))
    assert len(every.bins) >= 215
    many = Sketch(bins=dict.fromkeys(every.bins, 1_000_000))
    one = observe(call(tool=name, agent=name, seconds=1.0) for name in names)
    tally = Tally(calls=10_000_000, ok=9_000_000)
    stats = {"mock": tally, "dry_run": tally, "live": tally, "confidence": 10**13, "latency": many, "slow": 10**6}
    hostile = one.model_copy(
        update={
            "tools": {name: tool.model_copy(update=stats) for name, tool in one.tools.items()},
            "agents": {name: Calls(mock=tally, dry_run=tally, live=tally, confidence=10**13) for name in one.agents},
            "latency": many,
        }
    )
    windows = Windows()
    for hours in range(27):
        at = AT + timedelta(hours=hours)
        windows = windows.counting(report(hostile, hours, at), at)
    for tenth in range(7):
        later = at + timedelta(seconds=600 * tenth)
        windows = windows.counting(report(hostile, tenth, later), later)
    assert (len(windows.total.tools), len(windows.total.agents)) == (MAX_TOOLS, MAX_AGENTS)
    stretches = (*windows.short.values(), *windows.long.values())
    assert len(stretches) == 7 + 25
    assert all((len(facts.tools), len(facts.agents)) == (BRIEF_TOOLS, BRIEF_AGENTS) for facts in stretches)
    size = len(windows.model_dump_json().encode()) + MAX_KEYS * 15
    assert size < 1_900_000, f"{size} bytes with the keys: less than the 2 MiB of a payload of Temporal"
    assert Windows.model_validate_json(windows.model_dump_json()) == windows


# What was counted already.


def key(number: int) -> ReportKey:
    return ReportKey.model_validate({"name": "p", "run_id": "r", "stage": "live", "since": number})


def test_a_report_that_comes_again_is_not_new_and_memory_is_bounded() -> None:
    seen = CountedReports()
    assert seen.take(key(0))
    assert not seen.take(key(0))
    assert seen.take(key(0).model_copy(update={"run_id": "s"}))
    again = CountedReports(seen.keys)
    assert not again.take(key(0)), "it is carried through continue-as-new"
    for number in range(1, MAX_KEYS + 1):
        assert again.take(key(number))
    assert len(again.keys) == MAX_KEYS
    assert not again.take(key(1))
    assert again.take(key(0)), "so many came in between that it is forgotten"


def test_a_plan_is_always_counted_by_the_same_shard() -> None:
    places = [shard_of(f"plan-{number}", 4) for number in range(2_000)]
    assert places == [shard_of(f"plan-{number}", 4) for number in range(2_000)]
    assert min(Counter(places).values()) > 400
    assert {shard_of(f"plan-{number}", 1) for number in range(10)} == {0}
