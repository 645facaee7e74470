"""A run asks dry runs with the edges of admission, keeps no states, and seals whose state each preview relied on."""

import pytest

from airlock.admission.admitted import OWN_STEPS_EPOCH
from airlock.plans.outcome import Previewed, StepPreview
from airlock.plans.own_steps import Left
from airlock.plans.refs import UNKNOWN
from airlock.run import outputs
from airlock.run.own_steps import own_steps, wanted_states
from airlock.run.permit import leaf_of
from airlock.run.presentation.preview import render_preview
from airlock.run.rehearsal import seal_run, take_previews
from airlock.run.state import Run
from tests.core.build import NOW, awaiting, call, live, live_run, new_run, plan, preview, say, step

LEFT = {"row:1": Left(seen={"v": 2})}


def leaving(step_id: str) -> Previewed:
    return Previewed.model_validate({**preview(step_id).model_dump(), "leaves": LEFT})


def written(*after: str, step_id: str, key: str = "1"):
    return step(step_id, "write", *after, args={"key": key})


def of_epoch(run: Run, epoch: int = OWN_STEPS_EPOCH) -> Run:
    run.admitted = run.contracts().model_copy(update={"epoch": epoch})
    return run


def test_the_edges_that_admission_added_are_asked_with():
    run = of_epoch(new_run(plan(written(step_id="a"), written(step_id="b"), written(step_id="c", key="2"))))
    asked = own_steps(run, ("a", "b", "c"), {})
    assert asked == {"parents": {"a": (), "b": ("a",), "c": ()}, "leaves": {}, "others": {}}


@pytest.mark.parametrize("epoch", range(OWN_STEPS_EPOCH))
def test_a_run_of_an_older_epoch_asks_as_it_did(epoch):
    run = of_epoch(new_run(plan(written(step_id="a"), written(step_id="b"))), epoch)
    assert own_steps(run, ("a", "b"), {"a": LEFT}) == {}


def test_a_later_request_gets_the_states_of_the_steps_it_stands_on_and_no_others():
    run = of_epoch(new_run(plan(written(step_id="a"), written("a", step_id="b"), written(step_id="c", key="2"))))
    take_previews(run, [leaving("a"), leaving("c")])
    asked = own_steps(run, ("b",), {"a": LEFT, "c": LEFT})
    assert asked["leaves"] == {"a": LEFT}
    assert asked["others"] == {"c": ("row:1",)}, "of all others only the names go along, for a warning"
    assert asked["parents"] == {"a": (), "b": ("a",), "c": ()}


def test_a_step_that_is_live_is_looked_for_in_the_world():
    run = of_epoch(live_run(plan(written(step_id="a"), written("a", step_id="b"))))
    call(run, live("a"))
    assert run.live == ("a",)
    assert own_steps(run, ("b",), {}) == {"parents": {"b": ()}, "leaves": {}, "others": {}}


def test_the_run_keeps_no_states_and_the_seal_holds_none():
    run = new_run(plan(written(step_id="a")))
    take_previews(run, [leaving("a")])
    assert run.previews == {"a": preview("a")}
    assert "leaves" not in run.model_dump_json()
    sealed = awaiting(plan(written(step_id="a")), a=leaving("a"))
    assert sealed.digest == awaiting(plan(written(step_id="a"))).digest


def test_the_seal_the_token_and_the_text_hold_whose_state_a_preview_relies_on():
    two = plan(written(step_id="a"), written("a", step_id="b"))
    plain, follows = awaiting(two), awaiting(two, b=preview("b", follows={"row:1": "a"}))
    assert plain.digest != follows.digest
    assert plain.sealed is not None
    assert follows.sealed is not None
    line = "        as step a leaves row:1\n"
    assert line in render_preview(follows.sealed, "seal")
    assert line not in render_preview(plain.sealed, "seal")
    leaves = {
        leaf_of(tool="t", agent="a", args={}, contract="c", preview=each, dedupe_key=None, undone=0)
        for each in (preview("b"), preview("b", follows={"row:1": "a"}), preview("b", follows={"row:1": "x"}))
    }
    assert len(leaves) == 3


