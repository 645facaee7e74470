"""The votes that an amendment leaves standing, and the earlier seals that prove what they were given for (ADR 0015)."""

from collections.abc import Sequence
from datetime import datetime

from airlock.base.text import listed
from airlock.run.decisions.approval import not_allowed
from airlock.run.decisions.approval_age import votes_in_force
from airlock.run.decisions.approval_today import rules_of
from airlock.run.decisions.authority import refusal
from airlock.run.decisions.vote_scope import as_named, counts_for, people, voices
from airlock.run.sealing.earlier_seal import MAX_EARLIER, MAX_EARLIER_BYTES, EarlierSeal, followed, needed_seals
from airlock.run.sealing.sealed import Sealed
from airlock.run.standing_decisions import Vote
from airlock.run.state import Run


def keep_votes(run: Run, before: EarlierSeal, votes: Sequence[Vote], now: datetime) -> None:
    """Keep the votes that still count after an amendment, with the earlier seals that they name.

    Those of people who may not approve the amended plan, that are too old, or that no step is left for, are dropped.

    Args:
        run: The plan's run, with the new seal; changed in place.
        before: The seal that was amended.
        votes: The votes that counted for it.
        now: UTC.
    """
    assert run.sealed is not None
    every = tuple(step.id for step in before.sealed.steps)
    chain = followed((*run.earlier, before.model_copy(update={"steps": every})), before.sealed, run.sealed)
    run.earlier = _bounded(chain[-MAX_EARLIER:])
    run.votes = tuple(votes)
    asked = _asked(run.sealed)
    recent = votes_in_force(run, run.contracts().policy.approval_valid_for_seconds, now)
    run.votes = tuple(
        vote
        for vote in recent
        if counts_for(run, vote.approval) & asked and not not_allowed(run, vote.approval.by) and _may_still(run, vote)
    )
    run.earlier = needed_seals(run.earlier, run.votes)


def _may_still(run: Run, vote: Vote) -> bool:
    """Return False if its person has decided something since after which the policy lets no person approve: to amend."""
    named = as_named(run, vote.approval)
    return named is not None and refusal(named, vote.approval, rules_of(run)) is None


def _asked(sealed: Sealed) -> frozenset[str]:
    return frozenset(step.id for step in sealed.steps if not step.approval_waived)


def _bounded(chain: Sequence[EarlierSeal]) -> tuple[EarlierSeal, ...]:
    """Return the latest seals of a chain that are not too large together."""
    kept: list[EarlierSeal] = []
    room = MAX_EARLIER_BYTES
    for each in reversed(chain):
        room -= len(each.sealed.model_dump_json())
        if room < 0:
            break
        kept.insert(0, each)
    return tuple(kept)


def forget_votes(run: Run) -> None:
    """Let all approvals be given again, because a run with the seals that they name is too large to be stored."""
    run.votes, run.earlier = (), ()


def kept_sentence(run: Run) -> str:
    """Return which approvals an amendment left standing, as a sentence; empty if none."""
    if not run.earlier:
        return ""
    steps = [step for step, names in voices(run, run.votes).items() if names]
    return f"approvals by {listed(people(run, run.votes))} still count for {listed(steps)}"
