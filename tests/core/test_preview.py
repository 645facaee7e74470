"""The text that the approver reads."""

from airlock.run.outcome import Outcome
from airlock.run.presentation.preview import render_preview
from airlock.run.presentation.views import waits_for
from tests.core.build import awaiting, plan, say, step


def test_whoever_gives_a_call_a_dedupe_key_shows_it_to_the_approver() -> None:
    with_key = awaiting(plan(step("send", "mail", args={"to": "jo"}, dedupe_key="week-48")))
    without = awaiting(plan(step("send", "mail", args={"to": "jo"})))
    assert with_key.sealed is not None
    assert with_key.digest is not None
    assert "dedupe key: week-48" in render_preview(with_key.sealed, with_key.digest)
    assert with_key.digest != without.digest


def test_a_plan_that_was_denied_waits_for_nothing() -> None:
    run = awaiting(plan(step("a")))
    assert say(run, "deny").accepted
    assert run.outcome is Outcome.DENIED
    assert waits_for(run) == "nothing, it has ended"
