"""The record of one seal of a run: all that its digest is made of, and what the hashes in it stand for."""

from datetime import datetime

from pydantic import Field

from airlock.admission.policy import Policy
from airlock.base.model import WireModel
from airlock.plans.contract import Contract
from airlock.run.sealing.sealed import Sealed


class SealRecord(WireModel):
    """One seal of a run, with the policy and the contracts whose hashes it holds."""

    digest: str
    sealed: Sealed
    sealed_at: datetime | None = None
    """The time of the sealing, UTC; None for a seal of a version that did not keep it."""
    policy: Policy | None = None
    """None if the run does not know the policy of that time any more."""
    contracts: dict[str, Contract] = Field(default_factory=dict)
    """The contracts of the steps, by their digest."""


class SealsView(WireModel):
    """One page of the seals that a run has made or carried, oldest first."""

    seals: tuple[SealRecord, ...] = ()
    next: int | None = None
    """The number of the first seal of the next page; None on the last."""


def seals_view(seals: list[SealRecord], first: int, most: int = 1_000_000) -> SealsView:
    """Return the page of seals that begins at one of them.

    Args:
        seals: All seals, oldest first.
        first: The number of the first one, from 0.
        most: The size at which a page ends, in characters of JSON. A page has at least one seal.
    """
    page: list[SealRecord] = []
    size = 0
    for seal in seals[max(first, 0) :]:
        size += len(seal.model_dump_json())
        if page and size > most:
            return SealsView(seals=tuple(page), next=max(first, 0) + len(page))
        page.append(seal)
    return SealsView(seals=tuple(page))
