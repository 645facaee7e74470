"""Earlier seals whose approvals still count for the steps that amendments left as they were (ADR 0015)."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final

from airlock.base.model import WireModel
from airlock.base.person import same_person
from airlock.plans.seal import names_digest, seal
from airlock.run.sealing.sealed import Sealed
from airlock.run.sealing.step_digest import kept_proposals, unchanged_steps
from airlock.run.standing_decisions import Vote

MAX_EARLIER: Final = 5
"""The amendments after which an approval counts no more."""
MAX_EARLIER_BYTES: Final = 500_000
"""The size of all earlier seals that a run keeps for their approvals, in bytes of JSON; of larger ones none counts."""


class EarlierSeal(WireModel):
    """One earlier seal, and the steps for which its approvals still count."""

    digest: str
    sealed: Sealed
    sealed_at: datetime | None = None
    """The time of the sealing, UTC."""
    steps: tuple[str, ...] = ()
    """The steps that every seal from this one to the current one shows alike."""


def followed(earlier: Iterable[EarlierSeal], before: Sealed, after: Sealed) -> tuple[EarlierSeal, ...]:
    """Return earlier seals after one more amendment, from the seal `before` to the seal `after`."""
    same = unchanged_steps(before, after)
    return tuple(each.model_copy(update={"steps": tuple(step for step in each.steps if step in same)}) for each in earlier)


def needed_seals(earlier: Sequence[EarlierSeal], votes: Iterable[Vote]) -> tuple[EarlierSeal, ...]:
    """Return earlier seals from the oldest one that a vote names; none if all votes name the current seal."""
    named = tuple(vote.approval.digest for vote in votes)
    for position, each in enumerate(earlier):
        if any(names_digest(digest, each.digest) for digest in named):
            return tuple(earlier[position:])
    return ()


def chain_problem(earlier: Sequence[EarlierSeal], current: Sealed) -> str:
    """Return why earlier seals do not lead to the current one by amendments alone; empty if they do.

    Each seal names the digest of the one that it replaced, and the amendment. So none can be left out or made up later.

    Args:
        earlier: The earlier seals, oldest first; only their content is believed.
        current: The content of the current seal.
    """
    if len(earlier) > MAX_EARLIER:
        return f"approvals of more than {MAX_EARLIER} seals ago do not count"
    for before, after in pairwise((*(each.sealed for each in earlier), current)):
        if after.replaces != seal(before):
            return "an earlier seal with approvals is not the one that was amended"
        if after.amended is None:
            return "an earlier seal with approvals was replaced by something else than an amendment"
        if step := unnamed_proposal(before, after):
            return f"the seal does not say who proposed step {step!r}"
    return ""


def unnamed_proposal(before: Sealed, after: Sealed) -> str:
    """Return a step that an amendment changed, and whose seal hides one of those who proposed it; empty if there is none.

    A person who proposed a step once stays among its proposers: the next amendment may leave part of it as it was.
    """
    assert after.amended is not None
    by, kept = after.amended.by, kept_proposals(before, after)
    known = {step.id: step.proposed_by for step in before.steps}
    for step in after.steps:
        due = set(known.get(step.id, ()))
        if step.id not in kept and not same_person(by, after.requested_by):
            due.add(by)
        if due - set(step.proposed_by):
            return step.id
    return ""


def proven_chain(earlier: Sequence[EarlierSeal], current: Sealed) -> tuple[EarlierSeal, ...]:
    """Return earlier seals with the digests and steps that their content proves.

    Args:
        earlier: The earlier seals, oldest first, which `chain_problem` found nothing wrong with.
        current: The content of the current seal.
    """
    known: tuple[EarlierSeal, ...] = ()
    for before, after in pairwise((*earlier, EarlierSeal(digest="", sealed=current))):
        every = tuple(step.id for step in before.sealed.steps)
        own = before.model_copy(update={"digest": seal(before.sealed), "steps": every})
        known = followed((*known, own), before.sealed, after.sealed)
    return known
