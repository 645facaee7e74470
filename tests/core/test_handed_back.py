"""Calls that a worker of another generation hands back: asked for again, then locked; never failed, never undone."""

from datetime import timedelta

import pytest

from airlock.gates.protocol import EntryRefused
from airlock.plans.outcome import RetryableFailure
from airlock.plans.state import State
from airlock.run.call_record import CallStatus
from airlock.run.decisions.entry import take_no_worker, take_refusal
from airlock.run.decisions.permission import ELSEWHERE
from airlock.run.handed_back import PATIENCE, HandedBack, asked_since, may_ask_on, pause
from airlock.run.live.call_results import after_calls
from airlock.run.presentation.views import waits_for
from airlock.run.state import Run
from tests.core.build import NOW, call, live, live_run, plan, say, step

SECOND = timedelta(seconds=1)
WHY = "the contract of write on this worker is not the one that was approved"
REFUSAL = EntryRefused(kind=ELSEWHERE, why=WHY, policy="abc")


@pytest.fixture
def run() -> Run:
    return call(live_run(plan(step("a"), step("b", "write", "a"))), live("a"))


def handed_back(step_id: str = "b") -> RetryableFailure:
    return RetryableFailure(step=step_id, error=WHY, doubtful=False, certain=True, turned_away=True, elsewhere=True)


def test_the_pauses_double_up_to_half_a_minute_and_end_with_the_patience(run: Run) -> None:
    back, now, pauses = HandedBack(run), NOW, []
    while True:
        asked = back.take(handed_back(), now)
        if back.ended:
            break
        pauses.append(asked.total_seconds())
        now += asked
    assert pauses[:8] == [1, 1, 2, 4, 8, 16, 30, 30]
    assert now - NOW >= PATIENCE
    assert len(pauses) < 30, "each question costs events of the history"
    assert back.ended == WHY
    assert [(entry.what, entry.step) for entry in run.audit if entry.what == "handed_back"] == [("handed_back", "b")]


def test_a_call_that_is_made_begins_the_patience_of_the_next_one(run: Run) -> None:
    assert may_ask_on(run, NOW)
    assert waits_for(run).startswith("a live worker with the approved contract, asked for since ")
    call(run, live("b"))
    assert asked_since(run) is None
    assert may_ask_on(run, NOW + PATIENCE)
    assert pause(run, NOW + PATIENCE) == SECOND


def test_an_earlier_stay_in_live_uses_up_no_patience(run: Run) -> None:
    assert may_ask_on(run, NOW)
    run.since = NOW + SECOND  # LIVE was left and entered again
    assert asked_since(run) is None
    assert may_ask_on(run, NOW + PATIENCE * 2)
    assert asked_since(run) == NOW + PATIENCE * 2


def test_the_patience_goes_on_in_the_run_that_continues_this_one(run: Run) -> None:
    assert "handed_back_since" not in run.model_dump(mode="json")
    assert may_ask_on(run, NOW)
    continued = Run.model_validate_json(run.model_dump_json())
    assert asked_since(continued) == NOW
    assert not may_ask_on(continued, NOW + PATIENCE)


def test_without_a_worker_the_run_locks_with_the_reason_and_keeps_what_is_live(run: Run) -> None:
    take_no_worker(run, WHY, NOW)
    after_calls(run, [], NOW, deadline_passed=False)
    assert (run.state, run.live, run.rollback) == (State.LOCKED, ("a",), None)
    assert f"no live worker with the approved contract answered for 10 minutes: {WHY}" in run.why
    assert not run.steps_with[CallStatus.FAILED]
    assert say(run, "unlock", by="olga", reason="the new contract may be previewed").accepted
    assert (run.state, run.live) == (State.MOCK, ("a",))


def test_an_entry_that_is_handed_back_is_asked_for_again_and_then_approved_again(run: Run) -> None:
    take_refusal(run, REFUSAL, NOW)
    take_refusal(run, REFUSAL, NOW + SECOND)
    assert (run.state, run.entry_refusals, run.live) == (State.LIVE, 0, ("a",))
    assert [entry.reason for entry in run.audit if entry.what == "entry to LIVE"] == [WHY], "once, not for each question"
    take_refusal(run, REFUSAL, NOW + PATIENCE)
    assert (run.state, run.entry_refusals, run.live, run.rollback) == (State.MOCK, 1, ("a",), None)
