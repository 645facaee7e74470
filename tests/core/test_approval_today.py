"""Today's policy at an approval: the stricter of it and of the plan's policy applies, and a refusal says which it was."""

from datetime import datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from airlock.admission.policy import Policy
from airlock.base.incoming import Verdict
from airlock.base.keys import read_private_key
from airlock.plans.state import State
from airlock.run.decisions.decision import decide
from airlock.run.decisions.signature import sign
from airlock.run.messages import Approve, parse_message
from airlock.run.state import Run
from tests.core.build import NOW, awaiting, later, plan, policy, step

PLAN = plan(step("a", confidence=0.92), step("b", "write", "a"), step("mail", "mail", "b"))
KEY = Ed25519PrivateKey.generate()
KEY_FILE = KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
ALICE = KEY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " alice"


def vote(
    run: Run, today: Policy | None, by: str = "alice", now: datetime = NOW, given: datetime | None = None, **fields: Any
) -> Verdict:
    """Approve the current seal under the policy of today."""
    message = parse_message("approve", ({"by": by, "digest": run.digest, **fields},))
    return decide(run, "approve", message, now, today=today, given=given)


@pytest.mark.parametrize(
    ("admitted_under", "today", "words"),
    [
        ({}, {"approvers": ["bob"]}, ("is not among the approvers (bob) of today's policy",)),
        ({"approvers": ["alice", "bob"]}, {"approvers": ["bob"]}, ("of today's policy",)),
        ({"approvers": ["alice"]}, {"approvers": ["bob"]}, ("of today's policy",)),
        ({"approvers": ["bob"]}, {"approvers": ["alice"]}, ("of the plan's policy",)),
        ({}, {"dry_run_only": True}, ("today's policy", "dry runs only", "lock and unlock")),
        ({}, {"confidence_threshold_for_live": 0.93}, ("today's policy", "step 'a' cannot go live", "below 0.93")),
        ({}, {"budget": {"live_calls": 1}}, ("today's policy", "policy.budget.live_calls")),
        ({}, {"signature_required": "always", "authorized_keys": [ALICE]}, ("today's policy: the policy requires",)),
        ({"signature_required": "always", "authorized_keys": [ALICE]}, {}, ("the plan's policy: the policy requires",)),
    ],
)
def test_a_policy_that_was_tightened_refuses_and_says_so(
    admitted_under: dict[str, Any], today: dict[str, Any], words: tuple[str, ...]
) -> None:
    run = awaiting(PLAN, policy(**admitted_under))
    verdict = vote(run, policy(**today))
    assert not verdict.accepted
    for word in words:
        assert word in verdict.reason
    assert run.audit[-1].reason == verdict.reason
    assert (run.state, run.votes) == (State.AWAITING_APPROVAL, ())


@pytest.mark.parametrize("today", [None, {}, {"approvers": ["alice"]}, {"approvals_required": 1}])
def test_a_policy_that_still_allows_it_lets_it_count(today: dict[str, Any] | None) -> None:
    run = awaiting(PLAN)
    assert vote(run, None if today is None else policy(**today)).reason == "approval 1 of 1 counted"
    assert run.state is State.LIVE


def test_a_policy_that_was_loosened_changes_nothing() -> None:
    run = awaiting(PLAN, policy(approvers=["alice", "bob"], approvals_required=2))
    assert vote(run, policy()).reason == "approval 1 of 2 counted"
    assert "of the plan's policy" in vote(run, policy(), by="mallory").reason
    assert run.state is State.AWAITING_APPROVAL


def test_a_quorum_that_was_raised_is_waited_for() -> None:
    run, today = awaiting(PLAN), policy(approvals_required=2)
    assert vote(run, today).reason == "approval 1 of 2 counted (today's policy)"
    assert run.state is State.AWAITING_APPROVAL
    assert vote(run, today, by="bob").reason == "approval 2 of 2 counted (today's policy)"
    assert run.state is State.LIVE


def test_the_vote_of_an_approver_who_was_revoked_since_is_dropped() -> None:
    run = awaiting(PLAN, policy(approvals_required=2, approvers=["alice", "bob", "carol"]))
    assert vote(run, policy()).accepted
    today = policy(approvers=["bob", "carol"])
    assert vote(run, today, by="bob").reason == "approval 1 of 2 counted"
    assert [vote.approval.by for vote in run.votes] == ["bob"]
    assert any(entry.by == "alice" and "does not count any more" in entry.reason for entry in run.audit)
    assert vote(run, today, by="carol").accepted
    assert run.state is State.LIVE


def test_only_todays_keys_verify_a_signature() -> None:
    rules = {"signature_required": "always"}
    run = awaiting(PLAN, policy(**rules, authorized_keys=[ALICE]))
    unsigned = Approve(by="alice", digest=run.digest or "")
    signature = sign(read_private_key(KEY_FILE), run.name, unsigned, run.digest or "")
    withdrawn = vote(run, policy(**rules, authorized_keys=[ALICE.replace("alice", "bob")]), signature=signature)
    assert withdrawn.reason == "today's policy: no authorized key is listed for 'alice'"
    assert vote(run, policy(**rules, authorized_keys=[ALICE]), signature=signature).accepted
    other = awaiting(PLAN, policy(**rules, authorized_keys=[ALICE.replace("alice", "bob")]))
    signature = sign(read_private_key(KEY_FILE), other.name, unsigned, other.digest or "")
    assert vote(other, policy(**rules, authorized_keys=[ALICE]), signature=signature).accepted


def test_a_waiver_that_was_withdrawn_needs_its_approval() -> None:
    run = awaiting(PLAN, policy(approval_waived_for=["MEDIUM"], approvals_required=2))
    # both votes name the mail alone: the waived steps would go live with it
    assert vote(run, policy(approvals_required=2), steps=["mail"]).accepted
    assert vote(run, policy(approvals_required=2), by="bob", steps=["mail"]).accepted
    assert run.state is State.AWAITING_APPROVAL
    assert run.approved == ()


def test_a_shorter_time_for_approval_applies_at_once() -> None:
    run = awaiting(PLAN)
    late = vote(run, policy(approval_timeout="1h"), now=later(1))
    assert late.reason == "the time for approval has expired: today's policy gives 1h"
    assert vote(run, policy(approval_timeout="1h"), now=later(5), given=later(0.9)).accepted
    assert run.approved_until == later(1.9)


def test_an_approval_is_judged_by_the_time_at_which_it_was_given() -> None:
    run = awaiting(PLAN, policy(approval_timeout="1h"))
    assert "has expired" in vote(run, None, now=later(2), given=later(1)).reason
    assert vote(run, None, now=later(2), given=later(0.5)).accepted
    assert run.votes[0].at == later(0.5)
    assert run.audit[-1].at == later(2)
