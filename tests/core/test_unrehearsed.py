"""A rehearsal that could not look is no result: the run ends as unrehearsed, or is locked where it has calls."""

import pytest

from airlock.plans.contract import Mode
from airlock.plans.outcome import CallOutcome, MockFailed, PreviewFailed
from airlock.plans.state import Event, State
from airlock.run.decisions.decision import decide
from airlock.run.live.call_results import outcome_of
from airlock.run.messages import Unlock
from airlock.run.outcome import Outcome
from airlock.run.presentation.views import plan_result, rehearsal_failed, status_view
from airlock.run.rehearsal import take_mocks, take_previews
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


@pytest.mark.parametrize(
    ("outcome", "fails"),
    [
        (PreviewFailed(step="a", error="550 no such user"), True),
        (MockFailed(step="a", error="a bug"), True),
        (None, False),
    ],
)
def test_a_plan_that_could_go_nowhere_because_its_rehearsal_failed_is_told_apart(
    outcome: MockFailed | PreviewFailed | None, fails: bool
) -> None:
    """Its result is `rehearsed`, as that of a plan that was allowed no further, but what was asked was not done."""
    run = new_run(plan(step("a")))
    if isinstance(outcome, MockFailed):
        take_mocks(run, [outcome])
    elif outcome is not None:
        take_previews(dry_running(run), [outcome])
    else:
        run.fall("a", Mode.MOCK, "the policy allows no more, whatever its dry run failed: to say")
        run.update_ceilings()
    assert not rehearsal_failed(status_view(run)), "not before it has ended"
    run.apply(Event.CAPPED, NOW)
    ended = plan_result(run)
    assert (ended.outcome, rehearsal_failed(ended)) == (Outcome.REHEARSED, fails)


@pytest.mark.parametrize("outcome", [live("a"), failed("a")])
def test_a_plan_that_has_called_something_is_never_one_to_submit_again(outcome: CallOutcome) -> None:
    run = call(live_run(plan(step("a"), step("b"))), outcome)
    run.apply(Event.STALE, NOW)
    take_previews(run, [PreviewFailed(step="b", error="no")])
    run.apply(Event.CAPPED, NOW)
    assert not rehearsal_failed(plan_result(run))


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
