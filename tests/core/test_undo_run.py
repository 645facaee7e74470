"""The undo of an ended plan: its preview, its approval, and the doubts that it began with."""

from types import SimpleNamespace

import pytest

from airlock.plans.outcome import StepPreview
from airlock.plans.state import Event, State
from airlock.run.call_record import CallStatus
from airlock.run.live.recovery import keep_follows, steps_left
from airlock.run.presentation.undo_preview import seal_undo
from airlock.run.presentation.views import preview_view, waits_for
from airlock.run.state import Run
from airlock.run.undo import Prospect, UndoLook
from tests.core.build import NOW, later, say
from tests.core.undo_build import KEPT, LIVE, UNDONE, ended_run, sealed_undo, undo_run


@pytest.mark.parametrize(
    ("statuses", "to_step", "left"),
    [
        ({"a": LIVE, "b": LIVE, "c": LIVE, "d": LIVE}, None, ("a", "b")),
        ({"a": LIVE, "b": LIVE, "c": LIVE, "d": LIVE}, "b", ("b",)),
        ({"a": LIVE, "b": UNDONE, "c": KEPT}, None, ("a",)),
        ({"a": LIVE, "b": CallStatus.UNDO_FAILED}, None, ("a", "b")),
        ({"a": LIVE, "b": KEPT}, None, ("a", "b")),
        ({"a": LIVE, "b": CallStatus.IN_DOUBT}, None, ("a", "b")),
        ({"a": CallStatus.FAILED}, None, ("a",)),
    ],
)
def test_what_is_left_to_undo(statuses, to_step, left):
    run, nothing = undo_run(ended_run(**statuses), to_step)
    assert (steps_left(run), nothing) == (left, "")


@pytest.mark.parametrize(
    ("statuses", "to_step", "why"),
    [
        ({}, None, "nothing of this plan went live"),
        ({"d": LIVE}, None, "nothing is left to undo: what went live only read"),
        ({"c": LIVE}, None, "nothing is left to undo (cannot be undone: c)"),
        ({"a": UNDONE, "c": KEPT}, None, "nothing is left to undo (undone already: a; cannot be undone: c)"),
        ({"a": LIVE, "b": UNDONE}, "b", "nothing from 'b' on is left to undo (undone already: b)"),
        ({"a": LIVE}, "x", "there is no step 'x' in this plan"),
    ],
)
def test_nothing_to_undo_is_said_in_a_sentence(statuses, to_step, why):
    assert undo_run(ended_run(**statuses), to_step)[1] == why


def test_the_seal_of_an_undo_covers_what_the_tools_say():
    works, fails = UndoLook(step="a", looked=True, effect="x"), UndoLook(step="a", looked=True, error="moved")
    assert sealed_undo(works).digest == sealed_undo(works).digest
    assert len({sealed_undo(*looks).digest for looks in ((), (works,), (fails,))}) == 3
    assert sealed_undo(to_step="b").digest != sealed_undo().digest


def test_the_preview_of_an_undo():
    run = sealed_undo(
        UndoLook(step="a", looked=True, error="the row has moved"), UndoLook(step="b", looked=True, effect="Cancel.")
    )
    content = run.sealed.undo
    assert [(each.id, each.prospect) for each in content.steps] == [
        ("b", Prospect.UNDO), ("a", Prospect.WOULD_FAIL), ("c", Prospect.KEPT),
    ]  # fmt: skip
    text = preview_view(run).text
    assert "Order: b, a" in text
    assert "the row has moved" in text
    assert 'requested by "carol"' in text
    assert f'--workflow-id undo-p-1 --name approve --input \'{{"by": "YOUR-NAME", "digest": "{run.digest[:16]}"}}\'' in text


def test_a_look_at_a_change_that_a_later_call_was_made_on_tells_nothing_yet():
    ended = ended_run(a=LIVE, b=LIVE)
    preview = StepPreview(step="b", args={}, effect="", looked=True, follows={"file:x": "a"})
    ended.sealed = SimpleNamespace(steps=(SimpleNamespace(id="b", preview=preview), SimpleNamespace(id="a", preview=None)))
    keep_follows(ended)
    looks = (UndoLook(step="a", looked=True, error="the file has moved"), UndoLook(step="b", looked=True, error="and this"))
    run, _ = undo_run(ended)
    seal_undo(run, looks, NOW)
    assert [(each.id, each.prospect, each.says) for each in run.sealed.undo.steps] == [
        ("b", Prospect.WOULD_FAIL, "and this"),
        ("a", Prospect.NOT_LOOKED, "only after the undo of b, made on this change: the file has moved"),
    ]  # fmt: skip
    ended.calls["b"] = ended.calls["b"].model_copy(update={"status": UNDONE})
    run, _ = undo_run(ended)
    seal_undo(run, looks, NOW)
    assert run.sealed.undo.steps[0].prospect is Prospect.WOULD_FAIL, "nothing is undone before it any more"


