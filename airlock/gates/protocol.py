"""Messages between plans, gates and claims: one object in, one out. The answers of gates are in `answers`."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import FailFast, Field, JsonValue

from airlock.admission.budget import Spending
from airlock.admission.policy import WindowBudget
from airlock.base.model import WireModel, WorkerMessage, is_empty
from airlock.base.names import LIVE_GATE
from airlock.signing.signed_decision import SignedDecision

Names = Annotated[tuple[str, ...], FailFast()]
"""Names in a message that any client can send: of a list of wrong ones only the first is looked at."""


class SlotRequest(WireModel, WorkerMessage):
    """Update `acquire` of a gate. The same holder and request get the same slot again."""

    holder: str
    """Workflow id of the requester."""
    request: str
    """Name of the request; it tells the stays of one holder apart."""
    run_id: str = ""
    """Run of the holder. A run that was reset, or started again, is not the one that was granted the slot."""
    name: str = ""
    """Name of what the gate guards, shown to operators."""
    capacity: int = 1
    """Capacity of the gate in the holder's frozen policy or contract; the gate follows the latest request."""
    slots: int = 1
    """Number of slots that the holder can use, 1 or more. The gate grants at least one, or queues the request."""
    wait: bool = True
    """False if the gate should answer `busy` rather than queue the request."""
    urgent: bool = False
    """True if the request goes before all that are not urgent, as a rollback does."""
    grace: float = 0.0
    """Seconds that a call of the holder may run on after its workflow was closed."""
    scopes: Names = ()
    """Live gate only: `agent:x`, `tool:y` and `resource:z` that a scoped lock matches; `resource:*` is any resource."""
    spending: dict[str, Spending] = Field(default_factory=dict)
    """Live gate only: calls and cost that the request adds, by agent."""
    budgets: dict[str, WindowBudget] = Field(default_factory=dict)
    """Live gate only: limits, by agent."""
    execution: str = ""
    """First run of the holder's chain of continue-as-new."""
    nonce: str = ""
    """Random text of the worker that asks; the answer repeats it."""
    passing: bool = Field(default=False, exclude_if=lambda passing: not passing)
    """Live gate only: True for reads before a preview. They need the gate's consent, and no slot."""


class Release(WireModel, WorkerMessage):
    """Signal `release` of a gate: free a slot, or leave the queue."""

    holder: str
    request: str
    execution: str = ""
    """First run of the holder's chain of continue-as-new. A release of an earlier execution frees nothing."""
    doubts: Names = ()
    """Steps of the holder that are in doubt. The live gate holds them against the proof of a lock."""
    lost: Names = ()
    """Steps of which an attempt was lost with its worker, although a later attempt answered."""
    fence: int | None = Field(default=None, exclude_if=lambda fence: fence is None)
    """Fence of the slot that is released, because a reset repeats the name of a request; 0 for one that the holder was never
    told of. None of a worker that says no fences: then the name decides."""
    said_at: datetime | None = Field(default=None, exclude_if=lambda at: at is None)
    """Time at which the holder said it, UTC: what it said before settles no doubt. None of a worker that says no times."""


class Granted(WireModel, WorkerMessage):
    """Signal `granted` to a plan that waits. It is only a hint: the plan asks the gate again and relies on that answer."""

    gate: str
    request: str = ""


class HeldSlot(WireModel):
    """Slot that a plan holds."""

    gate: str
    """Workflow id of the gate."""
    name: str
    """Name of the resource or the tool, or `live`."""
    fence: int
    slots: int = 1
    """Number of slots held at this gate."""
    own_release: bool = Field(default=False, exclude_if=is_empty)
    """True if the gate also takes a release that a run of the holder signals itself; False of an earlier version."""


class GateWait(WireModel):
    """Gate at which a plan waits."""

    gate: str
    """Workflow id of the gate."""
    name: str
    """Name of the resource or the tool, or `live`."""
    position: int = 0
    """Position in the queue, from 1; 0 if the gate is busy and did not queue the plan."""
    holders: tuple[str, ...] = ()
    """Workflow ids of the first holders of the gate."""
    urgent: bool = False
    """True if the plan queues for a rollback."""


class ClosedGate(WireModel):
    """Lock that keeps a plan out of a gate."""

    by: str
    reason: str
    proof: tuple[SignedDecision, ...] = Field(default=(), exclude_if=is_empty)
    """Signed decision of the person who locked it; empty if it was not signed."""


class ToolSlots(WireModel):
    """Request for slots of a tool with `max_concurrent`."""

    capacity: int
    """Value of `max_concurrent`."""
    wanted: int
    """Number of slots that the plan can use."""


class LiveSlot(WireModel):
    """Request for a live slot. The fields are those of `SlotRequest`."""

    capacity: int
    scopes: tuple[str, ...] = ()
    spending: dict[str, Spending] = Field(default_factory=dict)
    budgets: dict[str, WindowBudget] = Field(default_factory=dict)


class ClaimWanted(WireModel):
    """Irreversible call to claim."""

    step: str
    tool: str
    digest: str
    """Digest of the call, from `airlock.admission.call_digest.call_digest`."""
    args: dict[str, JsonValue] | None = None
    """Canonical arguments with their references; from them and `outputs` a worker computes the digest. None: as it is."""
    outputs: dict[str, Any] = Field(default_factory=dict)
    """Outputs that the references read."""


