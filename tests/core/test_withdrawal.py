"""A requester withdraws its plan: its own alone, and only before a call that writes. An agent may be the requester."""

import pytest

from airlock.plans.state import State
from airlock.run.outcome import Outcome
from tests.core.build import awaiting, call, live, live_run, new_run, plan, say, step

CHAIN = plan(step("r", "read"), step("a", "write", "r"), requested_by="claude")


@pytest.mark.parametrize("by", ["claude", "Claude"])
def test_the_requester_withdraws_a_plan_that_waits(by: str) -> None:
    run = awaiting(CHAIN)
    assert say(run, "abort", by=by, reason="changed", withdrawn=True).accepted
    assert (run.state, run.outcome) == (State.ABORTED, Outcome.ABORTED)


def test_before_admission_too() -> None:
    assert say(new_run(CHAIN), "abort", by="claude", withdrawn=True).accepted


@pytest.mark.parametrize("by", ["alice", "claude2"])
def test_another_one_does_not(by: str) -> None:
    run = awaiting(CHAIN)
    assert "only its requester may withdraw it" in say(run, "abort", by=by, withdrawn=True).reason
    assert run.state is State.AWAITING_APPROVAL
    assert say(run, "abort", by=by).accepted  # an abort of a person is what it was


def test_what_a_person_has_locked_stays_theirs() -> None:
    run = awaiting(CHAIN)
    say(run, "lock")
    assert "a plan in LOCKED is not withdrawn" in say(run, "abort", by="claude", withdrawn=True).reason
    assert run.state is State.LOCKED


def test_what_is_live_is_not_withdrawn_and_neither_is_its_rest() -> None:
    run = live_run(CHAIN)
    assert "a plan in LIVE is not withdrawn" in say(run, "abort", by="claude", withdrawn=True).reason
    call(run, live("r"), live("a"))
    assert not say(run, "abort", by="claude", withdrawn=True).accepted


def test_a_plan_that_wrote_and_waits_again_is_not_withdrawn() -> None:
    run = live_run(plan(step("a"), step("b", "write", "a"), requested_by="claude"))
    call(run, live("a"))
    say(run, "lock")
    run.in_flight = ()
    assert say(run, "unlock").accepted
    assert run.state is State.MOCK
    assert "calls were made already (a)" in say(run, "abort", by="claude", withdrawn=True).reason
