"""The age of an approval: which votes still count, and when a run may begin no further call."""

from datetime import timedelta
from typing import Any

import pytest

from airlock.plans.outcome import CallStale
from airlock.plans.state import State
from airlock.run.decisions.approval_age import expiry_of_votes, too_old, votes_in_force
from airlock.run.live.call_results import after_calls, take_outcomes
from airlock.run.presentation.preview import render_preview
from airlock.run.state import Run
from tests.core.build import NOW, awaiting, later, live, live_run, plan, policy, rehearse, say, step

TWO = plan(step("a"), step("b", "write", "a"))
HOUR = timedelta(hours=1)


def approved(**rules: Any) -> Run:
    """Return a run that was approved when it was sealed."""
    return live_run(TWO, policy(**rules))


def of_the_first_release(run: Run) -> Run:
    """Return the run as an earlier release admitted it, without an epoch."""
    run.admitted = run.contracts().model_copy(update={"epoch": 0})
    return run


@pytest.mark.parametrize(
    ("rules", "hours"),
    [
        ({}, 24),
        ({"approval_timeout": "3h"}, 3),
        ({"approval_valid_for": "2h"}, 2),
        ({"approval_timeout": "1h", "approval_valid_for": "5h"}, 5),
    ],
)
def test_an_approval_is_valid_for_as_long_as_the_policy_says_and_else_for_the_time_for_approval(
    rules: dict[str, Any], hours: int
) -> None:
    run = approved(**rules)
    assert run.approved_until == later(hours)
    assert too_old(run, later(hours) - timedelta(seconds=1)) == ""
    assert f"was valid until {later(hours):%Y-%m-%d %H:%M:%S} UTC" in too_old(run, later(hours))


def test_a_run_with_no_call_left_to_make_needs_no_approval() -> None:
    run = approved()
    take_outcomes(run, [live("a"), live("b")], later(1))
    assert too_old(run, later(100)) == ""
    after_calls(run, [], later(100), deadline_passed=False)
    assert run.state is State.COMPLETED


def test_an_old_approval_sends_the_run_back_to_its_previews_and_keeps_what_is_live() -> None:
    run = approved(rollback_on_stale=True)
    take_outcomes(run, [live("a")], later(1))
    aged = too_old(run, later(24))
    after_calls(run, [], later(24), deadline_passed=False, aged=aged, stuck=True)
    assert (run.state, run.why) == (State.DRY_RUN, aged)
    assert run.live == ("a",)
    rehearse(run, later(24))
    assert (run.state, run.approved, run.votes, run.approved_until) == (State.AWAITING_APPROVAL, (), (), None)
    assert run.replaced[-1].why == aged
    assert not say(run, "approve", later(25), digest=run.replaced[-1].digest).accepted
    assert say(run, "approve", later(25)).accepted
    assert run.approved_until == later(49)


def test_a_state_that_changed_says_more_than_an_old_approval() -> None:
    run = approved(rollback_on_stale=True)
    take_outcomes(run, [live("a")], later(1))
    after_calls(run, [CallStale(step="b", error="it changed")], later(24), deadline_passed=False, aged="old")
    assert run.state is State.ROLLBACK


def test_a_vote_that_got_too_old_while_others_were_missing_is_not_counted() -> None:
    run = awaiting(TWO, policy(approvals_required=2, approval_valid_for="1h"))
    assert say(run, "approve", NOW, by="alice").reason == "approval 1 of 2 counted"
    assert say(run, "approve", later(2), by="bob").reason == "approval 1 of 2 counted"
    assert run.state is State.AWAITING_APPROVAL
    assert [vote.approval.by for vote in run.votes] == ["bob"]
    assert say(run, "approve", later(2.5), by="alice").reason == "approval 2 of 2 counted"
    assert run.state is State.LIVE
    assert run.approved_until == later(3)


def test_a_vote_still_counts_once_while_it_is_valid() -> None:
    run = awaiting(TWO, policy(approvals_required=2, approval_valid_for="1h"))
    assert say(run, "approve", NOW, by="alice").accepted
    assert "one vote per approver" in say(run, "approve", later(0.9), by="alice").reason


def test_a_run_of_an_earlier_release_keeps_its_approval() -> None:
    run = of_the_first_release(awaiting(TWO, policy(approval_valid_for="1h", approvals_required=2)))
    say(run, "approve", NOW, by="alice")
    say(run, "approve", later(2), by="bob")
    assert run.state is State.LIVE
    assert expiry_of_votes(run, 3600) is None
    assert too_old(run, later(1_000)) == ""
    assert len(votes_in_force(run, 1.0, later(1_000))) == 2


def test_the_preview_says_how_long_an_approval_is_valid_where_the_policy_says_it() -> None:
    run = awaiting(TWO, policy(approval_valid_for="2h"))
    assert run.sealed is not None
    assert run.digest is not None
    assert "An approval is valid for 2h" in render_preview(run.sealed, run.digest)
    plain = awaiting(TWO)
    assert plain.sealed is not None
    assert "approval_valid_for" not in plain.sealed.model_dump(mode="json")
    assert plain.digest != run.digest
