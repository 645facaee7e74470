"""The effects of rules on a plan: ceilings, waived approvals, votes, and the second look of the live role."""

import sys
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airlock.admission.configuration.config import parse_config
from airlock.admission.configuration.contradictions import contradictions
from airlock.admission.examination import examine as check_plan
from airlock.admission.policy import Policy
from airlock.admission.rules import step_rules
from airlock.admission.rules.rule import Rule
from airlock.admission.rules.step_rules import cleared_by_preview
from airlock.admission.stricter import stricter
from airlock.base.errors import ConfigError
from airlock.gates.protocol import EntryRefused
from airlock.plans.contract import Mode
from airlock.plans.state import State
from airlock.run.decisions.approval import approved_steps
from airlock.run.decisions.evidence import Evidence, evidence_of
from airlock.run.decisions.permission import Permission, examine
from airlock.run.decisions.quorum import needs_of
from airlock.run.presentation.preview import render_preview
from airlock.run.presentation.views import status_view
from airlock.run.rehearsal import begin_rehearsal, seal_run, take_previews
from airlock.run.sealing.sealed import SealedStep
from airlock.run.state import Run
from tests.core.build import NOW, OPEN_POLICY, awaiting, catalogue, new_run, plan, policy, preview, say, step

BIG = {"id": "big", "when": "step.tool == 'pay' && step.args.amount > 1000", "then": 'ask(2, "finance")'}
ROLES = {"finance": ("finn", "fay", "fred"), "legal": ("lea",)}
PAY = step("pay", "pay", args={"amount": 2000})
WRITE = step("write", args={"key": "a"})
LATER = datetime(2026, 3, 1, 12, 5, tzinfo=UTC)


def ruled(*rules: dict[str, Any], **knobs: Any) -> Policy:
    return policy(rule=rules, roles=ROLES, **knobs)


def proof(run: Run) -> Evidence:
    found = evidence_of(run)
    assert found is not None
    return found


def entry(run: Run, today: Policy) -> Permission | EntryRefused:
    return examine(proof(run), today, catalogue(), "plan-p-1", LATER)


def test_a_policy_without_rules_has_the_digest_it_always_had():
    assert "rule" not in OPEN_POLICY.model_dump(mode="json")
    assert "rules" not in awaiting(plan(WRITE)).sealed.model_dump(mode="json")["steps"][0]


def test_a_denied_step_is_previewed_and_its_dependents_stay_below_live_with_it():
    rules = ruled({"id": "no-pay", "when": "step.tool == 'pay'", "then": "deny", "reason": "not this month"})
    run = awaiting(plan(PAY, step("after", "write", "pay", args={"key": "b"}), WRITE), rules)
    assert {name: ceiling.mode for name, ceiling in run.ceilings.items()} == {
        "pay": Mode.DRY_RUN,
        "after": Mode.DRY_RUN,
        "write": Mode.LIVE,
    }
    text = render_preview(run.sealed, run.digest)
    assert "ceiling: the policy denies it (rule no-pay): not this month" in text
    assert run.sealed.steps[0].rules[0].rule == "no-pay"


def test_two_of_finance_are_asked_and_others_do_not_count_for_them():
    run = awaiting(plan(PAY, WRITE), ruled(BIG))
    text = render_preview(run.sealed, run.digest)
    assert "approval: needs 2 approvals of finance (rule big)" in text
    assert "Rules of the policy ask for 2 approvals of finance (rule big)" in text
    assert status_view(run).waits_for.startswith("1 approval and 2 approvals of finance (rule big) until")
    assert say(run, "approve", by="boss").reason == "approval 1 of 1 counted; still needs 2 approvals of finance (rule big)"
    assert run.state is State.AWAITING_APPROVAL
    assert status_view(run).waits_for.startswith("2 approvals of finance (rule big) until")
    say(run, "approve", by="lea")
    say(run, "approve", by="Finn")
    assert run.state is State.AWAITING_APPROVAL
    assert status_view(run).waits_for.startswith("1 approval of finance (rule big) until")
    assert say(run, "approve", by="fay").accepted
    assert run.state is State.LIVE
    assert run.approved == ("pay", "write")
    assert isinstance(entry(run, ruled(BIG)), Permission)


def test_an_approval_of_the_other_steps_alone_does_not_wait_for_the_people_a_rule_asks():
    run = awaiting(plan(PAY, WRITE), ruled(BIG))
    assert say(run, "approve", by="boss", steps=["write"]).accepted
    assert (run.state, run.approved) == (State.LIVE, ("write",))


