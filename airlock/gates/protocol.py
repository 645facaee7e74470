"""The messages between plans, gates and claims: one object in, one out."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field, JsonValue

from airlock.admission.budget import Spending
from airlock.admission.policy import WindowBudget
from airlock.base.model import WireModel, WorkerMessage


class GateStatus(StrEnum):
    """The kind of a gate's answer to a plan that asks for a slot."""

    GRANTED = "granted"
    QUEUED = "queued"
    BUSY = "busy"
    CLOSED = "closed"
    OVER_BUDGET = "over_budget"


class SlotRequest(WireModel, WorkerMessage):
    """The update `acquire` of a gate. Asking again with the same holder and request gives the same place.

    `run_id` is the holder's run: one that was reset, or started again, is not the one that was let in. `name` is what the
    gate guards, for people. `capacity` is what the asker's frozen policy or contract says; the gate goes
    by the latest. `slots` is the most the holder can use, 1 or more; it gets at least one or waits. Without `wait` it gets
    `busy` instead of a place in the queue. An `urgent` request (a rollback) goes before all that are not. `grace` is how
    many seconds a call of this holder may still run after the holder itself has vanished.

    Only for the live gate: `scopes` are the holder's `agent:x`, `tool:y` and `resource:z`, which a scoped lock closes it
    for (`resource:*` stands for any resource); `spending` is what each agent would use up now, `budgets` what it may.
    """

    holder: str
    request: str
    run_id: str = ""
    name: str = ""
    capacity: int = 1
    slots: int = 1
    wait: bool = True
    urgent: bool = False
    grace: float = 0.0
    scopes: tuple[str, ...] = ()
    spending: dict[str, Spending] = Field(default_factory=dict)
    budgets: dict[str, WindowBudget] = Field(default_factory=dict)


class GateAnswer(WireModel, WorkerMessage):
    """A gate's answer. `position` counts from 1; `by` and `why` name who closed it, or the budget that is exceeded."""

    status: GateStatus
    fence: int = 0
    slots: int = 0
    position: int = 0
    holders: tuple[str, ...] = ()
    by: str = ""
    why: str = ""


class Release(WireModel, WorkerMessage):
    """The signal `release` of a gate: gives back a place, or leaves the queue."""

    holder: str
    request: str


class Granted(WireModel, WorkerMessage):
    """The signal `granted` to a plan that waits. It is only news: the plan asks the gate again and believes that answer."""

    gate: str
    request: str = ""


class HeldSlot(WireModel):
    """A place a plan holds. `name` is the resource, the tool, or `live`."""

    gate: str
    name: str
    fence: int
    slots: int = 1


class GateWait(WireModel):
    """The gate a plan waits at. `position` counts from 1; `holders` are the workflow ids of those who are in.

    `urgent` says that it queues for a rollback.
    """

    gate: str
    name: str
    position: int = 0
    holders: tuple[str, ...] = ()
    urgent: bool = False


class ClosedGate(WireModel):
    """The person or monitor that closed the live gate, and the reason."""

    by: str
    reason: str


class ToolSlots(WireModel):
    """A plan's request to a tool with `max_concurrent`: up to `wanted` of `capacity` slots."""

    capacity: int
    wanted: int


class LiveSlot(WireModel):
    """A plan's request to the live gate; see `SlotRequest`."""

    capacity: int
    scopes: tuple[str, ...] = ()
    spending: dict[str, Spending] = Field(default_factory=dict)
    budgets: dict[str, WindowBudget] = Field(default_factory=dict)


class ClaimWanted(WireModel):
    """An irreversible call to be claimed. `digest` says which call it is (`airlock.admission.call_digest.call_digest`)."""

    step: str
    tool: str
    digest: str


