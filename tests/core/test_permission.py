"""The judgement of the live role: the approval is believed as far as it can be shown, under the stricter of two policies."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from airlock.admission.policy import Policy
from airlock.base.keys import read_private_key
from airlock.gates.protocol import EntryRefused
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Mode
from airlock.plans.plan import Plan
from airlock.plans.seal import seal
from airlock.run.decisions.evidence import Evidence, evidence_of
from airlock.run.decisions.permission import ELSEWHERE, NEVER, STALE, UNAPPROVED, Permission, examine
from airlock.run.decisions.signature import sign
from airlock.run.handed_back import SINCE_EPOCH
from airlock.run.messages import Approve
from airlock.run.standing_decisions import Vote
from airlock.run.state import Run
from tests.core.build import NOW, OPEN_POLICY, awaiting, catalogue, later, live_run, make_tool, plan, policy, say, step

PLAN = plan(step("a"), step("b", "write", "a"), step("m", "mail", "b"), step("weak", confidence=0.2))


def shown(run: Run) -> Evidence:
    evidence = evidence_of(run)
    assert evidence is not None
    return evidence


def evidence(proposed: Plan = PLAN, rules: Policy = OPEN_POLICY, **fields: Any) -> Evidence:
    return shown(live_run(proposed, rules, **fields))


def judged(
    given: Evidence,
    today: Policy = OPEN_POLICY,
    tools: Catalogue | None = None,
    hours: float = 0.0,
    workflow: str = "plan-p-1",
) -> Permission | EntryRefused:
    # what travels is JSON
    sent = Evidence.model_validate(given.model_dump(mode="json"))
    return examine(sent, today, tools or catalogue(), workflow, later(hours))


def refused(answer: Permission | EntryRefused, kind: str, *words: str) -> None:
    assert isinstance(answer, EntryRefused), answer
    assert answer.kind == kind, answer
    for word in words:
        assert word in answer.why, answer


def test_an_honest_approval_permits_the_approved_steps_until_it_is_too_old():
    answer = judged(evidence())
    assert isinstance(answer, Permission)
    assert [step.id for step in answer.steps] == ["a", "b", "m"]
    assert answer.until == NOW + timedelta(hours=24)


def test_the_deadline_of_the_plan_ends_the_permission():
    answer = judged(evidence(plan(step("a"), deadline="2h")))
    assert isinstance(answer, Permission)
    assert answer.until == later(2)


def test_steps_that_are_live_already_need_no_permission():
    given = evidence().model_copy(update={"live": ("a",)})
    answer = judged(given)
    assert isinstance(answer, Permission)
    assert [step.id for step in answer.steps] == ["b", "m"]


def other_args(given: Evidence) -> Evidence:
    first, *rest = given.sealed.steps
    changed = first.model_copy(update={"args": {"key": "another"}})
    return given.model_copy(update={"sealed": given.sealed.model_copy(update={"steps": (changed, *rest)})})


def resealed(given: Evidence) -> Evidence:
    other = other_args(given)
    return other.model_copy(update={"digest": seal(other.sealed)})


def vote_by(name: str) -> Callable[[Evidence], Evidence]:
    def change(given: Evidence) -> Evidence:
        (vote,) = given.votes
        return given.model_copy(update={"votes": (vote.model_copy(update={"approval": by(vote, name)}),)})

    return change


def by(vote: Vote, name: str) -> Any:
    return vote.approval.model_copy(update={"by": name})


FORGED: list[tuple[str, Callable[[Evidence], Evidence], str, tuple[str, ...]]] = [
    ("other arguments", other_args, STALE, ("digest is not that of the sealed content",)),
    ("other arguments, sealed again", resealed, UNAPPROVED, ("the plan's policy", "not the digest of the current preview")),
    ("vote of the requester", vote_by("author"), UNAPPROVED, ("the plan's policy", "requested this plan")),
    ("vote of an agent", vote_by("Bot "), UNAPPROVED, ("the plan's policy", "is an agent of this plan")),
    (
        "no vote", lambda given: given.model_copy(update={"votes": ()}), UNAPPROVED,
        ("the plan's policy", "0 of 1 votes"),
    ),
    (
        "a step that nobody could approve", lambda given: given.model_copy(update={"approved": ("a", "weak")}), STALE,
        ("'weak' is not sealed as a step that may go live",),
    ),
    (
        "a step that does not exist", lambda given: given.model_copy(update={"approved": ("z",)}), STALE, ("'z'",),
    ),
    (
        "an invented policy", lambda given: given.model_copy(update={"policy": policy(approvals_required=2)}), UNAPPROVED,
        ("not the one that was sealed",),
    ),
    (
        "a ceiling that is not LIVE",
        lambda given: _sealed_again(given, ceiling=Mode.DRY_RUN), STALE, ("not sealed as a step",),
    ),
]  # fmt: skip


def _sealed_again(given: Evidence, **changes: Any) -> Evidence:
    first, *rest = given.sealed.steps
    sealed = given.sealed.model_copy(update={"steps": (first.model_copy(update=changes), *rest)})
    digest = seal(sealed)
    votes = tuple(
        vote.model_copy(update={"approval": vote.approval.model_copy(update={"digest": digest})}) for vote in given.votes
    )
    return given.model_copy(update={"sealed": sealed, "digest": digest, "votes": votes})


@pytest.mark.parametrize(("change", "kind", "words"), [row[1:] for row in FORGED], ids=[row[0] for row in FORGED])
def test_forged_evidence_is_refused(change, kind, words):
    refused(judged(change(evidence())), kind, *words)


def test_one_voice_does_not_count_twice():
    rules = policy(approvals_required=2)
    run = awaiting(PLAN, rules)
    assert say(run, "approve", by="ann").accepted
    assert say(run, "approve", by="bob").accepted
    given = shown(run)
    assert isinstance(judged(given, rules), Permission)
    first, second = given.votes
    twice = given.model_copy(update={"votes": (first, second.model_copy(update={"approval": by(second, " ANN")}))})
    refused(judged(twice, rules), UNAPPROVED, "the plan's policy", "one vote per approver")


def test_a_part_of_an_approval_permits_no_other_part():
    given = evidence(steps=("a",))
    more = given.model_copy(update={"approved": ("a", "b")})
    assert isinstance(judged(given), Permission)
    refused(judged(more), UNAPPROVED, "the plan's policy", "step b is not approved")


TIGHTENED: list[tuple[str, dict[str, Any], str, tuple[str, ...]]] = [
    ("dry runs only", {"dry_run_only": True}, NEVER, ("dry_run_only",)),
    ("other approvers", {"approvers": ("bob",)}, UNAPPROVED, ("the approval by 'boss' does not count",)),
    ("more approvals", {"approvals_required": 2}, UNAPPROVED, ("1 of 2 votes",)),
    ("confidence", {"confidence_threshold_for_live": 0.99}, UNAPPROVED, ("confidence 0.9 of step 'a' is below 0.99",)),
    ("permissions", {"agents": {"bot": {"permissions": []}}}, UNAPPROVED, ("'bot' of step 'p' lacks permission money",)),
    ("budget", {"budget": {"live_calls": 1}}, UNAPPROVED, ("budget.live_calls",)),
    ("age", {"approval_valid_for": "30m"}, UNAPPROVED, ("older than 30m",)),
]


@pytest.mark.parametrize(("knobs", "kind", "words"), [row[1:] for row in TIGHTENED], ids=[row[0] for row in TIGHTENED])
def test_the_stricter_policy_of_today_refuses_and_is_named(knobs, kind, words):
    given = evidence(plan(step("a", confidence=0.9), step("p", "pay")))
    assert isinstance(judged(given, hours=1), Permission)
    answer = judged(given, policy(**knobs), hours=1)
    refused(answer, kind, "today's policy", *words)
    assert isinstance(answer, EntryRefused)
    assert answer.policy == policy(**knobs).digest()


@pytest.mark.parametrize(
    ("knobs", "words"),
    [({"approvals_required": 2}, "1 of 2 votes"), ({"approvers": ("bob",)}, "'boss' does not count")],
)
def test_the_plans_own_policy_is_named_where_it_refuses_itself(knobs, words):
    rules = policy(**knobs)
    # the attacker claims an approval that the plan's own policy never allowed
    given = evidence()
    sealed = given.sealed.model_copy(update={"policy_hash": rules.digest()})
    digest = seal(sealed)
    votes = tuple(
        vote.model_copy(update={"approval": vote.approval.model_copy(update={"digest": digest})}) for vote in given.votes
    )
    forged = given.model_copy(update={"sealed": sealed, "digest": digest, "policy": rules, "votes": votes})
    refused(judged(forged), UNAPPROVED, "the plan's policy", words)
    refused(judged(forged, rules), UNAPPROVED, "the plan's policy", words)


def test_a_vote_after_the_time_for_approval_does_not_count():
    given = evidence()
    (vote,) = given.votes
    late = given.model_copy(update={"votes": (vote.model_copy(update={"at": later(25)}),)})
    refused(judged(late), UNAPPROVED, "the plan's policy", "the time for approval has expired")
    refused(judged(given, hours=24), UNAPPROVED, "the plan's policy", "older than 24h")


def test_what_the_plans_policy_waived_needs_a_vote_where_todays_does_not_waive_it():
    rules = policy(approval_waived_for=["MEDIUM"])
    run = awaiting(plan(step("a")), rules)
    given = shown(run).model_copy(update={"approved": ("a",)})
    assert isinstance(judged(given, rules), Permission)
    refused(judged(given), UNAPPROVED, "today's policy", "0 of 1 votes")


def test_a_waiver_that_the_seal_claims_and_no_policy_gives_is_refused():
    forged = _sealed_again(evidence(plan(step("m", "mail"))), approval_waived=True).model_copy(update={"votes": ()})
    refused(judged(forged), UNAPPROVED, "the plan's policy", "0 of 1 votes")


def test_a_signature_that_only_today_demands():
    private, line = _key()
    today = policy(signature_required="always", authorized_keys=[line])
    given = evidence()
    refused(judged(given, today), UNAPPROVED, "today's policy", "signature")
    (vote,) = given.votes
    signature = sign(read_private_key(private), "p-1", vote.approval, given.digest)
    signed = vote.approval.model_copy(update={"signature": signature})
    good = given.model_copy(update={"votes": (vote.model_copy(update={"approval": signed}),)})
    assert isinstance(judged(good, today), Permission)


def test_a_key_that_was_withdrawn_does_not_sign_any_more():
    private, line = _key()
    rules = policy(signature_required="always", authorized_keys=[line])
    run = awaiting(PLAN, rules)
    approval = Approve(by="boss", digest=str(run.digest))
    assert say(run, "approve", signature=sign(read_private_key(private), "p-1", approval, str(run.digest))).accepted
    assert isinstance(judged(shown(run), rules), Permission)
    refused(judged(shown(run), policy()), UNAPPROVED, "today's policy", "no authorized key")


def _key() -> tuple[bytes, str]:
    key = Ed25519PrivateKey.generate()
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " boss"
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), line


def test_a_contract_that_changed_since_is_refused():
    tools = [make_tool("write", "MEDIUM", "reversible", compensate=True, resources=("row:{key}",), timeout=31.0)]
    given = evidence(plan(step("a")))
    refused(judged(given, tools=Catalogue(tools)), ELSEWHERE, "the contract of write on this worker")
    earlier = given.model_copy(update={"epoch": SINCE_EPOCH - 1})
    refused(judged(earlier, tools=Catalogue(tools)), UNAPPROVED, "the contract of write on this worker")


def test_rules_of_today_do_not_judge_the_contracts_of_another_generation():
    """A tool that became riskier would need more confidence, but not on the workers that have the approved contract."""
    tools = [make_tool("write", "HIGH", "reversible", compensate=True, resources=("row:{key}",))]
    given = evidence(plan(step("a", confidence=0.82)))
    refused(judged(given, tools=Catalogue(tools)), ELSEWHERE, "the contract of write on this worker")


def test_a_tool_that_is_gone_is_refused():
    tools = Catalogue([make_tool("read", "LOW", "read_only")])
    refused(judged(evidence(plan(step("a"))), tools=tools), ELSEWHERE, "no tool 'write'")


def test_evidence_of_another_plan_is_refused():
    refused(judged(evidence(), workflow="plan-p-2"), STALE, "that of plan-p-1")
    refused(judged(evidence(), workflow="undo-p-1"), STALE, "that of plan-p-1")
