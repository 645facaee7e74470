"""The texts about a run: what it waits for, and its details for the Temporal UI."""

from airlock.run.views import details, preview_view, status_view, waits_for
from tests.core.build import awaiting, live_run, new_run, plan, say, step


def test_a_run_that_waits_for_approval_shows_how_to_approve():
    run = awaiting(plan(step("a"), step("b", "write", "a")))
    text = details(run)
    assert waits_for(run).startswith("1 approval(s) until ")
    assert "To approve what is shown below:" in text
    assert "| a | write | waiting  | LIVE |" in text
    assert status_view(run).approve_command in text


def test_a_run_without_a_seal_has_no_preview():
    run = new_run(plan(step("a")))
    assert waits_for(run) == "a worker that rehearses"
    assert preview_view(run).digest is None
    assert "has no preview" in preview_view(run).text
    assert "To approve" not in details(run)


def test_a_preview_that_is_no_longer_open_says_so():
    run = live_run(plan(step("a")))
    assert "not open for approval any more: the plan is in LIVE" in preview_view(run).text


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
