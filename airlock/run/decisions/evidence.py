"""The evidence that a plan may go LIVE: what was sealed and who approved it, for a worker that believes no other."""

from datetime import datetime

from pydantic import Field

from airlock.admission.policy import Policy
from airlock.base.model import WireModel, is_empty
from airlock.gates.protocol import AcquireRequest
from airlock.run.sealing.earlier_seal import EarlierSeal, needed_seals
from airlock.run.sealing.sealed import Sealed
from airlock.run.standing_decisions import Vote
from airlock.run.state import Run


class Evidence(WireModel):
    """Everything that the live role needs to judge an approval again. Nothing in it is believed because it is here."""

    sealed: Sealed
    digest: str
    """The digest of `sealed`, which the votes name."""
    policy: Policy
    """The policy that the plan was admitted under."""
    sealed_at: datetime | None = None
    """The time of the sealing, UTC; None for a seal of a version that did not keep it."""
    votes: tuple[Vote, ...] = ()
    """The approvals that were counted, whole; empty where the policy waives them."""
    earlier: tuple[EarlierSeal, ...] = Field(default=(), exclude_if=is_empty)
    """The seals from the oldest one that a vote names to the current one, oldest first, if amendments lie between."""
    approved: tuple[str, ...] = ()
    """The steps that the run believes to be approved."""
    live: tuple[str, ...] = ()
    """The steps that were called under this seal already."""
    undone: dict[str, int] = Field(default_factory=dict)
    """The number of times that the call of a step was compensated, where that is not 0."""
    epoch: int = 0
    """The rules of the run."""
    resource: str = ""
    """One resource of the plan, whose hash is in `resource_index` if both workers have the same index key."""
    resource_index: tuple[str, ...] = ()
    """The hashes of the plan's resources as admission made them; empty without an index key."""


class EntryRequest(AcquireRequest):
    """The request of a run that wants to go LIVE: what it needs, and the evidence or the receipt of earlier evidence."""

    evidence: Evidence | None = None


def evidence_of(run: Run) -> Evidence | None:
    """Return the evidence of a run that was approved; None without a seal."""
    if run.sealed is None or run.digest is None:
        return None
    admitted, live = run.contracts(), set(run.live)
    touched = {
        name
        for step in admitted.live_candidates
        if not admitted.contract(step).read_only
        for name in admitted.steps[step].resources
    }
    return Evidence(
        sealed=run.sealed,
        digest=run.digest,
        policy=admitted.policy,
        sealed_at=run.sealed_at,
        votes=run.votes,
        earlier=needed_seals(run.earlier, run.votes),
        approved=run.approved,
        live=tuple(step for step in run.approved if step in live),
        undone={step: record.undone for step, record in run.calls.items() if record.undone},
        epoch=admitted.epoch,
        resource=min(touched, default=""),
        resource_index=admitted.resource_index,
    )