def test_all_rules_that_ask_are_asked_and_the_policys_own_number_too():
    rules = ruled(BIG, {"id": "law", "when": "step.risk == 'HIGH'", "then": 'ask(1, "legal")'}, approvals_required=3)
    run = awaiting(plan(PAY), rules)
    for by in ("finn", "fay"):
        say(run, "approve", by=by)
    assert status_view(run).waits_for.startswith("1 approval and 1 approval of legal (rule law) until")
    say(run, "approve", by="boss")
    assert run.state is State.AWAITING_APPROVAL
    say(run, "approve", by="lea")
    assert run.state is State.LIVE


def test_an_allowed_step_needs_no_approval_where_anything_may_waive_it():
    allow = {"id": "small", "when": "true", "then": "allow"}
    run = awaiting(plan(WRITE, step("mail", "mail"), step("post", "post"), PAY), ruled(allow))
    assert {each.id: each.approval_waived for each in run.sealed.steps} == {
        "write": True,
        "mail": False,
        "post": False,
        "pay": False,
    }
    assert "approval: waived by the policy (rule small)" in render_preview(run.sealed, run.digest)
    lax = ruled(allow, approval_required_for_high_risk=False)
    assert awaiting(plan(PAY), lax).sealed.steps[0].approval_waived


def test_a_question_beats_what_the_policy_waives():
    asking = {"id": "ask", "when": "step.args.key == 'a'", "then": "ask(1)"}
    run = awaiting(plan(WRITE, step("other", args={"key": "b"})), ruled(asking, approval_waived_for=["MEDIUM"]))
    assert {each.id: each.approval_waived for each in run.sealed.steps} == {"write": False, "other": True}
    assert approved_steps(run) == ()


@pytest.mark.parametrize(
    ("refs", "shown", "ceiling"),
    [
        ({"$ref": "first.amount"}, 50, Mode.LIVE),
        ({"$ref": "first.amount"}, 5000, Mode.DRY_RUN),
        ({"$ref": "first.amount"}, "(known after live)", Mode.DRY_RUN),
    ],
)
def test_a_value_that_the_preview_foresees_decides_and_one_that_it_does_not_denies(refs, shown, ceiling):
    rules = ruled({"id": "big", "when": "step.tool == 'pay' && step.args.amount > 1000", "then": "deny"})
    pay = step("pay", "pay", args={"amount": refs})
    cleared = cleared_by_preview(pay, catalogue().contract("pay"), rules, {"amount": shown}, 6)
    seen = preview("pay", args={"amount": shown}, derived={"amount": "first.amount"}, cleared_rules=cleared)
    run = awaiting(plan(step("first", args={"key": "a"}), pay), rules, pay=seen)
    assert run.ceilings["pay"].mode is ceiling
    if ceiling is Mode.DRY_RUN:
        assert run.ceilings["pay"].reasons == ("the policy may deny it (rule big; not known yet: step.args.amount)",)
    else:
        assert run.sealed.steps[1].rules == ()
        say(run, "approve")
        assert isinstance(entry(run, rules), Permission)


@pytest.mark.parametrize("lax", [{"may_drift": {"pay": ["amount"]}}, {"epoch": 0}])
def test_a_value_that_may_differ_at_the_call_clears_no_rule(lax):
    epoch = lax.pop("epoch", 6)
    rules = ruled({"id": "big", "when": "step.args.amount > 1000", "then": "deny"}, **lax)
    pay = step("pay", "pay", args={"amount": {"$ref": "first.amount"}})
    assert cleared_by_preview(pay, catalogue().contract("pay"), rules, {"amount": 50}, epoch) == ()


@pytest.mark.parametrize(
    ("today", "words"),
    [
        (ruled({"id": "new", "when": "step.args.amount > 1000", "then": "deny"}), "the policy denies it (rule new)"),
        (ruled({"id": "new", "when": "true", "then": "ask(2)"}), "still needs 1 approval (rule new)"),
        (ruled({"id": "new", "when": "true", "then": 'ask(1, "legal")'}), "still needs 1 approval of legal (rule new)"),
        (ruled({"id": "new", "when": "step.args.nothing == 1", "then": "deny"}), "its condition failed"),
    ],
)
def test_the_live_role_asks_the_rules_of_today_too(today, words):
    run = awaiting(plan(PAY), ruled())
    say(run, "approve")
    refused = entry(run, today)
    assert isinstance(refused, EntryRefused)
    assert refused.why.startswith("today's policy: ")
    assert words in refused.why


