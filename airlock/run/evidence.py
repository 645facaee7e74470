"""What a run shows the live role before its first call: what was sealed, and who approved it."""

from datetime import datetime

from airlock.admission.policy import Policy
from airlock.base.model import WireModel
from airlock.gates.protocol import AcquireRequest
from airlock.run.messages import Approve
from airlock.run.sealed import Sealed


class VoteEvidence(WireModel):
    """One approval that was counted, whole, with its signature where it has one."""

    approval: Approve
    at: datetime
    """UTC."""


class Evidence(WireModel):
    """The seal of a run and what its approval rests on."""

    sealed: Sealed
    digest: str
    policy: Policy
    """The frozen policy of the plan; its digest is in the seal."""
    sealed_at: datetime
    """UTC."""
    votes: tuple[VoteEvidence, ...] = ()
    """Empty where the policy waives approval."""
    approved: tuple[str, ...] = ()
    """The steps that the run believes approved; the live role computes them again."""
    live: tuple[str, ...] = ()
    """The steps called under this seal already."""


class EntryRequest(AcquireRequest):
    """What a run needs before it calls, and the evidence that it may."""

    evidence: Evidence | None = None
    """Only in the first request of a run; later ones show the `receipt` for it."""
