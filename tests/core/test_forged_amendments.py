"""Forged evidence of amendments: what the live role makes of it, and of votes for an earlier seal."""

from collections.abc import Callable
from typing import Any

import pytest

from airlock.gates.protocol import EntryRefused
from airlock.plans.seal import seal
from airlock.plans.state import State
from airlock.run.decisions.evidence import Evidence
from airlock.run.decisions.permission import STALE, UNAPPROVED, Permission
from airlock.run.rehearsal import begin_life
from airlock.run.sealing.earlier_seal import MAX_EARLIER
from airlock.run.state import Run
from tests.core.amend_build import OTHER_C, PLAN, TWO, change, permitted, shown
from tests.core.build import NOW, awaiting, later, policy, say


def honest() -> Run:
    """A run that went LIVE by votes of which the first was for the seal before an amendment."""
    run = awaiting(PLAN, TWO)
    begin_life(run, "life")
    run.sealed_at = NOW
    assert say(run, "approve", by="ann").accepted
    change(run, OTHER_C)
    assert say(run, "approve", by="bob").accepted
    assert say(run, "approve", by="cem").accepted
    assert run.state is State.LIVE
    assert len(run.earlier) == 1
    return run


def with_earlier(evidence: Evidence, **fields: Any) -> Evidence:
    (earlier,) = evidence.earlier
    sealed = earlier.sealed.model_copy(update=fields)
    return evidence.model_copy(update={"earlier": (earlier.model_copy(update={"sealed": sealed}),)})


def content_that_does_not_hash(evidence: Evidence) -> Evidence:
    """The old content shows the new step c, so that ann seems to have approved it."""
    return with_earlier(evidence, steps=evidence.sealed.steps)


def resealed(evidence: Evidence, sealed: Any) -> Evidence:
    """The same votes for another seal, which fits the chain."""
    digest = seal(sealed)
    votes = tuple(
        vote.model_copy(update={"approval": vote.approval.model_copy(update={"digest": digest})})
        if vote.approval.digest == evidence.digest
        else vote
        for vote in evidence.votes
    )
    return evidence.model_copy(update={"sealed": sealed, "digest": digest, "votes": votes})


def no_amendment(evidence: Evidence) -> Evidence:
    """The seal after a lock, which an old vote may not count for."""
    return resealed(evidence, evidence.sealed.model_copy(update={"amended": None}))


def another_plan(evidence: Evidence) -> Evidence:
    forged = with_earlier(evidence, plan_id="p-2", steps=evidence.sealed.steps)
    return only_old_votes(relinked(forged))


def relinked(evidence: Evidence) -> Evidence:
    """The current seal names the forged old one, and the old vote too."""
    (earlier,) = evidence.earlier
    digest = seal(earlier.sealed)
    votes = tuple(
        vote.model_copy(update={"approval": vote.approval.model_copy(update={"digest": digest})})
        if vote.approval.digest != evidence.digest
        else vote
        for vote in evidence.votes
    )
    linked = earlier.model_copy(update={"digest": digest, "steps": tuple("abcde")})
    changed = evidence.model_copy(update={"earlier": (linked,), "votes": votes})
    return resealed(changed, evidence.sealed.model_copy(update={"replaces": digest}))


def another_life(evidence: Evidence) -> Evidence:
    return only_old_votes(relinked(with_earlier(evidence, life="earlier")))


def other_rules(evidence: Evidence) -> Evidence:
    return only_old_votes(relinked(with_earlier(evidence, policy_hash="0" * 64)))


def claimed_steps(evidence: Evidence) -> Evidence:
    """The list of unchanged steps names the changed ones; it is not believed."""
    (earlier,) = evidence.earlier
    return only_old_votes(evidence.model_copy(update={"earlier": (earlier.model_copy(update={"steps": tuple("abcde")}),)}))


def only_old_votes(evidence: Evidence) -> Evidence:
    """Instead of cem, ann's old vote is to complete the quorum of c and d."""
    return evidence.model_copy(update={"votes": tuple(vote for vote in evidence.votes if vote.approval.by != "cem")})


