"""Calls in doubt: the effects of probes and settlements on a run."""

from typing import Any

import pytest

from airlock.plans.outcome import CallInDoubt, ProbeAnswer
from airlock.plans.state import State
from airlock.run.live.call_results import after_calls, after_rollback, take_probe
from airlock.run.messages import Settlement
from airlock.run.state import Run
from tests.core.build import NOW, call, failed, live, live_run, rehearse, say
from tests.core.calls_build import CHAIN, DOUBT, KEEP, in_doubt, status


def test_a_probe_says_it_happened() -> None:
    run = in_doubt()
    take_probe(run, ProbeAnswer(step="b", happened=True, output={"id": 9}, why="found it"), NOW)
    assert (status(run, "b"), run.calls["b"].undo, run.outputs["b"]) == ("live", {"token": "half"}, {"id": 9})
    assert run.audit[-1].what == "probe_happened"


def test_a_probe_brings_a_better_token() -> None:
    run = in_doubt()
    take_probe(run, ProbeAnswer(step="b", happened=True, undo={"token": "whole"}), NOW)
    assert run.calls["b"].undo == {"token": "whole"}


def test_a_probe_says_it_did_not_happen() -> None:
    run = in_doubt()
    take_probe(run, ProbeAnswer(step="b", happened=False), NOW)
    assert (status(run, "b"), run.calls["b"].undo) == ("failed", None)
    after_calls(run, [], NOW, deadline_passed=False)
    assert run.state is State.ROLLBACK


def test_a_probe_cannot_tell() -> None:
    run = in_doubt()
    take_probe(run, ProbeAnswer(step="b", happened=None, why="no idea"), NOW)
    assert status(run, "b") == "in_doubt"
    after_calls(run, [], NOW, deadline_passed=False)
    assert run.state is State.LOCKED


def test_settled_as_happened_goes_on() -> None:
    run = in_doubt(after=True)
    assert say(run, "resolve", step="b", outcome="happened", output={"id": 3}).accepted
    assert run.state is State.LIVE
    assert run.outputs["b"] == {"id": 3}
    assert run.approved == ("a", "b", "c", "r")


def test_settled_as_not_happened_rolls_back() -> None:
    run = in_doubt(after=True)
    assert say(run, "resolve", step="b", outcome="did_not_happen").accepted
    assert run.state is State.ROLLBACK
    assert status(run, "b") == "failed"
    assert run.calls["b"].undo is None


def two_doubts(rules: Any = None) -> Run:
    run = live_run(CHAIN, rules) if rules else live_run(CHAIN)
    return call(run, live("a"), DOUBT, CallInDoubt(step="r", error="lost"), after=True)


@pytest.mark.parametrize("order", [("b", "r"), ("r", "b")])
def test_two_doubts_end_the_same_in_any_order(order: tuple[str, str]) -> None:
    said = {"b": "did_not_happen", "r": "happened"}
    run = two_doubts(KEEP)
    assert say(run, "resolve", step=order[0], outcome=said[order[0]]).accepted
    assert run.state is State.LOCKED
    assert say(run, "resolve", step=order[1], outcome=said[order[1]]).accepted
    assert run.state is State.ROLLBACK
    assert run.rollback is not None
    assert run.rollback.by == "boss"


def test_a_failed_sibling_rolls_back_once_the_doubt_is_settled() -> None:
    run = call(live_run(CHAIN), live("a"), DOUBT, failed("r"), after=True)
    say(run, "resolve", step="b", outcome="happened")
    assert run.state is State.ROLLBACK
    assert run.rollback is not None
    assert run.rollback.by == "airlock"


def test_a_failed_sibling_does_not_roll_back_where_the_policy_forbids_it() -> None:
    run = call(live_run(CHAIN, KEEP), live("a"), DOUBT, failed("r"), after=True)
    assert say(run, "resolve", step="b", outcome="happened").accepted
    assert run.state is State.LOCKED
    assert run.parked == ()
    assert "step 'r' failed" in run.why
    assert say(run, "unlock").accepted


def test_a_humans_lock_outlasts_a_settlement() -> None:
    run = in_doubt(after=True)
    assert say(run, "lock").accepted
    assert say(run, "resolve", step="b", outcome="happened").accepted
    assert run.state is State.LOCKED
    assert say(run, "unlock").accepted
    assert run.state is State.MOCK
    rehearse(run)
    assert run.sealed is not None
    assert set(run.sealed.live_steps) == {"c", "r"}


@pytest.mark.parametrize("outcome", Settlement, ids=lambda outcome: outcome.value)
def test_what_a_doubt_can_be_settled_as(outcome: Settlement) -> None:
    run = in_doubt(after=True)
    accepted = say(run, "resolve", step="b", outcome=outcome.value).accepted
    assert accepted is (outcome in (Settlement.HAPPENED, Settlement.DID_NOT_HAPPEN))
    rolling = in_doubt(after=True)
    say(rolling, "rollback")
    after_rollback(rolling, NOW)
    assert rolling.state is State.LOCKED
    accepted = say(rolling, "resolve", step="b", outcome=outcome.value).accepted
    assert accepted is (outcome in (Settlement.HAPPENED, Settlement.DID_NOT_HAPPEN, Settlement.SKIP))
    if accepted:
        assert rolling.state is State.ROLLBACK


def test_unlock_waits_for_a_settlement() -> None:
    run = in_doubt(after=True)
    verdict = say(run, "unlock")
    assert not verdict.accepted
    assert "step b must be settled first" in verdict.reason


def test_unlock_waits_for_calls_that_are_running() -> None:
    run = live_run(CHAIN)
    run.in_flight = ("c",)
    say(run, "lock")
    verdict = say(run, "unlock")
    assert not verdict.accepted
    assert "calls are still running (c)" in verdict.reason
    call(run, CallInDoubt(step="c", error="lost"))
    run.in_flight = ()
    assert "must be settled first" in say(run, "unlock").reason
    # so a mail that may have been sent is never sent again
    say(run, "resolve", step="c", outcome="happened")
    assert say(run, "unlock").accepted
