"""The decisions that are possible in each state, and the refusal of all others."""

import pytest

from airlock.plans.state import State
from airlock.run.audit import AuditKind
from airlock.run.live.call_results import outcome_of
from airlock.run.outcome import Outcome
from tests.core.build import awaiting, call, live, live_run, say
from tests.core.calls_build import CHAIN, in_doubt


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("lock", {"MOCK", "DRY_RUN", "AWAITING_APPROVAL", "LIVE", "ROLLBACK", "LOCKED"}),
        ("unlock", {"LOCKED"}),
        ("rollback", {"LIVE", "LOCKED"}),
        ("abort", {"MOCK", "DRY_RUN", "AWAITING_APPROVAL", "LOCKED"}),
        ("deny", {"AWAITING_APPROVAL"}),
        ("resolve", set()),
    ],
)
@pytest.mark.parametrize("state", State, ids=lambda state: state.value)
def test_what_may_be_said_when(name: str, states: set[str], state: State) -> None:
    run = awaiting(CHAIN)
    run.state = state
    more = {"step": "a", "outcome": "happened"} if name == "resolve" else {}
    verdict = say(run, name, **more)
    assert verdict.accepted is (state.value in states)
    assert verdict.reason
    decision = next(entry for entry in reversed(run.audit) if entry.what == name)
    assert decision.by == "boss"
    if not verdict.accepted:
        assert run.audit[-1].kind is AuditKind.REFUSED
        assert run.state is state


def test_a_refusal_says_what_is_possible() -> None:
    assert "possible: approve, deny, amend, lock, abort" in say(awaiting(CHAIN), "unlock").reason
    assert "use rollback, or lock it first" in say(live_run(CHAIN), "abort").reason
    assert "nothing is live, use abort" in say(awaiting(CHAIN), "rollback").reason
    run = call(awaiting(CHAIN), live("a"))
    assert "lock it, then roll back" in say(run, "rollback").reason


def test_abort_waits_for_calls_that_are_running() -> None:
    run = live_run(CHAIN)
    run.in_flight = ("a", "r")
    say(run, "lock")
    assert "calls are still running (a, r)" in say(run, "abort").reason
    run.in_flight = ()
    assert say(run, "abort").accepted
    assert outcome_of(run) is Outcome.ABORTED


def test_unknown_steps() -> None:
    run = in_doubt(after=True)
    assert "no step 'zz'" in say(run, "resolve", step="zz", outcome="happened").reason
    assert "'a' does not wait to be settled; waiting: b" in say(run, "resolve", step="a", outcome="happened").reason
    assert "no step 'zz'" in say(run, "rollback", to_step="zz").reason
    assert "no step 'zz'" in say(live_run(CHAIN), "rollback", to_step="zz").reason


def test_a_rollback_lifts_a_lock_and_remembers_who_asked() -> None:
    run = live_run(CHAIN)
    say(run, "lock", by="ann")
    assert run.lock is not None
    assert run.lock.by == "ann"
    say(run, "rollback", by="bob", reason="wrong customer", to_step="a")
    assert run.lock is None
    assert run.rollback is not None
    assert (run.rollback.by, run.rollback.reason, run.rollback.to_step) == ("bob", "wrong customer", "a")


def test_the_reason_of_a_decision_is_in_the_audit() -> None:
    run = live_run(CHAIN, reason="looks right")
    entry = next(entry for entry in run.audit if entry.kind is AuditKind.DECISION)
    assert (entry.what, entry.by, entry.reason, entry.digest) == ("approve", "boss", "looks right", run.digest)
