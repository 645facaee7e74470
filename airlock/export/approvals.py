"""Lines of `approvals.jsonl`: one seal of a plan, all that its digest is made of, and every decision about it.

The lines of a plan are one hash chain, whose last hash stands in the plan's line. The hash of a line leaves `content` out,
because `digest` says what it is: a plan has the same chain whether its arguments are exported or only their salted hashes.
"""

from typing import Literal

from pydantic import Field, JsonValue

from airlock.export.fields import ExportedModel, Hash, Time
from airlock.export.lines import Link, OfPlan


class SealDecision(ExportedModel):
    """Approval or denial that arrived while a seal was in force, whether it counted or was refused."""

    entry: int = Field(ge=1)
    """Number of the entry in the plan's chain that records it."""
    run_id: str
    """Temporal run that stored it."""
    event_id: int = Field(ge=1)
    """Number of the event in the history of that run."""
    decision: Literal["approve", "deny"]
    counted: bool
    """False if it was refused."""
    by: str
    reason: str
    """Reason of the refusal, or of the decision."""
    stored_at: Time | None
    """Time of the event in Temporal; None if Temporal has forgotten it."""
    recorded_at: Time
    """Time at which the run recorded its verdict."""
    steps: tuple[str, ...]
    """Steps that it decided about; empty if it was refused."""
    message: JsonValue
    """Object that the sender wrote; None if Temporal has forgotten it, or `left_out` gives the reason."""
    left_out: str = ""
    key: str | None
    """Line of the policy's `authorized_keys` whose key made the signature; None without a signature that fits."""


class StepVoices(ExportedModel):
    """Counted decisions about one step of a seal."""

    step: str
    approved_by: tuple[str, ...] = ()
    denied_by: tuple[str, ...] = ()


class SealLine(OfPlan, Link):
    """Line of `approvals.jsonl`: one seal."""

    digest: Hash
    sealed_at: Time | None
    replaced: str | None
    """Reason why another seal took its place; None for the last seal of the plan."""
    content: dict[str, JsonValue] | None
    """Everything that the digest is made of: the digest is the SHA-256 of its canonical JSON. None if `missing`."""
    content_hash: Hash | None = None
    """Digest of `content` as it stands here, if values in it were replaced by salted hashes."""
    missing: str = ""
    """Reason why there is no content."""
    policy: dict[str, JsonValue] | None
    """Policy that the plan was admitted under; `content.policy_hash` is its digest. None if its run did not tell it."""
    contracts: dict[Hash, dict[str, JsonValue]]
    """Contracts of the steps, by their digest, which is the `contract_hash` of a step in `content`."""
    decisions: tuple[SealDecision, ...]
    """Decisions about this seal, oldest first. Those that came before the first seal are only entries of the plan."""
    by_step: tuple[StepVoices, ...]
    """Voices of each step that may go live under this seal; of an undo, of each step that it undoes."""
