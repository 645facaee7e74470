"""Answers of gates as tagged unions: `GateAnswer` of one gate, `AcquireResult` of all the gates a plan asked.

Both cross process boundaries between workers of different versions, and both stand in the histories of open runs.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, computed_field, model_validator

from airlock.base.model import WireModel, WorkerMessage, is_empty
from airlock.gates.protocol import ClosedGate, EntryRefused, GateWait, HeldSlot
from airlock.signing.signed_decision import SignedDecision


class _Answer(WireModel, WorkerMessage):
    """Answer of one gate to the update `acquire`."""

    nonce: str = ""
    """Nonce of the request, so that an old answer fits no new request."""


class SlotGranted(_Answer):
    """The gate granted a slot, now or when the same request was sent before."""

    status: Literal["granted"] = "granted"
    fence: int
    """Number of this grant; it rises with every grant of the gate."""
    slots: int
    """Number of slots granted, 1 up to the number requested; 0 for reads, which need none (`SlotRequest.passing`)."""
    own_release: bool = Field(default=False, exclude_if=is_empty)
    """Value of `HeldSlot.own_release`."""


class SlotQueued(_Answer):
    """The request waits in the gate's queue."""

    status: Literal["queued"] = "queued"
    position: int
    """Position in the queue, from 1."""
    holders: tuple[str, ...] = ()
    """Workflow ids of the first holders of the gate."""


class GateBusy(_Answer):
    """The gate has no free slot, and the request does not wait or the queue is full."""

    status: Literal["busy"] = "busy"
    holders: tuple[str, ...] = ()
    """Workflow ids of the first holders of the gate."""
    why: str = ""
    """The limit that was reached; empty if the request does not wait."""


class GateClosed(_Answer):
    """A lock closes the gate for the holder's scopes."""

    status: Literal["closed"] = "closed"
    by: str
    """The person, or program, that locked the gate."""
    why: str
    """The gate, the scope and the reason of the lock, in one sentence."""
    proof: tuple[SignedDecision, ...] = Field(default=(), exclude_if=is_empty)
    """Signed decision of the person who locked it; empty if it was not signed."""


class OverBudget(_Answer):
    """The request exceeds the budget of an agent."""

    status: Literal["over_budget"] = "over_budget"
    why: str
    """The agent, the budget and the numbers, in one sentence."""


# A worker up to version 0.1 reads these with one model that has all fields, each with a default: it misses nothing.
GateAnswer = Annotated[SlotGranted | SlotQueued | GateBusy | GateClosed | OverBudget, Field(discriminator="status")]


class _Acquisition(WireModel, WorkerMessage):
    """Answer of the activity `acquire`. Every kind keeps the slots that were granted up to there."""

    held: tuple[HeldSlot, ...] = ()
    """All slots that the plan holds now."""
    receipt: str = ""
    """Receipt of the live role for the evidence; the run shows it at its next entry and with its calls."""
    tokens: dict[str, str] = Field(default_factory=dict, exclude_if=is_empty)
    """Proof of the live role, by step, that its call was approved; empty if the request carried a receipt already."""

    @model_validator(mode="before")
    @classmethod
    def _name_kind(cls, answer: Any) -> Any:
        """Add the field `kind` to an answer of a worker up to version 0.1, which set one of four fields instead.

        Remove this when no run is open that began under version 0.1: its history holds such answers.
        """
        if not isinstance(answer, Mapping) or "kind" in answer:
            return answer
        kind = next((kind for field, kind in _KIND_BY_FIELD.items() if answer.get(field)), "granted")
        return {**answer, "kind": kind}


class AcquireGranted(_Acquisition):
    """Every gate granted a slot, and the claims were taken."""

    kind: Literal["granted"] = "granted"
    claimed: dict[str, str] = Field(default_factory=dict)
    """Workflow id of the claim, by step."""
    duplicates: dict[str, str] = Field(default_factory=dict)
    """Reason, by step, for steps that must not be called: another plan made the same call, makes it or may have made it."""
    permit_pass: str = ""
    """Proof of the live role that every gate granted this stay."""


# `waiting`, `busy`, `closed` and `refused` are the fields that workflow workers up to version 0.1 read. Such a worker
# ignores `kind`: under other names it would take these answers for grants. Rename them only when no such worker runs.


class AcquireQueued(_Acquisition):
    """The plan waits in the queue of a gate; it was not asked for claims."""

    kind: Literal["queued"] = "queued"
    waiting: GateWait


class AcquireBusy(_Acquisition):
    """A gate has no slot and no room in its queue for the plan."""

    kind: Literal["busy"] = "busy"
    busy: GateWait


class AcquireClosed(_Acquisition):
    """A lock keeps the plan out."""

    kind: Literal["closed"] = "closed"
    closed: ClosedGate


class AcquireRefused(_Acquisition):
    """The live gate refused the plan because of a budget."""

    kind: Literal["refused"] = "refused"
    refused: Annotated[str, StringConstraints(min_length=1)]
    """The agent, the budget and the numbers, in one sentence."""


class AcquireDenied(_Acquisition):
    """The live role did not let the plan enter."""

    kind: Literal["denied"] = "denied"
    refusal: EntryRefused

    @computed_field  # type: ignore[prop-decorator]
    @property
    def refused(self) -> str:
        """Reason in the field that a workflow worker up to version 0.1 reads: it locks the run."""
        return self.refusal.why or "the live role refused"


_KIND_BY_FIELD = {"waiting": "queued", "busy": "busy", "closed": "closed", "refusal": "denied", "refused": "refused"}

# Without a discriminator on purpose. Temporal strips `Annotated` from the type hints of activities, so that a discriminator
# would be lost; a member of a plain union accepts its own kind only, with or without Temporal.
AcquireResult = AcquireGranted | AcquireQueued | AcquireBusy | AcquireClosed | AcquireRefused | AcquireDenied