def test_an_undo_is_approved_by_the_rules_of_any_plan():
    run = sealed_undo(approvals_required=2)
    assert not say(run, "approve", by="carol").accepted, "who asked for it"
    assert not say(run, "approve", by="bot").accepted, "an agent of the plan"
    assert not say(run, "approve", by="alice", steps=["a"]).accepted, "only as a whole"
    assert not say(run, "approve", now=later(25), by="alice").accepted, "too late"
    assert say(run, "approve", by="alice").accepted
    assert run.state is State.AWAITING_APPROVAL
    assert say(run, "approve", by="author").accepted, "the plan's requester did not ask for its undo"
    assert (run.state, run.approved) == (State.LIVE, ("b", "a"))


def test_no_way_leads_round_the_approval_of_an_undo():
    run = sealed_undo()
    assert say(run, "lock").accepted
    assert not say(run, "rollback").accepted
    assert say(run, "unlock").accepted
    assert (run.state, run.approved, run.rollback.by) == (State.MOCK, (), "carol")
    approved = sealed_undo(to_step="b")
    assert say(approved, "approve", by="alice").accepted
    assert approved.apply(Event.ROLLBACK, NOW)
    assert say(approved, "lock").accepted
    assert not say(approved, "rollback", to_step="a").accepted, "further back than what was approved"
    assert say(approved, "rollback").accepted
    assert approved.rollback.to_step == "b"


def doubtful_undo(**statuses: CallStatus) -> Run:
    """Return an undo that waits for its approval and begins with a call in doubt."""
    run, _ = undo_run(ended_run(**{"a": CallStatus.IN_DOUBT, **statuses}))
    run.apply(Event.REHEARSED, NOW)
    seal_undo(run, (), NOW)
    run.apply(Event.PREVIEWED, NOW)
    return run


@pytest.mark.parametrize("by_gate", [False, True])
@pytest.mark.parametrize("approved", [False, True])
def test_an_unlock_lets_an_undo_go_on_with_the_doubts_it_began_with(by_gate, approved):
    run = doubtful_undo()
    if approved:
        assert say(run, "approve", by="alice").accepted
        run.apply(Event.ROLLBACK, NOW)
        by_gate = False  # the live gate's lock stops no rollback
    assert say(run, "lock", gate=by_gate).accepted
    assert "airlock unlock" in waits_for(run)
    assert say(run, "unlock", gate=by_gate).accepted
    assert (run.state, run.approved, run.lock) == (State.MOCK, (), None)


def test_a_lock_over_the_live_gates_lock_remembers_what_was_stopped():
    run = doubtful_undo()
    assert say(run, "lock", gate=True).accepted
    assert say(run, "lock").accepted
    assert say(run, "unlock").accepted


def test_an_unlock_settles_no_doubt_that_stopped_the_undo_by_itself():
    run = doubtful_undo()
    say(run, "approve", by="alice")
    run.apply(Event.ROLLBACK, NOW)
    run.apply(Event.COMPENSATION_FAILED, NOW)
    assert "must be settled first" in say(run, "unlock").reason
    assert say(run, "lock").accepted
    assert "must be settled first" in say(run, "unlock").reason


def test_an_unlock_settles_no_failed_compensation():
    run = doubtful_undo(b=CallStatus.LIVE)
    say(run, "approve", by="alice")
    run.apply(Event.ROLLBACK, NOW)
    run.calls["b"] = run.calls["b"].model_copy(update={"status": CallStatus.UNDO_FAILED})
    assert say(run, "lock").accepted
    assert "must be settled first" in say(run, "unlock").reason


def test_a_plan_with_a_call_in_doubt_is_settled_before_it_is_unlocked():
    ended = ended_run(a=CallStatus.IN_DOUBT)
    ended.state = State.LIVE
    assert say(ended, "lock").accepted
    assert "must be settled first" in say(ended, "unlock").reason


def test_a_call_whose_token_is_lost_is_shown_as_one_that_would_fail():
    ended = ended_run(a=LIVE)
    ended.calls["a"] = ended.calls["a"].model_copy(update={"undo": None, "token_lost": True})
    run, _ = undo_run(ended)
    seal_undo(run, [], NOW)
    assert run.sealed.undo.steps[0].prospect is Prospect.WOULD_FAIL