class AcquireRequest(WireModel, WorkerMessage):
    """Everything a plan needs before it calls: gates in one order (resources, tools, the live gate), then claims.

    The first gate that does not grant at once ends the attempt; what is held by then stays held. `held` is what the plan
    holds already and need not ask for again. `request` tells stays of one plan in LIVE from one another. `reset` says that
    the run was reset, so that a call it made before the reset point is its own. `execution` is the first of the runs that
    this one continues: a plan that is started again under the same id is another execution.
    """

    plan_id: str
    holder: str
    request: str
    resources: tuple[str, ...] = ()
    tools: dict[str, ToolSlots] = Field(default_factory=dict)
    live: LiveSlot | None = None
    claims: tuple[ClaimWanted, ...] = ()
    held: tuple[HeldSlot, ...] = ()
    wait: bool = True
    urgent: bool = False
    grace: float = 0.0
    reset: bool = False
    execution: str = ""


class AcquireResult(WireModel, WorkerMessage):
    """All that a plan holds after asking. At most one of `waiting`, `busy`, `closed` and `refused` is set.

    `claimed` gives the claim's workflow id for each step; `duplicates` says for a step that another call like it was, or
    is being, or may have been made, and by which plan; such a step must not be called. Claims are taken only when every
    gate is
    held.
    """

    held: tuple[HeldSlot, ...] = ()
    waiting: GateWait | None = None
    busy: GateWait | None = None
    closed: ClosedGate | None = None
    refused: str = ""
    claimed: dict[str, str] = Field(default_factory=dict)
    duplicates: dict[str, str] = Field(default_factory=dict)


class ClaimOutcome(StrEnum):
    """The settlement of a claim: the call was made, or it certainly was not."""

    DONE = "done"
    FREE = "free"


class SettledClaim(WireModel):
    """A claim and what became of its call."""

    claim: str
    step: str
    outcome: ClaimOutcome


class LeaveRequest(WireModel, WorkerMessage):
    """The slots and claims that a plan returns. A claim that is not named stays: its call is in doubt, or still to come."""

    plan_id: str
    holder: str
    request: str
    gates: tuple[str, ...] = ()
    settled: tuple[SettledClaim, ...] = ()


class LeaveResult(WireModel, WorkerMessage):
    """`missed` are gates and claims that were not there any more; nothing is wrong with that."""

    missed: tuple[str, ...] = ()


class Permit(WireModel, WorkerMessage):
    """The update `permit` of a tool's gate: one call under a rate limit. Asking again with the same key keeps its turn."""

    key: str
    calls: int
    per: float


class PermitAnswer(WireModel, WorkerMessage):
    """`wait` is how many seconds to wait until the call may be made; 0 means now."""

    wait: float = 0.0


class HoldOff(WireModel, WorkerMessage):
    """The signal `hold_off` of a tool's gate: its target asked not to be called for so many seconds (a Retry-After)."""

    seconds: float
    reason: str = ""


class Claimed(WireModel, WorkerMessage):
    """A claim: the input of a ClaimWorkflow, its answer to the query `status`, and its result.

    `since` is when it was claimed, UTC. `note` says who settled it and why: `{"by", "reason"}`. `refused` counts the signals
    that made no sense or came from another holder. `execution` is that of its `AcquireRequest`.
    """

    plan_id: str
    step: str
    holder: str
    tool: str
    outcome: ClaimOutcome | None = None
    note: JsonValue = None
    since: datetime | None = None
    refused: int = 0
    last_refusal: str = ""
    execution: str = ""


class AnomalyKind(StrEnum):
    """The kind of an anomaly."""

    UNSAFE_ESCALATION = "unsafe_escalation"
    REPEATED_FAILURES = "repeated_failures"
    HIGH_ROLLBACK = "high_rollback"
    HIGH_CONFLICT = "high_conflict"


class LockWish(WireModel):
    """A monitor's request to lock the live gate: since when (UTC), for which anomaly, with its evidence as the reason."""

    at: datetime
    kind: AnomalyKind
    severity: int
    reason: str