def test_the_live_role_keeps_the_rules_of_the_plan_that_today_has_not():
    run = awaiting(plan(PAY), ruled(BIG))
    for by in ("finn", "fay"):
        say(run, "approve", by=by)
    assert isinstance(entry(run, ruled()), Permission)
    one = run.model_copy(update={"votes": run.votes[:1]})
    refused = entry(one, ruled())
    assert isinstance(refused, EntryRefused)
    assert "the plan's policy: step pay is not approved: still needs 1 approval of finance (rule big)" in refused.why


def test_who_lost_a_role_since_does_not_count_for_it():
    run = awaiting(plan(PAY), ruled(BIG))
    for by in ("finn", "fay"):
        say(run, "approve", by=by)
    refused = entry(run, policy(rule=[BIG], roles={"finance": ("finn", "fred")}))
    assert isinstance(refused, EntryRefused)
    assert "still needs 1 approval of finance (rule big)" in refused.why
    gone = entry(run, policy(roles={}))
    assert isinstance(gone, EntryRefused)


def test_what_only_one_policy_allows_is_not_allowed():
    allow = {"id": "small", "when": "step.args.key == 'a'", "then": "allow"}
    run = awaiting(plan(WRITE), ruled(allow))
    run.approved = approved_steps(run)
    assert run.approved == ("write",)
    assert isinstance(entry(run, ruled(allow)), Permission)
    refused = entry(run, ruled())
    assert isinstance(refused, EntryRefused)
    other = entry(run, ruled({**allow, "when": "step.args.key == 'b'"}))
    assert isinstance(other, EntryRefused)


def test_rules_of_both_policies_are_in_the_stricter_one():
    deny, allow = {"id": "d", "when": "true", "then": "deny"}, {"id": "a", "when": "true", "then": "allow"}
    both = stricter(ruled(deny, allow), ruled({**deny, "id": "e"}, {**allow, "id": "f"})).policy
    assert sorted(rule.id for rule in both.rule) == ["a", "d", "e"]
    assert [rule.id for rule in stricter(ruled(allow), ruled()).policy.rule] == []


RULES = (
    {"id": "a", "when": "step.args.amount > 1000", "then": "deny"},
    {"id": "b", "when": "step.tool == 'pay'", "then": "ask(2)"},
    {"id": "c", "when": "step.risk == 'MEDIUM'", "then": "allow"},
    {"id": "d", "when": "step.args.key == 'a'", "then": 'ask(1, "legal")'},
)


def test_the_order_of_rules_means_nothing():
    proposed = plan(PAY, WRITE, step("order", "order", args={"amount": 3}))
    seen = {
        awaiting(proposed, ruled(*order)).sealed.model_dump_json(exclude={"policy_hash"}) for order in permutations(RULES)
    }
    assert len(seen) == 1


CONDITIONS = st.sampled_from(
    ["true", "false", "step.tool == 'pay'", "step.args.amount > 10", "step.args.none == 1", "step.risk == 'MEDIUM'"]
)
EFFECTS = st.sampled_from(["deny", "ask(1)", "ask(2)", 'ask(1, "legal")', "allow"])
SETS = st.lists(st.tuples(CONDITIONS, EFFECTS), max_size=4)


def shown(rules: list[tuple[str, str]]) -> dict[str, SealedStep]:
    """Return the steps of a small plan as they are sealed under these rules."""
    knobs = [{"id": f"r{at}", "when": when, "then": then} for at, (when, then) in enumerate(rules)]
    run = new_run(plan(PAY, WRITE, step("read", "read", args={"amount": 1})), ruled(*knobs))
    begin_rehearsal(run, run.contracts())
    take_previews(run, [preview(name) for name in run.left(Mode.DRY_RUN)])
    seal_run(run, NOW)
    return {each.id: each for each in run.sealed.steps}


@settings(max_examples=60)
@given(SETS, CONDITIONS, st.sampled_from(["deny", "ask(1)", "ask(2)", 'ask(1, "legal")']))
def test_a_further_rule_that_denies_or_asks_never_lets_a_step_do_more(rules, when, then):
    before, after = shown(rules), shown([*rules, (when, then)])
    for name, one in after.items():
        assert one.ceiling.rank <= before[name].ceiling.rank
        assert before[name].approval_waived or not one.approval_waived
        assert set(needs_of(before[name], 1)) <= set(needs_of(one, 1))