def no_old_content(evidence: Evidence) -> Evidence:
    return evidence.model_copy(update={"earlier": ()})


def vote_of_a_removed_step(evidence: Evidence) -> Evidence:
    """The old vote names steps that the current seal does not have as they were."""
    first, *rest = evidence.votes
    named = first.model_copy(update={"approval": first.approval.model_copy(update={"steps": ("c",)})})
    return only_old_votes(evidence.model_copy(update={"votes": (named, *rest)}))


def hidden_proposer(evidence: Evidence) -> Evidence:
    """Bob amended the plan and approves it himself; the seal does not say so."""
    amended = evidence.sealed.amended
    assert amended is not None
    return resealed(evidence, evidence.sealed.model_copy(update={"amended": amended.model_copy(update={"by": "bob"})}))


def two_votes_of_one(evidence: Evidence) -> Evidence:
    """Bob's vote for the old seal is to be a second voice beside his vote for the new one."""
    first, bob, *_ = evidence.votes
    old = first.model_copy(update={"approval": first.approval.model_copy(update={"by": "BOB"})})
    return evidence.model_copy(update={"votes": (old, bob)})


def chain_too_long(evidence: Evidence) -> Evidence:
    return evidence.model_copy(update={"earlier": evidence.earlier * (MAX_EARLIER + 1)})


FORGED: list[tuple[Callable[[Evidence], Evidence], str, str]] = [
    (content_that_does_not_hash, STALE, "is not the one that was amended"),
    (no_amendment, STALE, "replaced by something else than an amendment"),
    (another_plan, UNAPPROVED, "is not approved"),
    (another_life, UNAPPROVED, "is not approved"),
    (other_rules, UNAPPROVED, "is not approved"),
    (claimed_steps, UNAPPROVED, "is not approved"),
    (only_old_votes, UNAPPROVED, "is not approved"),
    (no_old_content, UNAPPROVED, "not the digest of the current preview"),
    (vote_of_a_removed_step, UNAPPROVED, "does not count"),
    (hidden_proposer, STALE, "does not say who proposed step 'c'"),
    (two_votes_of_one, UNAPPROVED, "is not approved"),
    (chain_too_long, STALE, "approvals of more than"),
]


@pytest.mark.parametrize(("forge", "kind", "told"), FORGED, ids=lambda value: getattr(value, "__name__", None))
def test_forged_evidence_is_refused(forge: Callable[[Evidence], Evidence], kind: str, told: str):
    run = honest()
    assert isinstance(permitted(shown(run)), Permission)
    forged = forge(shown(run)).model_copy(update={"approved": tuple("abcde")})
    answer = permitted(forged)
    assert isinstance(answer, EntryRefused), answer
    assert (answer.kind, told in answer.why) == (kind, True), answer


def test_the_old_vote_is_judged_by_the_rules_of_its_own_seal():
    run = honest()
    evidence = shown(run)
    late = evidence.votes[0].model_copy(update={"at": later(25)})
    answer = permitted(evidence.model_copy(update={"votes": (late, *evidence.votes[1:])}))
    assert isinstance(answer, EntryRefused)
    assert "expired" in answer.why
    today = policy(approvals_required=2, approvers=["bob", "cem"])
    answer = permitted(evidence, today)
    assert isinstance(answer, EntryRefused)
    assert "today's policy: the approval by 'ann' does not count" in answer.why


def test_the_age_of_the_oldest_vote_ends_the_permission():
    rules = policy(approvals_required=2, approval_valid_for="3h")
    run = awaiting(PLAN, rules)
    assert say(run, "approve", by="ann").accepted
    change(run, OTHER_C, now=later(2), rules=rules)
    assert say(run, "approve", now=later(2), by="bob").accepted
    assert say(run, "approve", now=later(2), by="cem").accepted
    answer = permitted(shown(run), rules, hours=2)
    assert isinstance(answer, Permission)
    assert answer.until == later(3)
    assert isinstance(permitted(shown(run), rules, hours=3.1), EntryRefused)
