"""Amendments by approvers: no approval counts for its approver's own proposal."""

from airlock.gates.protocol import EntryRefused
from airlock.plans.state import State
from airlock.run.decisions.approval import approved_steps
from airlock.run.decisions.permission import Permission
from airlock.run.presentation.views import preview_view
from tests.core.amend_build import OTHER_C, PLAN, TWO, change, counted, permitted, shown
from tests.core.build import awaiting, policy, say, step


def test_no_approval_counts_for_its_approvers_own_proposal():
    rules = policy(approvers=["ann", "bob"])
    run = awaiting(PLAN, rules)
    change(run, OTHER_C, by="ann", rules=rules)
    assert run.sealed is not None
    assert {each.id: each.proposed_by for each in run.sealed.steps if each.proposed_by} == {"c": ("ann",), "d": ("ann",)}
    refused = say(run, "approve", by="Ann", steps=["a", "b", "c"])
    assert "proposed c by an amendment, and no approval counts for its approver's own proposal" in refused.reason
    verdict = say(run, "approve", by="ann")
    assert "it does not count for c and d, proposed by 'ann'" in verdict.reason
    assert run.state is State.AWAITING_APPROVAL, "she wants c and d too: the plan waits for another approver"
    assert approved_steps(run) == ()
    forged = shown(run).model_copy(update={"approved": tuple("abcde")})
    assert isinstance(permitted(forged, rules), EntryRefused)
    assert say(run, "approve", by="bob").accepted
    assert run.state is State.LIVE
    assert set(run.approved) == set("abcde")
    assert isinstance(permitted(shown(run), rules), Permission)


def test_the_proposer_may_let_the_rest_go_on_without_the_own_steps():
    rules = policy(approvers=["ann", "bob"])
    run = awaiting(PLAN, rules)
    change(run, OTHER_C, by="ann", rules=rules)
    assert say(run, "approve", by="ann", steps=["a", "b", "e"]).accepted
    assert set(run.approved) == set("abe")


def test_who_is_the_only_approver_is_told_why_it_is_refused():
    rules = policy(approvers=["ann"])
    run = awaiting(PLAN, rules)
    change(run, OTHER_C, by="ann", rules=rules)
    refused = say(run, "approve", by="ann").reason
    assert "no approval counts for its approver's own proposal. The policy has no other approver: add one" in refused
    assert "let the requester amend the plan" in refused
    assert "approve only a, b and e" in refused.replace("e, a and b", "a, b and e")


def test_a_plan_that_an_approver_proposed_as_a_whole_waits_for_another_one():
    run = awaiting(PLAN, policy())
    steps = [step(name, "order", args={"key": name}) for name in "xy"]
    change(run, *steps, by="ann", rules=policy(), whole=True)
    assert "another approver must approve it" in say(run, "approve", by="ann").reason
    assert say(run, "approve", by="bob").accepted
    assert run.state is State.LIVE


def test_a_proposal_stays_one_after_the_next_amendment():
    run = awaiting(PLAN, policy())
    change(run, OTHER_C, by="ann", rules=policy())
    change(run, step("c", "write", "a", "b", args={"key": "other", "more": 1}), by="bob", rules=policy())
    change(run, step("e", "write"), rules=policy())
    assert run.sealed is not None
    assert {each.id: each.proposed_by for each in run.sealed.steps if each.proposed_by} == {
        "c": ("ann", "bob"), "d": ("ann", "bob"),
    }  # fmt: skip
    text = preview_view(run).text
    assert "proposed by ann, bob: their approval does not count for this step" in text


def test_the_vote_of_an_approver_counts_on_for_what_their_own_amendment_left_alone():
    run = awaiting(PLAN, TWO)
    assert say(run, "approve", by="ann").accepted
    change(run, OTHER_C, by="ann")
    assert counted(run) == {"a": ("ann",), "b": ("ann",), "c": (), "d": (), "e": ("ann",)}
    assert say(run, "approve", by="bob").accepted
    assert run.state is State.AWAITING_APPROVAL
    assert say(run, "approve", by="ann").accepted, "it renews what counts, and says nothing about c"
    assert run.state is State.AWAITING_APPROVAL
    assert say(run, "approve", by="cem").accepted
    assert set(run.approved) == set("abcde")
    assert isinstance(permitted(shown(run)), Permission)


def test_the_printed_command_names_an_approver_whose_approval_counts():
    rules = policy(approvers=["ann", "bob"])
    run = awaiting(PLAN, rules)
    change(run, OTHER_C, by="ann", rules=rules)
    assert '{"by": "bob"' in preview_view(run).text