@pytest.mark.parametrize(
    ("rule", "where", "words"),
    [
        ('id = "a"\nwhen = "step.tool =="\nthen = "deny"', "policy.rule.a.when", "is no CEL expression"),
        ('id = "a"\nwhen = "stepp.tool == 1"\nthen = "deny"', "policy.rule.a.when", "which is no variable"),
        ('id = "a"\nwhen = "true"\nthen = "ask(1, \\"audit\\")"', "policy.rule.a.then", "which is no role"),
        ('id = "a"\nwhen = "true"\nthen = "ask(3, \\"finance\\")"', "policy.rule.a.then", "has 2 members who may approve"),
        ('id = "a"\nwhen = "true"\nthen = "refuse"', "policy.rule.a.then", "must be"),
        ('id = "a"\nwhen = "true"\nthen = "ask(0)"', "policy.rule.a.then", "asks for 0 approvals"),
        ('id = "a"\nwhen = "true"\nthen = "ask(2, \'\')"', "policy.rule.a.then", "names an empty role"),
        ('id = "Big One"\nwhen = "true"\nthen = "deny"', "policy.rule.Big One.id", "another form"),
        ('when = "true"\nthen = "deny"', "policy.rule.0.id", "missing"),
        ('id = "a"\nwhen = "true"\nthen = "deny"\nif = "x"', "policy.rule.a.if", ""),
    ],
)
def test_a_bad_rule_is_refused_with_its_place(rule, where, words):
    text = f'[policy]\nroles = {{ finance = ["finn", "fay"] }}\n[[policy.rule]]\n{rule}\n'
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    problem = next(problem for problem in caught.value.problems if problem.where == where)
    assert words in problem.message or words in problem.fix
    assert problem.fix


def test_two_rules_of_one_id_are_refused():
    rules = ruled({"id": "a", "when": "true", "then": "deny"}, {"id": "a", "when": "false", "then": "allow"})
    assert [problem.where for problem in contradictions(rules)] == ["policy.rule.a"]


def test_a_role_without_enough_approvers_is_refused():
    rules = policy(rule=[BIG], roles=ROLES, approvers=("finn", "lea"))
    assert [problem.where for problem in contradictions(rules)] == ["policy.rule.big.then"]


def test_more_rules_than_a_plan_can_carry_are_refused():
    long = [{"id": f"r{at}", "when": f"'{'x' * 1_900}' == step.tool", "then": "deny"} for at in range(32)]
    (problem,) = contradictions(ruled(*long))
    assert problem.where == "policy.rule"
    assert "characters of conditions and reasons together" in problem.message
    many = [{"id": f"r{at}", "when": "true", "then": "deny"} for at in range(201)]
    assert [found.message for found in contradictions(ruled(*many))] == ["has 201 rules"]


def test_a_plan_about_which_rules_say_too_much_is_refused_and_not_carried(monkeypatch):
    monkeypatch.setattr(step_rules, "MAX_SAID", 100)
    rules = ruled({"id": "a", "when": "true", "then": "ask(1)"}, {"id": "b", "when": "true", "then": "ask(2)"})
    found = check_plan(plan(PAY, WRITE), catalogue(), rules)
    assert [problem.where for problem in found.problems] == ["plan.steps"]
    assert "apply 4 times to 2 steps" in found.problems[0].message


def test_without_the_extra_a_rule_is_refused_with_its_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "cel", None)
    rules = ruled({"id": "a", "when": "step.tool == 'never compiled before'", "then": "deny"})
    (problem,) = contradictions(rules)
    assert problem.message == "needs an extra: pip install 'airlock-temporal[rules]'"


def test_another_spelling_of_an_agent_meets_the_rules_about_it():
    rules = policy(
        agents={"*": {"permissions": ["*"]}, "Bot": {"permissions": ["*"]}},
        rule=[{"id": "bot", "when": "step.agent == 'Bot'", "then": "deny"}],
    )
    run = awaiting(plan(step("write", args={"key": "a"}, agent="bOT"), step("other", agent="ann")), rules)
    assert run.ceilings["write"].mode is Mode.DRY_RUN
    assert run.ceilings["other"].mode is Mode.LIVE


def test_a_rule_is_frozen_with_its_policy():
    rule = Rule.model_validate({**BIG, "reason": "big"})
    assert Policy.model_validate({"rule": [rule.model_dump()], "roles": ROLES}).rule == (rule,)
    assert NOW < LATER
