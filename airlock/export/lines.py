"""Lines of the JSONL files: every line, and every event in it, is a link of a hash chain.

Three files have lines about plans, in one order; `plan_index` counts the plans from 0. None means that there is no data, and
never zero. Fields are only ever added.
"""

from pydantic import Field, JsonValue

from airlock.base.model import is_empty
from airlock.export.fields import SCHEMA_VERSION, Count, ExportedModel, Hash, Share, Time, Version1, is_absent
from airlock.plans.contract import Mode
from airlock.plans.state import State
from airlock.run.audit import AuditKind
from airlock.run.outcome import Outcome
from airlock.signing.signed_decision import SignedDecision


class Link(ExportedModel):
    """Link of a hash chain."""

    seq: int = Field(default=1, ge=1)
    """Number in the chain, from 1."""
    prev: Hash = ""
    """Hash of the link before it."""
    hash: Hash = ""
    """Hash of all fields except `plan_index` and `hash`."""


class Correlated(ExportedModel):
    """Ids under which other systems know a plan; absent where the plan names none."""

    phase21_plan_id: str | None = Field(default=None, exclude_if=is_empty)
    phase22_validation_id: str | None = Field(default=None, exclude_if=is_empty)


class HistoryEvent(Correlated, Link):
    """Recorded event of a plan."""

    run_id: str
    """Temporal run that the event comes from."""
    event_id: int = Field(ge=1)
    """Number of the event in the history of that run."""
    timestamp: Time
    by: str
    reason: str


class AuditEvent(HistoryEvent):
    """Event outside transitions and rollbacks: admission, decision, refusal, call, drift or conflict."""

    kind: AuditKind
    what: str
    """Name of the event; of a conflict its kind."""
    step: str | None = None
    digest: str | None = None
    answer: str | None = None
    """Answer to a conflict; settlement of a `resolve`."""
    seal: str | None = Field(default=None, exclude_if=is_empty)
    """Digest of the seal that a call belongs to, for calls, their drift and their undo."""
    signed: SignedDecision | None = Field(default=None, exclude_if=is_empty)
    """The signed statement of a person, with its evidence; absent for any event that is not a signed decision."""
    gate: bool = Field(default=False, exclude_if=is_empty)
    """True if a message said that this person decided it at a gate; `signed` proves that, where it was signed there."""
    also: tuple[SignedDecision, ...] = Field(default=(), exclude_if=is_empty)
    """Signed decisions of other people who decided the same at the gate before."""


class OfPlan(Correlated):
    """First fields of every line of a plan."""

    schema_version: Version1 = SCHEMA_VERSION
    plan_index: Count = 0
    """Number of the plan in this export, from 0."""
    plan_id: str
    workflow_id: str
    """`plan-<plan_id>`, or `undo-<plan_id>` for its later undo."""


class TransitionLine(OfPlan, HistoryEvent):
    """Line of `execution_state_transitions.jsonl`: one transition of a plan, with its author and reason."""

    from_state: State
    to_state: State
    event: str
    digest: str | None = None
    """Digest of the seal at that time; None before the first seal."""


class RollbackLine(OfPlan, HistoryEvent):
    """Line of `rollback_events.jsonl`: the end of the undo of one call."""

    step: str
    tool_name: str | None
    event: str
    """`undone`, `undo_failed` or `kept`."""
    seal: str | None = Field(default=None, exclude_if=is_empty)
    """Digest of the seal that was in force."""


class ToolResult(ExportedModel):
    """Result of one step of a plan."""

    step: str
    tool_name: str
    agent: str
    status: str
    success: bool | None = None
    """True if the live call took effect, whether or not it was undone later; None without a live call, or in doubt."""
    calls: Count = 0
    """Number of live calls that ended; retries within one are not counted."""
    confidence: Share | None = None
    risk: str | None = None
    reversibility: str | None = None
    ceiling: Mode | None = None
    reasons: tuple[str, ...] = ()
    attempt: Count = 0
    seconds: float | None = Field(default=None, ge=0)
    """Duration of the last attempt."""
    drift: tuple[str, ...] = ()
    error: str = ""
    votes: Count | None = Field(default=None, exclude_if=is_absent)
    """Counted approvals of the step, under all seals of the plan; absent in an export without `approvals.jsonl`."""
    denials: Count | None = Field(default=None, exclude_if=is_absent)
    """Counted denials of the step, under all seals of the plan."""


class ExecutionResult(ExportedModel):
    """Results of a plan. An execution is a step with a live call; mocks and dry runs are not executions."""

    successful_executions: Count
    failed_executions: Count
    in_doubt_executions: Count
    """Executions of which it is unknown whether they took effect."""
    tool_results: tuple[ToolResult, ...]
    conflicts_detected: Count
    conflicts_resolved: Count
    """Conflicts with an answer."""
    rollbacks_executed: Count
    """Successful compensations."""
    refused_messages: Count
    """Signals and decisions that were refused."""


class ExecutionLine(OfPlan, Link):
    """Line of `tool_execution_log.jsonl`: one plan, or the undo of one.

    It is the last link of the plan's hash chain. The other links are `events` and the plan's lines in the two other files,
    ordered by `seq`.
    """

    first_run_id: str
    """Run at which the chain begins."""
    run_id: str
    """Last run that was read."""
    event_id: int = Field(ge=1)
    """Last event of that run that was read."""
    undo: bool
    """True for the undo of a plan after its end."""
    goal: str
    requested_by: str
    submitted_at: Time
    closed_at: Time | None
    """None while the plan is open."""
    temporal_status: str
    """Status of the run in Temporal, such as `COMPLETED`."""
    state: State
    outcome: Outcome | None
    """None while the plan is open."""
    why: str
    digest: str | None
    result: ExecutionResult
    transitions: Count
    """Number of the plan's lines in `execution_state_transitions.jsonl`."""
    rollback_events: Count
    """Number of the plan's lines in `rollback_events.jsonl`."""
    seals: Count | None = Field(default=None, exclude_if=is_absent)
    """Number of the plan's lines in `approvals.jsonl`; absent in an export without that file."""
    seals_hash: Hash | None = Field(default=None, exclude_if=is_absent)
    """Hash of the last of these lines; without any, the hash at which their chain begins."""
    events: tuple[AuditEvent, ...]


class LearningSignal(ExportedModel):
    """Learning signal of the monitors."""

    signal_type: str
    tool_name: str | None
    """None if the signal is not about a single tool."""
    insight: str
    recommended_action: str
    confidence: Share
    target_phase: str
    """Consumer: `16` the reward model, `19` meta-learning."""
    evidence: dict[str, JsonValue] = Field(default_factory=dict)


class SignalLine(LearningSignal, Link):
    """Line of `learning_signals.jsonl`; the lines of the file are one hash chain."""

    schema_version: Version1 = SCHEMA_VERSION
