"""The live role's look at evidence: it believes signatures alone, under the plan's rules and today's."""

from datetime import timedelta

import pytest

from airlock.admission.configuration.contradictions import contradictions
from airlock.admission.policy import Policy
from airlock.gates.protocol import EntryRefused
from airlock.plans.seal import seal
from airlock.plans.state import State
from airlock.run.decisions.evidence import evidence_of
from airlock.run.decisions.permission import Permission
from airlock.run.messages import Approve
from airlock.run.state import Run
from tests.core.build import NOW, awaiting, later, live_run, plan, policy, step
from tests.core.signed_build import (
    ALICE,
    BOB,
    KEYS,
    PAULA,
    PLAN,
    SIGNED,
    demanding,
    examined,
    fields_of,
    quorum,
    ready,
    sealed_run,
    send,
    signed,
    vote_of,
)
from tests.signers import Signer, SshPerson


def approved_run(rules: Policy = SIGNED, by: Signer = ALICE) -> Run:
    run = ready("approve", rules)
    assert send(run, "approve", *signed(run, "approve", by)).accepted
    return run


@pytest.mark.parametrize("by", [ALICE, PAULA], ids=["ssh", "passkey"])
def test_the_live_role_believes_the_evidence_alone(by: Signer) -> None:
    given = evidence_of(approved_run(by=by))
    assert given is not None
    assert isinstance(examined(given, SIGNED), Permission)
    assert isinstance(examined(given, SIGNED, "elsewhere"), EntryRefused)
    revoked = SIGNED.model_copy(update={"authorized_keys": (BOB.line,), "passkeys": ()})
    answer = examined(given, revoked)
    assert isinstance(answer, EntryRefused)
    assert "today's policy" in answer.why
    assert isinstance(examined(given, demanding("ssh" if by is PAULA else "passkey")), EntryRefused)


def test_the_live_role_refuses_a_vote_without_evidence_or_with_another_ones() -> None:
    given = evidence_of(approved_run())
    assert given is not None
    (vote,) = given.votes
    bare = vote.model_copy(update={"approval": vote.approval.model_copy(update={"evidence": None})})
    assert isinstance(examined(given.model_copy(update={"votes": (bare,)}), SIGNED), EntryRefused)
    stolen = vote.model_copy(update={"approval": vote.approval.model_copy(update={"by": "bob"})})
    assert isinstance(examined(given.model_copy(update={"votes": (stolen,)}), SIGNED), EntryRefused)
    late = vote.model_copy(update={"at": later(2)})
    assert isinstance(examined(given.model_copy(update={"votes": (late,)}), SIGNED), EntryRefused)


def test_the_live_role_takes_the_risk_of_a_step_from_its_own_contract() -> None:
    """A worker that orchestrates could seal a HIGH risk call as one of LOW risk, which an approval of less lets pass."""
    high = {"HIGH": {"people": 2}}
    rules = policy(**KEYS, decisions={"approve": {"evidence": "signed", "by_risk": high}})
    run = awaiting(plan(step("m", "mail")), rules)
    run.namespace = "default"
    assert run.sealed is not None
    (shown,) = run.sealed.steps
    run.sealed = run.sealed.model_copy(update={"steps": (shown.model_copy(update={"risk": "LOW"}),)})
    run.digest = seal(run.sealed)
    assert send(run, "approve", *signed(run, "approve")).accepted
    assert run.state is State.LIVE, "so it seems to the worker that orchestrates"
    given = evidence_of(run)
    assert given is not None
    answer = examined(given, rules)
    assert isinstance(answer, EntryRefused)
    assert "is not approved" in answer.why


def test_unsigned_approvals_still_pass_where_nothing_is_demanded() -> None:
    given = evidence_of(live_run(PLAN, policy(**KEYS)))
    assert given is not None
    assert isinstance(examined(given, policy(**KEYS)), Permission)
    answer = examined(given, SIGNED)
    assert isinstance(answer, EntryRefused)
    assert "it must be signed" in answer.why


def test_the_older_form_satisfies_signature_required_and_not_a_rule_about_evidence() -> None:
    from airlock.run.decisions.signature import sign

    for rules, counts in ((policy(**KEYS, signature_required="always"), True), (demanding("ssh"), False)):
        run = ready("approve", rules)
        fields = fields_of("approve", run)
        old = sign(ALICE.key, run.name, Approve.model_validate(fields), str(run.digest))
        assert send(run, "approve", {**fields, "signature": old}, None).accepted is counts
        assert send(ready("approve", rules), "approve", *signed(ready("approve", rules), "approve")).accepted


def test_the_live_role_counts_a_person_once_whenever_the_votes_claim_to_have_been_given() -> None:
    run = sealed_run(quorum(approval_valid_for="10m"))
    assert run.sealed_at is not None
    two = [vote_of(run, ALICE, NOW), vote_of(run, ALICE, NOW + timedelta(minutes=11))]
    run.votes, run.approved = tuple(two), ("a", "b")
    given = evidence_of(run)
    assert given is not None
    assert isinstance(examined(given, quorum(approval_valid_for="10m")), EntryRefused)
    honest = given.model_copy(update={"votes": (two[0], vote_of(run, BOB, NOW))})
    assert isinstance(examined(honest, quorum(approval_valid_for="10m")), Permission)


def test_the_live_role_counts_no_vote_that_was_given_later_than_now() -> None:
    run = sealed_run(demanding("signed", "approve"))
    run.votes, run.approved = (vote_of(run, ALICE, NOW + timedelta(minutes=50)),), ("a", "b")
    given = evidence_of(run)
    assert given is not None
    answer = examined(given, demanding("signed", "approve"))
    assert isinstance(answer, EntryRefused)
    assert "was given after" in answer.why


def test_one_key_belongs_to_one_person() -> None:
    twice = SshPerson("bob", key=ALICE.key)
    (problem,) = contradictions(policy(authorized_keys=[ALICE.line, twice.line, SshPerson("Alice", key=ALICE.key).line]))
    assert problem.where == "policy.authorized_keys"
    assert "alice" in problem.message
    assert "bob" in problem.message
    (problem,) = contradictions(policy(passkeys=[PAULA.registered, {**PAULA.registered, "person": "bob"}]))
    assert problem.where == "policy.passkeys"
    other_id = {**PAULA.registered, "person": "bob", "credential": "AAAA"}
    (problem,) = contradictions(policy(passkeys=[PAULA.registered, other_id]))
    assert problem.where == "policy.passkeys"
    assert contradictions(policy(**KEYS)) == ()
