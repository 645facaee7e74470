"""Amendments: what keeps its preview and its approvals, and what is rehearsed and approved again."""

from hypothesis import given
from hypothesis import strategies as st

from airlock.gates.protocol import EntryRefused
from airlock.plans.outcome import Previewed
from airlock.plans.state import State
from airlock.run.decisions.approval import approved_steps
from airlock.run.decisions.permission import Permission
from airlock.run.kept_previews import note_leaving
from airlock.run.presentation.views import waits_for
from airlock.run.rehearsal import begin_life, begin_rehearsal
from airlock.run.sealing.earlier_seal import MAX_EARLIER
from airlock.run.sealing.step_digest import shown_digests
from airlock.run.state import Run
from tests.core.amend_build import OTHER_C, PLAN, TWO, change, counted, judged, permitted, seal_again, sent, shown
from tests.core.build import awaiting, dags, later, plan, plan_of, policy, preview, say, step

# what is kept


def test_the_first_vote_counts_on_and_the_changed_steps_need_both_again():
    run = awaiting(PLAN, TWO)
    assert say(run, "approve", by="ann").accepted
    assert change(run, OTHER_C) == ("c", "d")
    assert counted(run) == {"a": ("ann",), "b": ("ann",), "c": (), "d": (), "e": ("ann",)}
    assert waits_for(run) == "2 approvals until 2026-03-02 12:00:00 UTC: 1 for a, b and e; 2 for c and d"
    verdict = say(run, "approve", by="bob")
    assert verdict.reason == "approval 2 of 2 counted; still without 2: c and d"
    assert run.state is State.AWAITING_APPROVAL
    assert "c and d" in waits_for(run)
    assert say(run, "approve", by="bob").reason == "'bob' has already approved this: one vote per approver"
    assert say(run, "approve", by="ann").accepted, "her voice for c and d is a new one"
    assert run.state is State.LIVE
    assert set(run.approved) == set("abcde")
    assert len(run.votes) == 2
    answer = permitted(shown(run))
    assert isinstance(answer, Permission), answer


def test_another_person_may_complete_the_quorum_of_the_changed_steps():
    run = awaiting(PLAN, TWO)
    assert say(run, "approve", by="ann").accepted
    change(run, OTHER_C)
    assert say(run, "approve", by="bob").accepted
    assert say(run, "approve", by="cem", steps=["a", "b", "c", "d"]).accepted
    assert run.state is State.LIVE
    assert set(run.approved) == set("abcde")
    answer = permitted(shown(run))
    assert isinstance(answer, Permission), answer
    assert {each.id for each in answer.steps} == set("abcde")


def test_who_leaves_a_changed_step_out_lets_the_rest_go_on():
    run = awaiting(PLAN, TWO)
    assert say(run, "approve", by="ann").accepted
    change(run, OTHER_C)
    assert say(run, "approve", by="bob", steps=["a", "b", "e"]).accepted
    assert run.state is State.LIVE
    assert set(run.approved) == set("abe")
    assert isinstance(permitted(shown(run)), Permission)


def test_no_seal_goes_live_that_no_approval_names():
    """Two removals leave two people's voices for everything that remains, which no one has seen as a whole."""
    run = awaiting(PLAN, TWO)
    assert say(run, "approve", by="ann").accepted
    change(run, OTHER_C)
    assert say(run, "approve", by="bob").accepted
    assert change(run, remove=["c", "d"]) == ()
    assert counted(run) == {"a": ("ann", "bob"), "b": ("ann", "bob"), "e": ("ann", "bob")}
    assert run.state is State.AWAITING_APPROVAL
    assert approved_steps(run) == ()
    assert "as a whole" in waits_for(run)
    forged = shown(run).model_copy(update={"approved": ("a", "b", "e")})
    answer = permitted(forged)
    assert isinstance(answer, EntryRefused)
    assert "is not approved" in answer.why
    assert say(run, "approve", by="bob").accepted
    assert run.state is State.LIVE
    assert isinstance(permitted(shown(run)), Permission)


def test_what_changes_by_a_dry_run_alone_needs_its_approvals_again():
    run = awaiting(plan(step("a"), step("b"), step("x")), TWO)
    assert say(run, "approve", by="ann").accepted
    run.leaving = ("a", "b")  # their dry runs told the later ones something: they are asked again
    changed = {"a": preview("a", observed={"version": 2})}
    assert change(run, step("x", "order"), previews=changed) == ("a", "b", "x")
    assert counted(run) == {"a": (), "b": ("ann",), "x": ()}


def test_previews_of_steps_that_leave_something_are_made_again():
    run = awaiting(plan(step("a"), step("b"), step("x")), TWO)
    found = Previewed(**preview("a").model_dump(), leaves={"file": {"seen": 1}})
    note_leaving(run, [found, Previewed(**preview("b").model_dump())])
    assert run.leaving == ("a",)
    assert change(run, step("x", "order")) == ("a", "x")


def test_previews_get_no_older_than_a_seal():
    run = awaiting(PLAN, TWO)
    assert change(run, OTHER_C, now=later(20)) == ("c", "d")
    assert change(run, step("e", "write"), now=later(23)) == ("e",)
    again = change(run, step("e", "order"), now=later(24))
    assert set(again) == set("abcde"), "the previews of a and b are of the first seal"
    assert change(run, step("e", "write"), now=later(25)) == ("e",)


def test_an_approval_that_got_too_old_is_not_kept():
    rules = policy(approvals_required=2, approval_valid_for="2h")
    run = awaiting(PLAN, rules)
    assert say(run, "approve", by="ann").accepted
    change(run, OTHER_C, now=later(3), rules=rules)
    assert run.votes == ()
    assert run.earlier == ()