def test_the_approver_reads_what_a_read_did_not_see_and_which_steps_have_no_order():
    two = plan(written(step_id="a"), written("a", step_id="b"), written("b", step_id="c"))
    shown = awaiting(two, b=preview("b", seen_before=("a",)), c=preview("c", beside={"row:1": ("a", "b")}))
    assert shown.sealed is not None
    text = render_preview(shown.sealed, "seal")
    assert "      looked at before the plan's own changes: step a will have written by then\n" in text
    assert "      CAUTION: steps a and b would change row:1 too, in no order with this step:\n" in text
    assert shown.digest != awaiting(two).digest


def test_the_approver_reads_that_a_call_which_cannot_compare_needs_another_approval():
    two = plan(written(step_id="a"), written("a", step_id="b"), written("b", step_id="c"))
    told = "      CAUTION: it cannot compare with all of these, so it will need another approval after those steps\n"
    for follows, cautioned in (({"row:1": "a"}, False), ({"row:1": "a", "row:2": "b"}, True)):
        shown = awaiting(two, c=preview("c", looked=False, observed=UNKNOWN, follows=follows))
        assert shown.sealed is not None
        assert (told in render_preview(shown.sealed, "seal")) is cautioned
    known = awaiting(two, c=preview("c", observed={"v": UNKNOWN}, follows=follows))
    assert known.sealed is not None
    assert told not in render_preview(known.sealed, "seal")


def test_a_preview_that_follows_nothing_is_written_as_before():
    assert set(StepPreview(step="a", looked=True, effect="e", args={}).model_dump()) == {
        "kind", "step", "looked", "effect", "args", "output", "observed", "undo",
    }  # fmt: skip


def open_run(**previews: StepPreview) -> Run:
    """Return a LIVE run of a, b and c on one row; b is previewed on what a leaves, with an open part."""
    read = step("d", "write", args={"key": {"$ref": "c.id"}})
    steps = plan(written(step_id="a"), written("a", step_id="b"), written("b", step_id="c"), read)
    run = awaiting(steps, b=preview("b", observed={"v": UNKNOWN}, follows={"row:1": "a"}), **previews)
    assert say(run, "approve").accepted
    return run


def test_a_call_is_asked_for_the_states_that_later_previews_leave_open():
    run = open_run(c=preview("c", observed={"v": 3}, follows={"row:1": "b"}))
    assert run.sealed is not None
    assert wanted_states(run.sealed.steps) == {"a": ("row:1",)}


def test_what_a_call_left_is_kept_with_its_receipt_counted_and_dropped_with_its_undo():
    run = open_run()
    before = run.carried
    call(run, live("a", leaves={"row:1": {"v": 2}}, left_receipt="r"))
    assert (run.calls["a"].leaves, run.calls["a"].left_receipt) == ({"row:1": {"v": 2}}, "r")
    assert Run.model_validate_json(run.model_dump_json()).calls["a"].leaves == {"row:1": {"v": 2}}
    kept = run.carried
    outputs.drop_left(run, "a")
    assert run.calls["a"].leaves == {}
    assert kept - run.carried == len('{"row:1":{"v":2}}')
    assert run.carried >= before


def test_states_give_way_to_outputs_and_those_that_no_call_compares_with_go_first(monkeypatch):
    monkeypatch.setattr(outputs, "MAX_CARRIED_BYTES", 100)
    run = open_run(c=preview("c", observed={"v": UNKNOWN}, follows={"row:1": "b"}))
    call(run, live("a", output=None, leaves={"row:1": {"v": "x" * 50}}))
    assert run.calls["a"].leaves
    call(run, live("b", output=None, leaves={"row:1": {"v": "y" * 50}}))
    assert not run.calls["a"].leaves, "only b compared with it, and b is live"
    assert run.calls["b"].leaves
    call(run, live("c", output={"id": "z" * 80}))
    assert not run.calls["b"].leaves
    assert run.outputs["c"] == {"id": "z" * 80}


def test_a_state_that_does_not_fit_is_not_kept_and_a_new_seal_keeps_none(monkeypatch):
    run = open_run()
    monkeypatch.setattr(outputs, "MAX_CARRIED_BYTES", 40)
    call(run, live("a", output=None, leaves={"row:1": "x" * 50}))
    assert not run.calls["a"].leaves
    run = open_run()
    call(run, live("a", leaves={"row:1": {"v": 2}}))
    seal_run(run, NOW)
    assert not run.calls["a"].leaves
