"""Votes: the approvals of a run that were accepted, and what they add up to."""

from datetime import datetime

from airlock.admission.policy import Policy
from airlock.base.text import count, listed
from airlock.plans.state import Event
from airlock.run.audit import AuditKind
from airlock.run.decisions.approval import approved_steps, steps_without_quorum
from airlock.run.decisions.approval_age import expiry_of_votes
from airlock.run.decisions.approval_today import rules_of, votes_that_count
from airlock.run.decisions.vote_scope import counts_for, names_current, people, same_voter
from airlock.run.standing_decisions import Vote
from airlock.run.state import Run


def take_vote(run: Run, vote: Vote, now: datetime, today: Policy | None = None) -> None:
    """Count an accepted approval, and go live once the votes are enough.

    Earlier votes that got too old, or that today's policy does not count any more, are dropped.

    Args:
        run: The plan's run; changed in place.
        vote: The approval, with the time at which it was given.
        now: UTC.
        today: The policy of today; None if only the plan's policy counts.
    """
    rules = rules_of(run, today)
    counted = votes_that_count(run, rules, vote.at)
    kept = set(map(id, counted))
    for lost in run.votes:
        if id(lost) not in kept:
            why = "this approval does not count any more: it is too old, or today's policy refuses it"
            run.record(AuditKind.REFUSED, "approve", now, by=lost.approval.by, reason=why, digest=run.digest)
    run.votes = (*(each for each in counted if not _replaced(run, each, vote)), vote)
    run.entry_refusals = 0
    run.approved = approved_steps(run, today)
    run.approved_until = expiry_of_votes(run, rules.policy.approval_valid_for_seconds)
    if run.approved:
        by = ", ".join(people(run, run.votes))
        left = steps_without_quorum(run)
        without = f"; not approved: {listed(left)}" if left else ""
        run.apply(Event.APPROVED, now, by=by, reason=f"{count(len(run.approved), 'step')} approved{without}")


def _replaced(run: Run, earlier: Vote, vote: Vote) -> bool:
    """Return True if a vote says again what the same person said before an amendment."""
    by_same = not names_current(run, earlier.approval) and same_voter(run, earlier.approval.by, vote.approval.by)
    return by_same and counts_for(run, earlier.approval) <= counts_for(run, vote.approval)