def test_a_lock_in_between_lets_everything_be_rehearsed_and_approved_again():
    run = awaiting(PLAN, TWO)
    assert say(run, "approve", by="ann").accepted
    assert judged(run, sent(run, OTHER_C), TWO).accepted
    assert say(run, "lock").accepted
    assert say(run, "unlock").accepted
    assert run.state is State.MOCK
    begin_rehearsal(run, run.contracts())
    assert set(seal_again(run, {})) == set("abcde")
    assert run.votes == ()
    assert run.sealed is not None
    assert run.sealed.amended is None


def test_so_does_a_reset():
    run = awaiting(PLAN, TWO)
    begin_life(run, "first")
    assert say(run, "approve", by="ann").accepted
    assert judged(run, sent(run, OTHER_C), TWO).accepted
    begin_life(run, "second")
    assert set(seal_again(run, {})) == set("abcde")
    assert run.votes == ()


def test_a_change_of_the_policy_keeps_nothing():
    run = awaiting(PLAN, TWO)
    assert say(run, "approve", by="ann").accepted
    assert set(change(run, OTHER_C, rules=policy(approvals_required=2, may_drift={"order": ["x"]}))) == set("abcde")
    assert run.votes == ()


def test_a_voter_who_becomes_an_agent_of_the_plan_is_no_approver_any_more():
    run = awaiting(PLAN, TWO)
    assert say(run, "approve", by="ann").accepted
    change(run, step("x", "order", agent="ann"))
    assert run.votes == ()
    assert "agent of this plan" in say(run, "approve", by="ann").reason


def test_only_so_many_seals_are_kept():
    run = awaiting(PLAN, TWO)
    assert say(run, "approve", by="ann").accepted
    for number in range(MAX_EARLIER):
        change(run, step("e", "order", args={"key": number}))
        assert counted(run)["a"] == ("ann",)
    change(run, step("e", "order", args={"key": "last"}))
    assert counted(run)["a"] == ()
    assert (run.votes, run.earlier) == ((), ())


def test_a_change_there_and_back_again_is_a_change():
    run = awaiting(PLAN, TWO)
    assert say(run, "approve", by="ann").accepted
    change(run, OTHER_C)
    change(run, step("c", "write", "a", "b"))
    assert counted(run)["c"] == ()
    assert counted(run)["a"] == ("ann",)


# properties


@given(parents=dags(max_size=6), data=st.data())
def test_no_changed_step_is_ever_approved_by_an_old_vote(parents: dict[str, tuple[str, ...]], data: st.DataObject):
    """Whatever is amended how often: a voice for a step is one for exactly what the current seal shows of it."""
    names = sorted(parents)
    needed = data.draw(st.integers(2, 3))
    rules = policy(approvals_required=needed)
    run = awaiting(plan_of(parents, dict.fromkeys(parents, "order")), rules)
    meant: dict[tuple[str, str], str] = {}
    for turn in range(data.draw(st.integers(1, 4))):
        for by in data.draw(st.lists(st.sampled_from(["ann", "bob", "cem"]), max_size=2, unique=True)):
            if run.state is not State.AWAITING_APPROVAL:
                break
            if say(run, "approve", by=by).accepted and run.sealed is not None:
                own = {each.id for each in run.sealed.steps if by in each.proposed_by}
                meant |= {(by, name): found for name, found in shown_digests(run.sealed).items() if name not in own}
        check(run, meant, needed)
        if run.state is not State.AWAITING_APPROVAL:
            break
        changed = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
        steps = [each.model_copy(update={"args": {"turn": turn}}) for each in run.plan.steps if each.id in changed]
        observed = {name: preview(name, observed={"seen": data.draw(st.integers(0, 1))}) for name in names}
        change(run, *steps, by=data.draw(st.sampled_from(["author", "ann", "bob"])), rules=rules, previews=observed)
        check(run, meant, needed)


def check(run: Run, meant: dict[tuple[str, str], str], needed: int) -> None:
    assert run.sealed is not None
    now = shown_digests(run.sealed)
    proposed = {each.id: each.proposed_by for each in run.sealed.steps}
    for name, people in counted(run).items():
        assert len(set(people)) == len(people)
        for by in people:
            assert meant[by, name] == now[name], f"{by} never saw {name} as it is now"
            assert by not in proposed[name]
    if run.state is State.LIVE:
        answer = permitted(shown(run), policy(approvals_required=needed))
        assert isinstance(answer, Permission), answer
        for each in answer.steps:
            assert sum(meant.get((by, each.id)) == now[each.id] for by in ("ann", "bob", "cem")) >= needed


def test_a_run_carries_its_earlier_seals_on():
    run = awaiting(PLAN, TWO)
    assert say(run, "approve", by="ann").accepted
    change(run, OTHER_C)
    again = Run.model_validate_json(run.model_dump_json())
    assert counted(again) == counted(run)
    assert say(again, "approve", by="bob").accepted
    assert say(again, "approve", by="cem").accepted
    assert isinstance(permitted(shown(again)), Permission)


def test_a_plan_that_was_never_amended_carries_and_seals_nothing_new():
    run = awaiting(PLAN, TWO)
    assert not {"earlier", "amendment", "leaving", "previewed_since"} & run.model_dump(mode="json").keys()
    assert run.sealed is not None
    assert "amended" not in run.sealed.model_dump(mode="json")
    assert "earlier" not in shown(run).model_dump(mode="json")
