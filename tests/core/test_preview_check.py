"""A preview is believed only if its digest covers what it shows, whatever answered the query."""

import pytest

from airlock.plans.seal import seal
from airlock.plans.state import State
from airlock.run.presentation.preview_check import PreviewMismatch, checked_preview, fitting_status
from airlock.run.presentation.views import PreviewView, preview_view, status_view
from tests.core.build import awaiting, plan, step

PLAN = "plan-p-1"


@pytest.fixture
def view() -> PreviewView:
    return preview_view(awaiting(plan(step("a"))))


def test_an_honest_preview_keeps_its_text_and_digest(view):
    assert view.digest is not None
    assert checked_preview(view, PLAN) == view


def test_a_text_is_made_again_from_what_is_sealed(view):
    lie = view.model_copy(update={"text": "Nothing happens here.\nDigest: " + str(view.digest)})
    assert checked_preview(lie, PLAN).text == view.text


def test_an_argument_that_the_digest_does_not_cover_is_refused(view):
    assert view.sealed is not None
    first, *rest = view.sealed.steps
    other = first.model_copy(update={"args": {**first.args, "key": "something else"}})
    sealed = view.sealed.model_copy(update={"steps": (other, *rest)})
    with pytest.raises(PreviewMismatch, match="approve nothing"):
        checked_preview(view.model_copy(update={"sealed": sealed}), PLAN)


def test_a_digest_without_content_is_refused(view):
    with pytest.raises(PreviewMismatch, match="approve nothing"):
        checked_preview(view.model_copy(update={"sealed": None}), PLAN)


def test_the_seal_of_another_plan_is_refused(view):
    assert view.sealed is not None
    other = view.sealed.model_copy(update={"plan_id": "p2"})
    with pytest.raises(PreviewMismatch, match="plan-p2"):
        checked_preview(view.model_copy(update={"sealed": other, "digest": seal(other)}), PLAN)


def test_a_preview_that_is_not_open_says_so(view):
    closed = checked_preview(view.model_copy(update={"state": State.LIVE}), PLAN)
    about, _, command = view.text.partition("\nNeeds 1 approval by")
    assert "--name approve --input" in command
    assert closed.text == f"{about}\nThis preview is not open for approval any more: the plan is in LIVE."


def test_what_is_said_in_the_place_of_a_preview_is_not_shown(view):
    """Text and content without a digest could be those of a harmless plan, with the digest of this one written into them."""
    lie = view.model_copy(update={"digest": None})
    shown = checked_preview(lie, PLAN)
    assert (shown.text, shown.sealed) == ("Plan p-1 has no preview: it is in AWAITING_APPROVAL.", None)
    assert str(view.digest) not in shown.text


def test_a_status_names_the_seal_of_the_preview_that_is_shown_with_it(view):
    run = awaiting(plan(step("a")))
    honest = status_view(run)
    assert fitting_status(honest, view) == honest
    lie = honest.model_copy(update={"digest": "0" * 64, "approve_command": "temporal workflow signal"})
    assert fitting_status(lie, view) == honest
    live = view.model_copy(update={"state": State.LIVE})
    assert fitting_status(lie, live).approve_command is None
    nothing = view.model_copy(update={"digest": None, "sealed": None})
    assert fitting_status(lie, nothing).digest is None
