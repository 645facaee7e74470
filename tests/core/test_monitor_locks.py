"""Locks that a monitor wishes for: once for the same evidence, obeyed only from it, never beyond those of people."""

from datetime import timedelta

import pytest

from airlock.base.incoming import MalformedMessage, parse_as
from airlock.gates.answers import SlotGranted
from airlock.gates.protocol import AnomalyKind, SlotRequest
from airlock.gates.semaphore import Gate
from airlock.monitoring.anomaly import Anomaly
from airlock.monitoring.messages import MonitorState, parse_auto_lock
from airlock.monitoring.monitor import ASK_AGAIN, Monitor
from airlock.run.messages import Lock, parse_message
from tests.core.counting import AT, live, report, wish

SECOND = timedelta(seconds=1)


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
