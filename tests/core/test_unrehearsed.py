"""A rehearsal that could not look is no result: the run ends as unrehearsed, or is locked where it has calls."""

import pytest

from airlock.plans.outcome import CallOutcome, MockFailed, PreviewFailed
from airlock.plans.state import Event, State
from airlock.run.decisions.decision import decide
from airlock.run.live.call_results import outcome_of
from airlock.run.messages import Unlock
from airlock.run.outcome import Outcome
from airlock.run.rehearsal import take_previews
from airlock.run.state import Run
from airlock.run.unrehearsed import abort_unrehearsed, end_unrehearsed
from tests.core.build import NOW, call, failed, live, live_run, new_run, plan, preview, step

SILENT = PreviewFailed(step="b", error="450 greylisted", unlooked=True)


def dry_running(run: Run) -> Run:
    run.apply(Event.REHEARSED, NOW)
    return run


def test_a_run_without_calls_ends_as_unrehearsed_with_the_step_and_the_reason() -> None:
    run = dry_running(new_run(plan(step("a"), step("b"))))
    outcomes = [preview("a"), SILENT]
    take_previews(run, outcomes)
    assert end_unrehearsed(run, outcomes, NOW)
    assert (run.state, outcome_of(run)) == (State.ABORTED, Outcome.UNREHEARSED)
    assert "the dry run of step 'b' got no answer: 450 greylisted" in run.why
    assert "submit the same plan again" in run.why
    assert run.digest is None, "nothing is sealed that was not looked at"


def test_a_mock_without_an_answer_ends_it_too() -> None:
    run = new_run(plan(step("a")))
    assert end_unrehearsed(run, [MockFailed(step="a", error="busy", unlooked=True)], NOW)
    assert (run.state, run.outcome) == (State.ABORTED, Outcome.UNREHEARSED)
    assert "the mock of step 'a'" in run.why


@pytest.mark.parametrize(
    "outcomes", [[], [preview("a")], [PreviewFailed(step="a", error="no"), MockFailed(step="b", error="x")]]
)
def test_a_dry_run_that_looked_is_a_result_whatever_it_found(outcomes: list[MockFailed | PreviewFailed]) -> None:
    run = dry_running(new_run(plan(step("a"), step("b"))))
    assert not end_unrehearsed(run, outcomes, NOW)
    assert (run.state, run.outcome) == (State.DRY_RUN, None)


@pytest.mark.parametrize("outcome", [live("a"), failed("a")], ids=["live", "failed"])
def test_a_run_with_calls_is_locked_and_an_unlock_rehearses_the_rest(outcome: CallOutcome) -> None:
    run = call(live_run(plan(step("a"), step("b"))), outcome)
    run.apply(Event.STALE, NOW)
    assert end_unrehearsed(run, [SILENT], NOW)
    assert (run.state, run.outcome) == (State.LOCKED, None)
    assert "Unlock the plan to rehearse what remains" in run.why
    assert decide(run, "unlock", Unlock(by="olga", reason="the server is back"), NOW).accepted
    assert run.state is State.MOCK


def test_a_run_that_moved_on_keeps_its_own_end() -> None:
    run = new_run(plan(step("a")))
    run.apply(Event.CAPPED, NOW)
    abort_unrehearsed(run, "no worker", NOW)
    assert (run.state, run.outcome) == (State.COMPLETED, None)


def test_the_mark_is_left_out_where_it_was_not_known() -> None:
    assert "unlooked" not in PreviewFailed(step="a", error="no").model_dump()
    assert "unlooked" not in MockFailed(step="a", error="no").model_dump()
