"""The texts about a run: what it waits for, and its details for the Temporal UI."""

import copy

import pytest

from airlock.gates.protocol import GateWait
from airlock.plans.outcome import CallInDoubt, UndoFailed
from airlock.run.live.call_results import after_rollback, take_undo
from airlock.run.presentation.details import details
from airlock.run.presentation.views import preview_view, status_view, waits_for
from tests.core.build import NOW, awaiting, call, failed, live, live_run, new_run, plan, policy, say, step
from tests.core.markdown import command


def test_a_run_that_waits_for_approval_shows_how_to_approve():
    run = awaiting(plan(step("a"), step("b", "write", "a")))
    text = details(run)
    assert waits_for(run).startswith("1 approval until ")
    assert "To approve what is shown below" in text
    assert "| a | `write` | waiting | LIVE |" in text
    assert status_view(run).approve_command == command(text)


def test_a_run_without_a_seal_has_no_preview():
    run = new_run(plan(step("a")))
    assert waits_for(run) == "a worker that rehearses"
    assert preview_view(run).digest is None
    assert "has no preview" in preview_view(run).text
    assert "To approve" not in details(run)


def test_a_preview_that_is_no_longer_open_says_so():
    run = live_run(plan(step("a")))
    assert preview_view(run).text.endswith("not open for approval any more: the plan is in LIVE.")
    assert "approve" not in preview_view(run).text
    denied = awaiting(plan(step("a")))
    assert preview_view(denied).text.endswith(str(status_view(denied).approve_command))
    assert say(denied, "deny", by="olga", reason="too early").accepted
    assert "--name approve" not in preview_view(denied).text


def test_a_locked_run_says_how_to_unlock_it():
    run = live_run(plan(step("a")))
    assert say(run, "lock", by="olga", reason="an incident").accepted
    assert "unlock" in waits_for(run) or "still finishing" in waits_for(run)


def test_a_run_of_many_steps_shows_the_first_forty():
    text = details(awaiting(plan(*(step(f"s{n}") for n in range(42)))))
    assert "| s39 |" in text
    assert "| s40 |" not in text
    assert "… and 2 more steps" in text


def test_a_run_that_ended_waits_for_nothing():
    run = awaiting(plan(step("a")))
    assert say(run, "deny", by="olga", reason="too early").accepted
    assert waits_for(run) == "nothing, it has ended"
    assert "Outcome: **denied**" in details(run)


@pytest.mark.parametrize(
    ("holders", "said"),
    [
        ((), "its turn at crm/contact-7 (place 2 in the queue)"),
        (("plan-a", "plan-b"), "its turn at crm/contact-7 (place 2 in the queue, held by plan-a, plan-b)"),
    ],
)
def test_a_run_in_a_queue_says_where_it_stands_and_who_holds_the_gate(holders: tuple[str, ...], said: str):
    run = live_run(plan(step("a")))
    assert waits_for(run) == "a worker"
    run.gate_wait = GateWait(gate="gate-resource-1", name="crm/contact-7", position=2, holders=holders)
    assert waits_for(run) == said


def test_a_run_names_the_calls_that_are_running_live_and_locked():
    run = live_run(plan(step("a"), step("b")))
    run.in_flight = ("a", "b")
    assert waits_for(run) == "calls that are running: a and b"
    assert say(run, "lock", by="olga", reason="an incident").accepted
    assert waits_for(run) == "calls that are still finishing: a and b"
    run.in_flight = tuple(f"s{number}" for number in range(25))
    assert waits_for(run).endswith("s8, s9 and 15 more"), "a list that is cut says so"
    run.in_flight = ()
    assert waits_for(run) == f"unlock, rollback or abort: airlock unlock {run.name} --reason ..."


def test_votes_for_different_steps_leave_the_quorum_open():
    run = awaiting(plan(step("a"), step("b")), policy(approvals_required=2))
    assert waits_for(run).startswith("2 approvals until ")
    for by, chosen in (("olga", ["a"]), ("paul", ["b"])):
        assert say(run, "approve", by=by, digest=run.digest, steps=chosen).accepted
    assert waits_for(run) == "more approvals: no step has its quorum yet"


@pytest.mark.parametrize(
    ("outcome", "words"),
    [("happened", "happened|did_not_happen"), ("retry", "retry|skip|compensated")],
)
def test_a_parked_run_names_the_outcomes_that_resolve_takes(outcome: str, words: str):
    run = live_run(plan(step("a"), step("b", "write", "a")))
    if outcome == "happened":
        call(run, CallInDoubt(step="a", error="connection lost"), after=True)
    else:
        call(run, live("a"), failed("b"), after=True)
        take_undo(run, UndoFailed(step="a", error="the target says no"), NOW)
        after_rollback(run, NOW)
    assert waits_for(run) == f"a human to settle a: airlock resolve {run.name} a {words} --reason ..."
    for said in words.split("|"):
        twin = copy.deepcopy(run)
        assert say(twin, "resolve", by="olga", step="a", outcome=said, reason="looked", output={"id": "a"}).accepted
