"""A monitor without Temporal: each report counts once, however it comes; junk is refused; a lock is wanted once."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airlock.admission.examination import examine
from airlock.admission.reliability import Reliability
from airlock.base.incoming import MalformedMessage, parse_as
from airlock.base.sketch import Sketch
from airlock.gates.answers import SlotGranted
from airlock.gates.protocol import AnomalyKind, LockWish, SlotRequest
from airlock.gates.semaphore import Gate
from airlock.monitoring.aggregation import Aggregate, Calls, Stage, Tally, ToolStats
from airlock.monitoring.anomaly import Anomaly
from airlock.monitoring.dedupe import MAX_KEYS
from airlock.monitoring.messages import MonitorState, Reports, parse_auto_lock, parse_question, parse_reports
from airlock.monitoring.monitor import ASK_AGAIN, Monitor
from airlock.monitoring.outbox import MAX_QUEUED, Outbox, monitor_of
from airlock.monitoring.report import Report
from airlock.monitoring.rolling import Window, Windows
from airlock.monitoring.validation import problem_of
from airlock.plans.contract import Mode
from airlock.plans.state import Event
from airlock.run.decisions.decision import decide
from airlock.run.messages import Abort, Lock, parse_message
from airlock.run.state import Run
from tests.core.build import NOW, catalogue, new_run, plan, policy, rehearse, step, waive
from tests.core.counting import AT, live, report, reports

SECOND = timedelta(seconds=1)


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


# Locks.


def _alarming() -> Monitor:
    monitor = Monitor()
    monitor.count([report(live(4, 20), 0)], AT)
    return monitor


def _found(monitor: Monitor) -> Anomaly:
    anomaly = monitor.alarm(AT)
    assert anomaly is not None
    return anomaly


def test_the_same_evidence_never_leads_to_a_second_lock() -> None:
    monitor = _alarming()
    anomaly = monitor.alarm(AT)
    assert anomaly is not None
    assert anomaly.kind is AnomalyKind.REPEATED_FAILURES
    wish = monitor.want_lock(anomaly, AT)
    assert "4 of 20 live calls worked" in wish.reason
    assert monitor.wish == wish
    monitor.told()
    monitor = Monitor(MonitorState.model_validate_json(monitor.state.model_dump_json()))
    assert monitor.health("m", AT).anomalies, "it is as wrong as before"
    assert monitor.alarm(AT) is None
    monitor.count([report(live(0, 19), 1, AT + SECOND)], AT + SECOND)
    assert monitor.alarm(AT + SECOND) is None, "19 new calls are not enough to say so again"
    monitor.count([report(live(0, 1), 2, AT + SECOND)], AT + SECOND)
    assert monitor.alarm(AT + SECOND) is not None


def test_good_news_after_a_lock_is_no_reason_for_another() -> None:
    monitor = _alarming()
    monitor.want_lock(_found(monitor), AT)
    monitor.told()
    monitor.count([report(live(21, 21), 1)], AT)
    assert monitor.alarm(AT) is None


def test_a_lock_that_nobody_was_told_of_is_wanted_again() -> None:
    monitor = _alarming()
    monitor.want_lock(_found(monitor), AT)
    monitor.not_told()
    assert monitor.wish is None
    assert monitor.alarm(AT) is not None


def test_the_policy_is_not_asked_again_at_once() -> None:
    monitor = _alarming()
    monitor.asked(AT)
    assert monitor.alarm(AT + timedelta(seconds=ASK_AGAIN - 1)) is None
    assert monitor.alarm(AT + timedelta(seconds=ASK_AGAIN)) is not None


def wish(at: Any = AT) -> LockWish:
    return LockWish(at=at, kind=AnomalyKind.HIGH_CONFLICT, severity=8, reason="6 of 10 plans had a conflict")


def test_a_gate_obeys_each_wish_once_and_only_the_monitors_own() -> None:
    gate = Gate()
    assert not gate.obey("monitor-0", None, AT).accepted
    assert gate.obey("monitor-0", wish(), AT).accepted
    assert gate.barrier.locks[0].by == "monitor"
    assert "6 of 10" in gate.barrier.locks[0].reason
    assert gate.unlock(None, "olga", "mended").accepted
    gate = Gate.model_validate_json(gate.model_dump_json())
    assert not gate.obey("monitor-0", wish(), AT + SECOND).accepted, "it was heard before"
    assert gate.barrier.empty
    assert gate.obey("monitor-1", wish(), AT).accepted
    gate.unlock(None, "olga", "mended")
    assert gate.obey("monitor-0", wish(AT + SECOND), AT + SECOND).accepted


def test_a_wish_while_people_hold_a_lock_does_not_outlive_it() -> None:
    gate = Gate()
    gate.lock(None, "olga", "a look", AT)
    assert not gate.obey("monitor-0", wish(), AT).accepted
    gate.unlock(None, "olga", "seen")
    assert not gate.obey("monitor-0", wish(), AT).accepted
    assert gate.barrier.empty


@pytest.mark.parametrize("by", ["monitor", " Monitor ", "airlock"])
def test_nobody_locks_in_the_name_of_the_monitor(by: str) -> None:
    with pytest.raises(MalformedMessage, match="not people"):
        parse_message("lock", ({"by": by, "reason": "x"},))


@pytest.mark.parametrize("by", ["monitor", "airlock"])
def test_who_is_in_understands_what_it_is_told_of_a_lock_by_the_machine(by: str) -> None:
    gate = Gate()
    assert isinstance(gate.acquire(SlotRequest(holder="plan-a", request="1"), AT), SlotGranted)
    gate.lock(None, by, "evidence", AT)
    (news,) = gate.news
    told = parse_as(Lock, "lock", ({"by": news.by, "reason": news.reason, "gate": True},))
    assert told.by == "live gate"
    assert f"locked by {by}: evidence" in told.reason


@pytest.mark.parametrize("monitor", ["", "gate-live", "monitor-", "monitor-1234", "monitor-0\n", "plan-monitor-0"])
def test_a_gate_asks_monitors_only(monitor: str) -> None:
    with pytest.raises(MalformedMessage):
        parse_auto_lock(({"monitor": monitor},))
    assert parse_auto_lock(({"monitor": "monitor-12"},)).monitor == "monitor-12"


# Junk.


@given(reports)
def test_true_reports_are_taken(found: Report) -> None:
    assert problem_of(found) == ""
    assert parse_reports((Reports(reports=(found,)).model_dump(mode="json"),)) == (found,)


_TOOL = {"tool": {"live": {"calls": 3, "ok": 2}}}
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


# A plan's reports.


def _ended(run: Run) -> list[Report]:
    """Return the reports of a run that is locked while it is LIVE, and aborted then."""
    outbox, state = Outbox(), run.state

    def moved() -> None:
        nonlocal state
        outbox.stage_ended(run, state, "r", NOW)
        state = run.state

    rehearse(run)
    moved()
    assert not outbox.queued, "MOCK, DRY_RUN and the decision are one stage"
    waive(run)
    moved()
    assert [each.key.stage for each in outbox.queued] == [Stage.REHEARSAL]
    decide(run, "lock", Lock(by="olga", reason="a look"), NOW)
    moved()
    assert [each.key.stage for each in outbox.queued][1:] == [Stage.LIVE]
    assert outbox.due(run, giving_back=False) == ()
    assert outbox.due(run, giving_back=True) == outbox.queued
    moved()
    assert len(outbox.queued) == 2, "nothing is told of a plan that stays locked"
    decide(run, "abort", Abort(by="olga", reason="enough"), NOW)
    moved()
    run.apply(Event.LOCK, NOW)  # refused, and recorded, after the end
    moved()
    assert outbox.due(run, giving_back=False) == outbox.queued
    return list(outbox.queued)


def test_each_stage_is_reported_once_and_the_end_too() -> None:
    found = _ended(new_run(plan(step("a"), step("b", "write", "a", args={"key": "k"}))))
    assert len({each.key.text for each in found}) == len(found) == 3
    total = Aggregate()
    for each in found:
        total += each.facts
    assert total.outcomes == {"aborted": 1}
    assert total.reports == {"rehearsal": 1, "live": 2}
    assert total.ended_live == 1
    assert sum(total.tool("write").tally(mode).calls for mode in (Mode.MOCK, Mode.DRY_RUN)) == 4


def test_what_was_sent_is_forgotten_and_what_came_since_is_not() -> None:
    first, second = report(Aggregate(stale=1), 1), report(Aggregate(stale=2), 2)
    outbox = Outbox(queued=(first,))
    sent = outbox.queued
    outbox.queued += (second,)
    outbox.sent(sent)
    assert outbox.queued == (second,)


def test_many_reports_are_sent_without_anything_to_give_back() -> None:
    run = new_run(plan(step("a")))
    few = Outbox(queued=tuple(report(Aggregate(), number) for number in range(MAX_QUEUED - 1)))
    assert few.due(run, giving_back=False) == ()
    assert len(Outbox(queued=(*few.queued, report(Aggregate(), 99))).due(run, giving_back=False)) == MAX_QUEUED


def test_a_plan_keeps_its_monitor() -> None:
    run = new_run(plan(step("a")), policy(monitor_shards=7))
    assert monitor_of(run) == monitor_of(run)
    assert monitor_of(run).startswith("monitor-")
    shards = {monitor_of(new_run(plan(step("a"), plan_id=f"p{number}"), policy(monitor_shards=7))) for number in range(200)}
    assert shards == {f"monitor-{shard}" for shard in range(7)}
    assert monitor_of(Run(plan=plan(step("a")), submitted_at=NOW, since=NOW)) == "monitor-0"


# Calibrated confidence.


def _cap(reliability: dict[str, Reliability] | None, confidence: float = 0.95, **rules: Any) -> tuple[Mode, str]:
    proposed = plan(step("a", "write", confidence=confidence))
    answer = examine(proposed, catalogue(), policy(**rules), reliability=reliability)
    assert answer.admitted is not None
    (cap,) = answer.admitted.caps["a"]
    return cap.mode, cap.reason


def test_a_calibrated_confidence_decides_and_says_so() -> None:
    """By hand: (20 * 0.95 + 41) / 70 = 0.857142; (20 * 0.95 + 25) / 70 = 0.628571; MEDIUM goes live from 0.80."""
    known = {"write": Reliability(ok=41, calls=50)}
    assert _cap(known, calibrated_confidence=True) == (
        Mode.LIVE,
        "confidence 0.95 counts as 0.8571 (write worked in 41 of 50 calls) is enough for MEDIUM risk (0.80)",
    )
    mode, reason = _cap({"write": Reliability(ok=25, calls=50)}, calibrated_confidence=True)
    assert mode is Mode.MOCK
    assert "counts as 0.6285 (write worked in 25 of 50 calls) is below 0.65" in reason
    assert _cap(known) == (Mode.LIVE, "confidence 0.95 is enough for MEDIUM risk (0.80)"), "only where the policy wants it"


def test_without_an_answer_nothing_is_calibrated_and_the_reason_says_so() -> None:
    assert _cap(None, calibrated_confidence=True) == (
        Mode.LIVE, "confidence 0.95 (not calibrated: the monitor did not answer) is enough for MEDIUM risk (0.80)",
    )  # fmt: skip
    assert "no live call of write is known" in _cap({}, calibrated_confidence=True)[1]
    assert "(write worked in 50 of 50 calls)" in _cap({"write": Reliability(ok=50, calls=50)}, calibrated_confidence=True)[1]


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 1_000))
def test_calibration_never_raises_a_ceiling(ok: int, failed: int, thousandths: int) -> None:
    known = {"write": Reliability(ok=ok, calls=ok + failed)}
    stated = thousandths / 1_000
    assert _cap(known, stated, calibrated_confidence=True)[0].rank <= _cap(None, stated)[0].rank
