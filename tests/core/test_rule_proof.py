"""Rules before those who believe no worker: the live role with forged evidence, and the verification of an export."""

from datetime import timedelta

import pytest

from airlock.export.hiding import Openings
from airlock.export.plan_lines import plan_record
from airlock.export.seal_check import SealReport, check_seals
from airlock.gates.protocol import EntryRefused
from airlock.plans.contract import Mode
from airlock.plans.refs import UNKNOWN
from airlock.plans.seal import seal
from airlock.plans.state import Event
from airlock.run.decisions.evidence import Evidence, evidence_of
from airlock.run.decisions.permission import examine, lane_objection
from airlock.run.messages import Approve
from airlock.run.presentation.views import status_view
from airlock.run.standing_decisions import Vote
from airlock.run.state import Run
from tests.core.build import NOW, awaiting, call, catalogue, live, plan, policy, preview, say, step
from tests.core.export_build import trace

BIG = {"id": "big", "when": "step.tool == 'pay' && step.args.amount > 1000", "then": 'ask(2, "finance")', "reason": "much"}
RULES = policy(rule=[BIG], roles={"finance": ("finn", "fay")})
PAY = step("pay", "pay", args={"amount": 2000})


def forged(run: Run, **change: object) -> Evidence:
    """Return evidence of a seal with other steps, approved by one person as a lying worker would have it."""
    assert run.sealed is not None
    sealed = run.sealed.model_copy(update={"steps": tuple(each.model_copy(update=change) for each in run.sealed.steps)})
    found = evidence_of(run)
    assert found is not None
    vote = Vote(approval=Approve(by="finn", digest=seal(sealed)), at=NOW)
    return found.model_copy(
        update={"sealed": sealed, "digest": seal(sealed), "votes": (vote,), "approved": sealed.live_steps}
    )


@pytest.mark.parametrize("change", [{"rules": ()}, {"rules": (), "approval_waived": True}])
@pytest.mark.parametrize("lax", [False, True])
def test_a_seal_that_hides_a_rule_is_refused_by_the_rules_themselves(change, lax):
    evidence = forged(awaiting(plan(PAY), RULES), **change)
    if lax:  # the plan's policy is forged too, so that only the worker's own says it
        other = policy(roles={"finance": ("finn", "fay")})
        sealed = evidence.sealed.model_copy(update={"policy_hash": other.digest()})
        vote = Vote(approval=Approve(by="finn", digest=seal(sealed)), at=NOW)
        evidence = evidence.model_copy(update={"sealed": sealed, "digest": seal(sealed), "policy": other, "votes": (vote,)})
    refused = examine(evidence, RULES, catalogue(), "plan-p-1", NOW + timedelta(minutes=1))
    assert isinstance(refused, EntryRefused)
    assert "still needs 1 approval of finance (rule big)" in refused.why
    assert refused.why.startswith("today's policy" if lax else "the plan's policy")


def test_a_preview_that_claims_to_have_cleared_a_rule_is_not_believed():
    deny = policy(rule=[{**BIG, "then": "deny"}])
    pay = step("pay", "pay", args={"amount": {"$ref": "a.key"}})
    seen = preview("pay", args={"amount": UNKNOWN}, cleared_rules=("big",))
    run = awaiting(plan(step("a", args={"key": "a"}), pay), deny, pay=seen)
    lying = forged(run, rules=(), ceiling=Mode.LIVE)
    refused = examine(lying, deny, catalogue(), "plan-p-1", NOW + timedelta(minutes=1))
    assert isinstance(refused, EntryRefused)
    assert "the policy may deny it (rule big; not known yet: step.args.amount)" in refused.why


def test_a_read_that_a_rule_asks_about_is_not_made_before_the_preview():
    read = step("read", "read", args={"key": "a"})
    lane = policy(read_lane=True)
    asking = policy(read_lane=True, rule=[{"id": "ask", "when": "step.args.key == 'a'", "then": "ask(1)"}])
    run = awaiting(plan(read, step("write")), lane)
    evidence = evidence_of(run)
    assert evidence is not None
    evidence = evidence.model_copy(update={"approved": ("read",)})
    steps = [each for each in evidence.sealed.steps if each.id == "read"]
    assert lane_objection(steps, evidence, lane, catalogue()) == ""
    assert "a rule asks people about it" in lane_objection(steps, evidence, asking, catalogue())


def fault(run: Run) -> str | None:
    found = check_seals(plan_record(trace(run)), Openings(), SealReport())
    return None if found is None else found.message


def test_an_export_shows_that_those_whom_a_rule_asks_approved():
    run = awaiting(plan(PAY), RULES)
    for by in ("finn", "fay"):
        say(run, "approve", by=by)
    assert fault(call(run, live("pay"), after=True)) is None


def test_an_export_of_a_call_without_them_is_no_proof():
    run = awaiting(plan(PAY), RULES)
    say(run, "approve", by="finn")
    run.approved = ("pay",)
    run.apply(Event.APPROVED, NOW, by="finn", reason="1 step approved")  # as a worker that lies would have it
    message = fault(call(run, live("pay"), after=True))
    assert message == "step 'pay' was called with 1 of the 2 approvals of finance that rule big asked for"


def test_an_export_of_a_call_without_the_people_of_its_risk_is_no_proof():
    two = policy(decisions={"approve": {"by_risk": {"HIGH": {"people": 2}}}})
    run = awaiting(plan(step("a"), PAY), two)
    for by in ("finn", "fay"):
        say(run, "approve", by=by)
    assert fault(call(run, live("a"), live("pay"), after=True)) is None
    run = awaiting(plan(step("a"), PAY), two)
    say(run, "approve", by="finn")
    run.approved = ("a", "pay")
    run.apply(Event.APPROVED, NOW, by="finn", reason="2 steps approved")  # as a worker that lies would have it
    message = fault(call(run, live("a"), live("pay"), after=True))
    assert message == "step 'pay' was called with 1 of the 2 approvals that its risk needs"


def test_the_status_says_who_is_asked_as_data():
    run = awaiting(plan(PAY), RULES)
    (need,) = status_view(run).asked
    assert need.model_dump() == {"rule": "big", "approvals": 2, "missing": 2, "role": "finance", "reason": "much"}
    say(run, "approve", by="finn")
    assert [each.missing for each in status_view(run).asked] == [1]
    say(run, "approve", by="fay")
    assert "asked" not in status_view(run).model_dump(mode="json")
