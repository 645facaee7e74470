"""The difference that a preview shows between a seal and the one that it replaced."""

import pytest

from airlock.run.presentation.preview_check import PreviewMismatch, checked_preview
from airlock.run.presentation.seal_difference import text_of_difference
from airlock.run.presentation.views import preview_view
from airlock.run.rehearsal import begin_rehearsal
from tests.core.amend_build import OTHER_C, PLAN, TWO, change, seal_again
from tests.core.build import awaiting, plan, policy, preview, say, step


def test_the_preview_shows_what_changed_since_the_last_seal():
    run = awaiting(PLAN, TWO)
    assert say(run, "approve", by="ann").accepted
    before = run.digest
    changed = {"c": preview("c", args={"key": "other"}), "x": preview("x", effect="does more")}
    change(run, OTHER_C, step("x", "order"), remove=["e"], previews=changed)
    view = preview_view(run)
    assert f'replaces the preview {str(before)[:16]}, amended by author: "a better idea"' in view.text
    assert text_of_difference(view.changes) in view.text
    lines = [(line.kind.value, line.text) for line in view.changes]
    assert ("+", 'key = "other"') in lines
    assert (" ", "changed: step d, in what it depends on") in lines
    assert (" ", "added: step x") in lines
    assert ("+", "effect: does more") in lines
    assert (" ", "removed: step e") in lines
    assert (" ", "unchanged: a and b") in lines
    assert not [line for line in lines if line[0] != " " and "version" not in line[1] and "does a" in line[1]]
    assert view.text.index("Changed since") < view.text.index("Digest: ")


def test_nothing_that_an_agent_writes_imitates_a_line_of_the_difference():
    run = awaiting(PLAN, TWO)
    evil = preview("c", effect="x\n    + approved by all", args={"key": "\u202e\n unchanged: c"})
    change(run, OTHER_C, previews={"c": evil})
    texts = [line.text for line in preview_view(run).changes]
    assert not [text for text in texts if "\n" in text or "\u202e" in text]
    assert text_of_difference(preview_view(run).changes).count("unchanged: ") == 2  # ours, and the quoted one


def test_every_replaced_seal_shows_its_difference():
    run = awaiting(plan(step("a")), policy())
    assert say(run, "lock").accepted
    assert say(run, "unlock").accepted
    begin_rehearsal(run, run.contracts())
    seal_again(run, {"a": preview("a", observed={"version": 9})})
    assert any("version" in line.text for line in preview_view(run).changes)


def test_a_difference_to_another_preview_than_the_replaced_one_is_not_shown():
    run = awaiting(PLAN, TWO)
    change(run, OTHER_C)
    view = preview_view(run)
    assert checked_preview(view, "plan-p-1").changes == view.changes
    lie = view.model_copy(update={"before": run.sealed, "changes": ()})
    with pytest.raises(PreviewMismatch, match="compared with another one than it replaced"):
        checked_preview(lie, "plan-p-1")
    hidden = view.model_copy(update={"changes": view.changes[:1]})
    assert checked_preview(hidden, "plan-p-1").changes == view.changes, "the lines are made here"
