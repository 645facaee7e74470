"""A monitor without Temporal: each report counts once, however it comes; junk is refused."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airlock.base.incoming import MalformedMessage
from airlock.base.sketch import Sketch
from airlock.monitoring.aggregation import Aggregate, Calls, Tally, ToolStats
from airlock.monitoring.dedupe import MAX_KEYS
from airlock.monitoring.messages import MonitorState, Reports, parse_question, parse_reports
from airlock.monitoring.monitor import Monitor
from airlock.monitoring.report import Report
from airlock.monitoring.rolling import Window, Windows
from airlock.monitoring.validation import problem_of
from tests.core.counting import AT, live, report, reports, wish

# Counting.


@settings(max_examples=40)
@given(st.lists(reports, max_size=8, unique_by=lambda each: each.key.text), st.lists(st.integers(0, 7), max_size=3))
def test_however_reports_are_divided_and_repeated_each_counts_once(found: list[Report], cuts: list[int]) -> None:
    one_by_one = Windows()
    for each in found:
        one_by_one = one_by_one.counting(each, AT)
    monitor, start = Monitor(), 0
    for cut in [*sorted(cuts), len(found)]:
        monitor.count(found[start:cut], AT)
        monitor = Monitor(MonitorState.model_validate_json(monitor.state.model_dump_json()))  # a continue-as-new
        monitor.count(found[start:cut], AT)
        start = max(start, cut)
    assert monitor.state.windows == one_by_one
    assert monitor.state.counted == len(found)
    assert monitor.state.repeated == len(found)


def test_a_snapshot_says_what_health_and_signals_say_of_its_windows() -> None:
    monitor = Monitor()
    monitor.count([report(live(10, 40), 1), report(live(40, 40, "read"), 2, AT - timedelta(hours=5))], AT)
    monitor.refuse("report", "why", AT)
    health, signals = monitor.health("monitor-0", AT), monitor.signals("monitor-0", AT)
    assert health.windows == signals.windows == monitor.state.windows
    assert health.health[Window.HOUR].health.metrics.tool_success_rate == 0.25
    assert health.health[Window.ALL].health.metrics.tool_success_rate == 50 / 80
    assert [point.health.samples.calls for point in health.trend] == [40, 40]
    assert [found.kind for found in health.anomalies] == ["repeated_failures", "unsafe_escalation"]
    assert {found.tool_name for found in signals.signals} == {"write"}
    assert (health.counted, health.refused, health.refusals[0].why) == (2, 1, "why")
    asked = monitor.reliability(parse_question(({"tools": ["write", "nobody"]},)), AT)
    assert asked.tools["write"].day == Tally(calls=40, ok=10)
    assert asked.tools["nobody"].all == Tally()
    assert "POOR" in monitor.details("monitor-0", AT)
    assert "report: why" in monitor.details("monitor-0", AT)


def test_what_a_monitor_carries_is_bounded() -> None:
    every = {f"t{number:03d}{'x' * 50}": ToolStats(live=Tally(calls=9, ok=3), latency=_wide()) for number in range(150)}
    agents = {f"a{number:03d}{'x' * 50}": Calls(live=Tally(calls=9, ok=3)) for number in range(150)}
    facts = Aggregate(tools=every, agents=agents, latency=_wide())
    most = Windows(
        total=facts,
        short={int(AT.timestamp()) + 600 * number: facts.brief() for number in range(7)},
        long={int(AT.timestamp()) + 3_600 * number: facts.brief() for number in range(25)},
    )
    fresh = most.model_copy(update={"total": Aggregate()})
    keys = [f"{number:012d}" for number in range(MAX_KEYS)]
    monitor = Monitor(MonitorState(windows=most, fresh=fresh, keys=tuple(keys), wishes=(wish(),) * 10))
    for _ in range(100):
        monitor.refuse("x" * 500, "y" * 5_000, AT)
    assert len(monitor.state.model_dump_json()) < 1_200_000


def _wide() -> Sketch:
    return Sketch.of(0.001 * 1.1**number for number in range(200))


# Junk.


@given(reports)
def test_true_reports_are_taken(found: Report) -> None:
    assert problem_of(found) == ""
    assert parse_reports((Reports(reports=(found,)).model_dump(mode="json"),)) == (found,)


JUNK: dict[str, dict[str, Any]] = {
    "more worked than ended": {"tools": {"t": {"live": {"calls": 1, "ok": 2}}}},
    "a negative number": {"tools": {"t": {"live": {"calls": -1, "ok": -1}}}},
    "an absurd number": {"stale": 10**400},
    "more rolled back than ended": {"ended_live": 1, "rolled_back": 2},
    "more rolled back and clean than ended": {"ended_live": 1, "rolled_back": 1, "clean": 1},
    "more conflicted than looked at": {"rehearsals": 1, "conflicted": 2},
    "of one kind too": {"rehearsals": 1, "conflicted_by": {"RESOURCE": 2}},
    "a bucket that is none": {"confidence": {"10": {"calls": 1}}},
    "a bucket with more than it has": {"confidence": {"9": {"calls": 1, "ok": 2}}},
    "surer than sure": {"tools": {"t": {"live": {"calls": 1}, "confidence": 1_000_001}}},
    "squares beyond one": {"confidence": {"9": {"calls": 1, "squares": 1_000_001}}},
    "a bin at the end of the world": {"latency": {"bins": {str(10**9): 1}}},
    "a tool's bin": {"tools": {"t": {"latency": {"bins": {str(-(10**9)): 1}}}}},
    "a bin of minus one": {"waited": {"bins": {"0": -1}}},
    "slower than all": {"tools": {"t": {"live": {"calls": 3, "ok": 2}, "slow": 3}}},
    "more matched than called": {"tools": {"t": {"live": {"calls": 3, "ok": 2}, "matched": 4}}},
    "matched and differed": {"tools": {"t": {"live": {"calls": 3}, "matched": 5, "differed": -2}}},
    "too many tools": {"tools": {f"t{number}": {} for number in range(151)}},
    "too many agents": {"agents": {f"a{number}": {} for number in range(151)}},
    "a long name": {"agents": {"a" * 61: {}}},
    "an agent's calls": {"agents": {"a": {"mock": {"calls": 0, "ok": 1}}}},
}


@pytest.mark.parametrize("facts", JUNK.values(), ids=JUNK.keys())
def test_what_cannot_be_true_is_refused(facts: dict[str, Any]) -> None:
    document = Reports(reports=(report(Aggregate()),)).model_dump(mode="json")
    assert parse_reports((document,))
    document["reports"][0]["facts"] = facts
    with pytest.raises(MalformedMessage):
        parse_reports((document,))


@pytest.mark.parametrize("number", range(5))
def test_keys_and_times_that_cannot_be_are_refused(number: int) -> None:
    document = report(Aggregate()).model_dump(mode="json")
    changed = [
        {"at": "2026-03-01T12:00:00"},
        {"key": document["key"] | {"name": ""}},
        {"key": document["key"] | {"name": "x" * 301}},
        {"key": document["key"] | {"since": -1}},
        {"key": document["key"] | {"stage": "party"}},
    ][number]
    with pytest.raises(MalformedMessage):
        parse_reports(({"reports": [document | changed]},))


@pytest.mark.parametrize("sent", [(), (1,), ("x",), ([],), ({},), ({"reports": []},), ({"reports": "x"},), ({}, {})])
def test_what_is_no_report_is_refused(sent: tuple[Any, ...]) -> None:
    with pytest.raises(MalformedMessage):
        parse_reports(sent)
    with pytest.raises(MalformedMessage):
        parse_reports(({"reports": [report(Aggregate()).model_dump(mode="json")] * 21},))