class AcquireRequest(WireModel, WorkerMessage):
    """Everything that a plan needs before its calls: gates in one order (resources, tools, the live gate), then claims.

    The first gate that does not grant a slot immediately ends the attempt. The plan keeps the slots granted before that.
    """

    plan_id: str
    holder: str
    """Workflow id of the plan."""
    request: str
    """Number of the stay in LIVE or ROLLBACK, as text."""
    resources: tuple[str, ...] = ()
    tools: dict[str, ToolSlots] = Field(default_factory=dict)
    live: LiveSlot | None = None
    claims: tuple[ClaimWanted, ...] = ()
    held: tuple[HeldSlot, ...] = ()
    """Slots that the plan holds already; their gates are not asked again."""
    wait: bool = True
    urgent: bool = False
    grace: float = 0.0
    reset: bool = False
    """True if the run was reset, so that the claim of a call it made before the reset point is its own."""
    execution: str = ""
    """First of the runs that this one continues. A plan that is started again under the same id is another execution."""
    receipt: str = ""
    """Receipt of the live role from an earlier entry of this run, so that it need not examine the evidence again."""


class EntryRefused(WireModel):
    """Refusal of the live role to let a run enter."""

    kind: str
    """`stale`: the seal does not fit; `unapproved`: policy, votes, age or a contract; `never`: the policy forbids it;
    `elsewhere`: this worker has another contract of a call; `again`: the request itself is not proved."""
    why: str
    """One sentence that names the policy that refused."""
    policy: str = ""
    """Digest of the policy that refused."""


class ClaimOutcome(StrEnum):
    """Outcome of a claim: the call was made, or it certainly was not."""

    DONE = "done"
    FREE = "free"


class SettledClaim(WireModel):
    """Claim with the outcome of its call."""

    claim: str
    step: str
    outcome: ClaimOutcome


class LeaveRequest(WireModel, WorkerMessage):
    """Slots that a plan releases, and claims that it settles.

    A claim that is not listed stays open: its call is in doubt, or not made yet.
    """

    plan_id: str
    holder: str
    request: str
    gates: tuple[str, ...] = ()
    settled: tuple[SettledClaim, ...] = ()
    doubts: tuple[str, ...] = ()
    """Value of `Release.doubts` for the live gate."""
    lost: tuple[str, ...] = ()
    """Value of `Release.lost` for the live gate."""
    execution: str = ""
    """First of the runs that this one continues, as in `AcquireRequest`."""
    fences: dict[str, int] | None = Field(default=None, exclude_if=lambda fences: fences is None)
    """Fence of each slot that the plan holds, by gate; None of a worker that says no fences."""
    said_at: datetime | None = Field(default=None, exclude_if=lambda at: at is None)
    """Value of `Release.said_at` for the live gate."""

    def release_at(self, gate: str) -> Release:
        """Return what one of its gates is told."""
        live = gate == LIVE_GATE
        return Release(
            holder=self.holder,
            request=self.request,
            execution=self.execution,
            doubts=self.doubts if live else (),
            lost=self.lost if live else (),
            said_at=self.said_at if live else None,
            fence=None if self.fences is None else self.fences.get(gate, 0),
        )


class LeaveResult(WireModel, WorkerMessage):
    """Answer to a `LeaveRequest`."""

    missed: tuple[str, ...] = ()
    """Gates and claims that did not exist any more, which is not an error."""


class Permit(WireModel, WorkerMessage):
    """Update `permit` of a tool's gate: one call under a rate limit."""

    key: str
    """Name of the call. The same key keeps its turn."""
    calls: int
    """Number of calls that the limit allows."""
    per: float
    """Window of the limit, in seconds."""


class PermitAnswer(WireModel, WorkerMessage):
    """Answer to a `Permit`."""

    wait: float = 0.0
    """Seconds until the call may be made; 0 means now."""


class HoldOff(WireModel, WorkerMessage):
    """Signal `hold_off` of a tool's gate: the target asked for a pause, such as a Retry-After."""

    seconds: float
    """Length of the pause."""
    reason: str = ""


class Claimed(WireModel, WorkerMessage):
    """State of a claim: the input of a ClaimWorkflow, the answer of its query `status`, and its result."""

    plan_id: str
    step: str
    holder: str
    """Workflow id of the plan that claimed the call."""
    tool: str
    outcome: ClaimOutcome | None = None
    """None until the claim is settled."""
    note: JsonValue = None
    """Author and reason of the settlement: `{"by", "reason"}`."""
    since: datetime | None = None
    """Time of the claim, UTC."""
    refused: int = 0
    """Number of signals refused, because they were malformed or did not come from the holder."""
    last_refusal: str = ""
    execution: str = ""
    """Value of `AcquireRequest.execution`."""
    stay: str = ""
    """Value of `AcquireRequest.request`."""
    epoch: int = 0
    """Number of the rules that apply (`airlock.base.epoch`)."""


class AnomalyKind(StrEnum):
    """Kinds of anomalies that a monitor finds."""

    UNSAFE_ESCALATION = "unsafe_escalation"
    REPEATED_FAILURES = "repeated_failures"
    HIGH_ROLLBACK = "high_rollback"
    HIGH_CONFLICT = "high_conflict"


class LockWish(WireModel):
    """Wish of a monitor to have the live gate locked."""

    at: datetime
    """Time of the wish, UTC."""
    kind: AnomalyKind
    severity: int
    reason: str
    """Evidence for the anomaly."""
