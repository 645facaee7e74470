"""Signed amendments: the whole amendment is what its person signs, and the policy says who may amend, with what evidence."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from airlock.admission.configuration.contradictions import contradictions
from airlock.admission.examination import examine
from airlock.admission.policy import Policy
from airlock.base.names import workflow_id_of
from airlock.client.signing import to_sign
from airlock.export.authority_check import authority_faults
from airlock.export.plan_lines import plan_record
from airlock.plans.state import State
from airlock.run.audit import AuditKind
from airlock.run.decisions.amending import amend, amended_plan, judge_amendment, judge_author, look_at_amendment
from airlock.run.decisions.approval_today import rules_of, votes_that_count
from airlock.run.decisions.decision import decide
from airlock.run.decisions.vote_scope import voices
from airlock.run.messages import Amend, parse_message
from airlock.run.rehearsal import begin_life
from airlock.run.state import Run
from airlock.signing.evidence import DecisionEvidence
from airlock.signing.statement import Statement, statement
from tests.core.amend_build import seal_again
from tests.core.build import NOW, awaiting, catalogue, later, plan, policy, say, step
from tests.core.export_build import trace
from tests.signers import PasskeyPerson, Signer, SshPerson

ALICE, BOB, EVE, AUTHOR = SshPerson("alice"), SshPerson("bob"), SshPerson("alice"), SshPerson("author")
PAULA = PasskeyPerson("paula")
PLAN = plan(step("a"), step("b", "write", "a"), step("c", "order"))
BETTER = step("b", "write", "a", args={"key": "better", "value": None}).model_dump(mode="json")
KEYS: dict[str, Any] = {"authorized_keys": [ALICE.line, BOB.line, AUTHOR.line], "passkeys": [PAULA.registered]}


def demanding(evidence: str = "signed", **rule: Any) -> Policy:
    return policy(**KEYS, decisions={"amend": {"evidence": evidence, **rule}})


SIGNED = demanding()


def ready(rules: Policy = SIGNED) -> Run:
    run = awaiting(PLAN, rules)
    run.namespace = "default"
    begin_life(run, "abc")
    return run


def fields_of(by: str = "alice", **more: Any) -> dict[str, Any]:
    return {"by": by, "reason": "better", "steps": [BETTER], **more}


def stated(run: Run, fields: dict[str, Any], **other: Any) -> Statement:
    where = {
        "namespace": run.namespace, "subject": workflow_id_of(run.name), "life": run.life, "seal": run.digest,
        "nonce": run.nonce, "expires": NOW + timedelta(hours=1),
    }  # fmt: skip
    return statement("amend", parse_message("amend", (fields,)).model_dump(mode="json"), **{**where, **other})


def send(
    run: Run,
    fields: dict[str, Any],
    evidence: DecisionEvidence | None = None,
    *,
    today: Policy | None = None,
    admitting: Policy | None = None,
    now: datetime = NOW,
) -> str:
    """Amend a run as the workflow does; return the refusal, or an empty text."""
    sent = {**fields, **({"evidence": evidence.model_dump(mode="json")} if evidence else {})}
    message = parse_message("amend", (json.loads(json.dumps(sent)),))
    assert isinstance(message, Amend)
    looked = look_at_amendment(run, message, today, now)
    for verdict in (judge_amendment(run, message), judge_author(run, message, looked)):
        if not verdict.accepted:
            return verdict.reason
    proposed = amended_plan(run.plan, message)
    rules = admitting or today or run.contracts().policy
    verdict = amend(run, message, proposed, examine(proposed, catalogue(), rules).admission, now, looked)
    return "" if verdict.accepted else verdict.reason


def signed(run: Run, by: Signer = ALICE, **more: Any) -> tuple[dict[str, Any], DecisionEvidence]:
    fields = fields_of(by.name, **more)
    return fields, by.evidence(stated(run, fields))


@pytest.mark.parametrize("by", [ALICE, PAULA, AUTHOR], ids=["ssh", "passkey", "requester"])
def test_a_signed_amendment_counts_and_is_recorded_with_its_evidence(by: Signer) -> None:
    run = ready()
    assert send(run, *signed(run, by)) == ""
    assert run.state is State.MOCK
    entry = next(entry for entry in run.audit if entry.kind is AuditKind.DECISION and entry.what == "amend")
    assert entry.signed is not None
    assert entry.signed.statement.amendment
    assert Run.model_validate_json(run.model_dump_json()).nonces == run.nonces


def test_without_a_rule_an_amendment_needs_no_evidence_but_what_is_there_must_be_good() -> None:
    run = ready(policy(**KEYS))
    fields = fields_of()
    assert send(run, fields, EVE.evidence(stated(run, fields)))
    assert run.state is State.AWAITING_APPROVAL
    assert send(run, fields) == ""


OTHER = step("b", "write", "a", args={"key": "evil"}).model_dump(mode="json")
WRONG: dict[str, dict[str, Any]] = {
    "another argument": {"steps": [OTHER]},
    "another dependency": {"steps": [{**BETTER, "after": ["a", "c"]}]},
    "another agent": {"steps": [{**BETTER, "agent": "other"}]},
    "another step": {"steps": [BETTER, step("z").model_dump(mode="json")]},
    "a removal": {"remove": ["c"]},
    "the whole plan": {"whole": True, "steps": [step("a").model_dump(mode="json"), BETTER]},
    "another reason": {"reason": "worse"},
    "another person": {"by": "bob"},
}


@pytest.mark.parametrize("changed", WRONG.values(), ids=WRONG)
def test_evidence_is_for_the_whole_amendment(changed: dict[str, Any]) -> None:
    run = ready()
    fields, evidence = signed(run)
    refused = send(run, {**fields, **changed}, evidence)
    assert refused, changed
    assert run.state is State.AWAITING_APPROVAL
    assert run.nonces is None or not run.nonces.spent


@pytest.mark.parametrize(
    "other", [{"seal": "0" * 64}, {"life": "def"}, {"namespace": "other"}, {"subject": "plan-q"}, {"nonce": "0" * 64}]
)
def test_evidence_is_for_one_seal_of_one_run(other: dict[str, Any]) -> None:
    run = ready()
    fields = fields_of()
    assert send(run, fields, ALICE.evidence(stated(run, fields, **other)))
    assert run.state is State.AWAITING_APPROVAL


def test_a_refused_signed_amendment_counts_no_second_time() -> None:
    run = ready(demanding(roles=["lead"]).model_copy(update={"roles": {"lead": ("bob",)}}))
    fields, evidence = signed(run)
    assert "has not the role lead" in send(run, fields, evidence)
    assert "has been used" in send(run, fields, evidence)


@pytest.mark.parametrize(
    ("rule", "by", "words"),
    [
        ({"evidence": "passkey"}, ALICE, "with a passkey in the console, not with ssh"),
        ({"not_requester": True}, AUTHOR, "'author' requested this"),
        ({"roles": ["lead"]}, ALICE, "has not the role lead"),
        ({"evidence": "none", "by_risk": {"HIGH": {"roles": ["lead"]}}}, ALICE, ""),
    ],
)
def test_the_rules_about_amendments_count(rule: dict[str, Any], by: Signer, words: str) -> None:
    run = ready(policy(**KEYS, roles={"lead": ["bob"]}, decisions={"amend": {"evidence": "signed", **rule}}))
    refused = send(run, *signed(run, by))
    assert words in refused
    assert bool(refused) is bool(words)


def test_a_rule_about_a_risk_looks_at_the_steps_that_an_amendment_adds() -> None:
    risky = {"MEDIUM": {"roles": ["lead"]}}
    rules = policy(**KEYS, roles={"lead": ["bob"]}, decisions={"amend": {"by_risk": risky}})
    run = awaiting(plan(step("a")), rules)
    run.namespace = "default"
    begin_life(run, "abc")
    added = step("b", "write", "a").model_dump(mode="json")
    assert "has not the role lead" in send(run, fields_of(steps=[added]))
    assert send(run, fields_of("bob", steps=[added])) == ""


def test_the_policy_of_today_may_demand_more_and_withdraw_a_key() -> None:
    run = ready(policy(**KEYS))
    assert "it must be signed" in send(run, fields_of(), today=SIGNED)
    without = policy(authorized_keys=[BOB.line], decisions={"amend": {"evidence": "ssh"}})
    assert send(run, *signed(run), today=without)
    assert run.state is State.AWAITING_APPROVAL
    assert send(run, *signed(run, BOB), today=without) == ""


def test_the_keys_of_the_policy_that_admits_the_amended_plan_count_whatever_was_taken_for_todays() -> None:
    """Any client that completes a workflow task can name a build id: the run takes the plan's policy for today's then."""
    run = ready()
    without = policy(authorized_keys=[BOB.line], decisions={"amend": {"evidence": "ssh"}})
    assert "no authorized key" in send(run, *signed(run), admitting=without)
    assert run.state is State.AWAITING_APPROVAL
    assert send(run, *signed(run, BOB), admitting=without) == ""


def test_a_signed_amendment_ends_with_its_time() -> None:
    run = ready()
    assert "that is over" in send(run, *signed(run), now=later(2))


def test_several_people_cannot_be_demanded() -> None:
    (problem,) = contradictions(policy(decisions={"amend": {"people": 2}}))
    assert problem.where == "policy.decisions.amend.people"
    assert "one person amends" in problem.message


def test_a_person_who_amends_can_be_kept_from_approving() -> None:
    rules = policy(decisions={"approve": {"not_after": ["amend"]}})
    assert contradictions(rules) == ()


def test_what_a_client_signs_is_what_the_run_checks_also_with_values_that_are_null() -> None:
    run = ready()
    message = parse_message("amend", (fields_of(digest=run.digest),))
    made = to_sign(
        "amend", message, namespace="default", subject=workflow_id_of(run.name), life=run.life, nonce=run.nonce,
        seal=run.digest, valid_for=timedelta(hours=1),
    )  # fmt: skip
    now = made.expires - timedelta(minutes=5)
    assert send(run, dict(made.fields), ALICE.evidence(made.statement), now=now) == ""


def test_a_record_of_an_unsigned_amendment_is_found_where_the_sealed_policy_demands_evidence() -> None:
    run = awaiting(PLAN, SIGNED)
    # a worker that lies accepts what no person signed
    run.record(AuditKind.DECISION, "amend", NOW, by="alice", reason="better", digest=run.digest)
    assert say(run, "deny", by="bob").accepted
    record = plan_record(trace(run))
    faults = list(authority_faults(record, []))
    assert len(faults) == 1
    assert "amend by 'alice' is not signed, and the sealed policy demands it" in faults[0]


@pytest.mark.parametrize("length", [64, 32])
def test_a_kept_signed_approval_counts_on_under_another_policy_of_today(length: int) -> None:
    rules = policy(**KEYS, approvals_required=2, decisions={"approve": {"evidence": "signed"}})
    run = ready(rules)
    run.sealed_at = NOW
    assert run.digest is not None
    fields: dict[str, Any] = {"by": "alice", "digest": run.digest[:length]}
    message = parse_message("approve", (fields,)).model_dump(mode="json")
    made = statement(
        "approve", message, namespace="default", subject=workflow_id_of(run.name), life=run.life, seal=run.digest,
        nonce=run.nonce, expires=NOW + timedelta(hours=1),
    )  # fmt: skip
    approval = parse_message("approve", ({**fields, "evidence": ALICE.evidence(made).model_dump(mode="json")},))
    assert not isinstance(approval, Amend)
    assert decide(run, "approve", approval, NOW).accepted
    assert send(run, fields_of("author", steps=[step("c", "order", args={"key": "x"}).model_dump(mode="json")])) == ""
    seal_again(run, {})
    assert voices(run, run.votes) == {"a": ("alice",), "b": ("alice",), "c": ()}
    today = rules.model_copy(update={"approval_valid_for": "2h"})
    assert len(votes_that_count(run, rules_of(run, today), NOW)) == 1
    revoked = rules.model_copy(update={"authorized_keys": (BOB.line,)})
    assert votes_that_count(run, rules_of(run, revoked), NOW) == ()
