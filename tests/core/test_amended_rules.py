"""Amendments under rules: what rules ask or deny of an amended step, and kept approvals of people who may not any more."""

from datetime import timedelta
from typing import Any

import pytest

from airlock.admission.policy import Policy
from airlock.gates.protocol import EntryRefused
from airlock.plans.contract import Mode
from airlock.plans.state import State
from airlock.run.decisions.permission import UNAPPROVED, Permission
from airlock.run.decisions.votes import take_vote
from airlock.run.messages import Approve
from airlock.run.standing_decisions import Vote
from airlock.run.state import Run
from tests.core.amend_build import change, counted, judged, permitted, seal_again, sent, shown
from tests.core.build import NOW, awaiting, plan, policy, say, step

ROLES = {"finance": ("finn", "fay")}
ASK = {"id": "big", "when": "step.tool == 'pay' && step.args.amount > 1000", "then": 'ask(1, "finance")'}
DENY = {"id": "huge", "when": "step.tool == 'pay' && step.args.amount > 5000", "then": "deny"}
CROWD = {"id": "crowd", "when": "plan.steps > 3 && step.tool == 'pay'", "then": 'ask(1, "finance")'}
SHIP = {"id": "ship", "when": "step.tool == 'order'", "then": "deny"}


def ruled(*rules: dict[str, Any], **knobs: Any) -> Policy:
    return policy(rule=rules, roles=ROLES, **knobs)


def pay(amount: int, *after: str) -> Any:
    return step("pay", "pay", *after, args={"amount": amount})


PLAN = plan(step("a", args={"key": "a"}), pay(10), step("b", args={"key": "b"}))
RULES = ruled(ASK, DENY)


def test_what_a_rule_asks_of_an_amended_step_is_asked_whatever_was_approved_before():
    run = awaiting(PLAN, ruled(ASK, DENY, approvals_required=2))
    rules = run.contracts().policy
    assert say(run, "approve", by="ann").accepted
    change(run, pay(2000), rules=rules)
    assert say(run, "approve", by="bob").accepted
    assert say(run, "approve", by="ann").accepted
    assert run.state is State.AWAITING_APPROVAL
    assert say(run, "approve", by="finn").accepted
    assert run.state is State.LIVE
    assert isinstance(permitted(shown(run), rules), Permission)


def test_an_amended_step_that_a_rule_denies_stays_below_live():
    run = awaiting(PLAN, RULES)
    change(run, pay(6000), rules=RULES)
    assert run.sealed is not None
    assert {each.id: each.ceiling for each in run.sealed.steps}["pay"] is Mode.DRY_RUN
    assert say(run, "approve", by="finn").accepted
    assert "pay" not in run.approved
    answer = permitted(shown(run).model_copy(update={"approved": ("a", "b", "pay")}), RULES)
    assert isinstance(answer, EntryRefused)


def test_a_rule_about_the_plan_as_a_whole_drops_the_approvals_of_the_step_that_it_asks_about():
    rules = ruled(CROWD, approvals_required=2)
    run = awaiting(PLAN, rules)
    assert say(run, "approve", by="ann").accepted
    change(run, step("c", args={"key": "c"}), rules=rules)
    assert counted(run) == {"a": ("ann",), "b": ("ann",), "pay": (), "c": ()}


def test_a_kept_approval_that_a_rule_asked_for_ends_with_the_role_of_its_person():
    rules = ruled(ASK, approvals_required=2)
    run = awaiting(plan(step("a", args={"key": "a"}), pay(2000)), rules)
    assert say(run, "approve", by="finn").accepted
    change(run, step("a", args={"key": "other"}), rules=rules)
    assert counted(run) == {"a": (), "pay": ("finn",)}
    revoked = ruled(ASK, approvals_required=2).model_copy(update={"roles": {"finance": ("fay",)}})
    kept = run.model_copy(deep=True)
    for by in ("ann", "bob"):
        assert say(run, "approve", by=by).accepted
    assert run.state is State.LIVE
    assert isinstance(permitted(shown(run), rules), Permission)
    answer = permitted(shown(run), revoked)
    assert isinstance(answer, EntryRefused)
    assert (answer.kind, "still needs 1 approval of finance" in answer.why) == (UNAPPROVED, True), answer
    # the run itself asks today's policy with each approval
    for by in ("ann", "bob"):
        message = sent_approval(kept, by)
        take_vote(kept, Vote(approval=message, at=NOW), NOW, revoked)
    assert kept.state is State.AWAITING_APPROVAL


def sent_approval(run: Run, by: str) -> Any:
    assert run.digest is not None
    return Approve(by=by, digest=run.digest)


def test_a_person_who_amends_loses_the_approval_where_the_policy_keeps_the_two_apart():
    rules = policy(approvals_required=2, decisions={"approve": {"not_after": ["amend"]}})
    run = awaiting(PLAN, rules)
    assert say(run, "approve", by="ann").accepted
    change(run, step("b", args={"key": "other"}), by="Ann ", rules=rules)
    assert counted(run) == {"a": (), "pay": (), "b": ()}
    assert "has decided amend here" in say(run, "approve", by="ann").reason
    assert say(run, "approve", by="bob").accepted
    assert run.state is State.AWAITING_APPROVAL


@pytest.mark.parametrize("by", ["ann", "Ann", " ANN ", "a\u0301nn", "\uff41\uff4e\uff4e"])
def test_no_spelling_of_a_name_lets_a_person_approve_an_own_proposal(by: str):
    rules = policy(approvals_required=1)
    run = awaiting(PLAN, rules)
    if not judged(run, sent(run, pay(20), by=by), rules).accepted:
        return
    seal_again(run, {})
    name = "a\u0301nn" if "\u0301" in by else "ann"
    say(run, "approve", by=name)
    assert "pay" not in run.approved
    assert run.state is State.AWAITING_APPROVAL


def test_a_step_that_loses_what_it_came_after_is_a_changed_step():
    before = plan(step("save", args={"key": "s"}), pay(10, "save"), step("b", args={"key": "b"}))
    rules = policy(approvals_required=2)
    run = awaiting(before, rules)
    assert say(run, "approve", by="ann").accepted
    change(run, pay(10), rules=rules, remove=["save"])
    assert counted(run) == {"pay": (), "b": ("ann",)}


def test_a_step_that_an_order_between_resources_joined_loses_its_approval_with_that_order():
    """Two steps of one row run in the order of the plan: without the first, the second is another step."""
    before = plan(step("first", args={"key": "k"}), step("second", args={"key": "k"}), step("b", args={"key": "b"}))
    rules = policy(approvals_required=2)
    run = awaiting(before, rules)
    assert say(run, "approve", by="ann").accepted
    change(run, rules=rules, remove=["first"])
    assert counted(run) == {"second": (), "b": ("ann",)}


def test_an_amendment_prolongs_no_deadline_and_no_goal():
    run = awaiting(PLAN.model_copy(update={"deadline": "30h", "goal": "pay"}), policy())
    change(run, pay(20), rules=policy(), now=NOW + timedelta(hours=20))
    assert run.expires_at == NOW + timedelta(hours=30)
    assert run.sealed is not None
    assert (run.sealed.goal, run.sealed.deadline, run.sealed.requested_by) == ("pay", "30h", PLAN.requested_by)
