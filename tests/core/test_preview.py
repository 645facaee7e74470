"""The text that the approver reads."""

from airlock.run.preview import beginning_of_preview, render_preview
from airlock.run.state import Outcome
from airlock.run.views import details, waits_for
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


def test_the_beginning_of_a_preview_is_what_the_whole_begins_with() -> None:
    run = awaiting(plan(*(step(f"s{number}") for number in range(30))))
    assert run.sealed is not None
    whole = render_preview(run.sealed, "d")
    assert beginning_of_preview(run.sealed, "d", 10**9) == whole
    for size in (0, 1, 100, 101, 102, len(whole) - 1, len(whole)):
        begin = beginning_of_preview(run.sealed, "d", size)
        assert whole.startswith(begin)
        assert begin[:size] == whole[:size]
    assert len(beginning_of_preview(run.sealed, "d", 100)) < 1_000 < len(whole)


def test_the_temporal_ui_shows_the_beginning_of_a_large_preview_and_says_so() -> None:
    run = awaiting(plan(*(step(f"s{number:03}") for number in range(200))))
    assert run.sealed is not None
    whole = render_preview(run.sealed, str(run.digest))
    assert len(whole) > 20_000
    assert whole[:20_000] + "\n… (use the query preview)\n```" in details(run)
    small = awaiting(plan(step("a")))
    assert small.sealed is not None
    assert render_preview(small.sealed, str(small.digest)).replace("`", "'") + "\n```" in details(small)
