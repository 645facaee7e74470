"""The seven files that `export` writes: the model of every line and every document, and its JSON Schema.

Three files have lines about plans, in one order; `plan_index` counts the plans from 0. Every text is ASCII, every time UTC,
every share 0.0 to 1.0. None says that there is no data, never that something is zero. Fields are only ever added.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from airlock.admission.conflicts.conflict import Answer, ConflictKind
from airlock.plans.contract import Mode
from airlock.plans.state import State
from airlock.run.audit import AuditKind
from airlock.run.state import Outcome

SCHEMA_VERSION: Final = 1
EXECUTIONS: Final = "tool_execution_log.jsonl"
SUMMARY: Final = "orchestration_summary.json"
TRANSITIONS: Final = "execution_state_transitions.jsonl"
CONFLICTS: Final = "tool_conflicts.json"
ROLLBACKS: Final = "rollback_events.jsonl"
SIGNALS: Final = "learning_signals.jsonl"
HEALTH: Final = "system_health.json"


def _utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Score = Annotated[float, Field(ge=0, le=100)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Time = Annotated[AwareDatetime, AfterValidator(_utc)]


class ExportedModel(BaseModel):
    """Something that stands in one of the files: nothing is converted, and an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Link(ExportedModel):
    """One link of a hash chain: `hash` covers everything in it, `prev` included, but not `plan_index` and itself."""

    seq: int = Field(default=1, ge=1)
    prev: Hash = ""
    hash: Hash = ""


class HistoryEvent(Link):
    """One thing that happened to a plan. `event_id` is the event of the Temporal run `run_id` that it came from."""

    run_id: str
    event_id: int = Field(ge=1)
    timestamp: Time
    by: str
    reason: str


class AuditEvent(HistoryEvent):
    """An entry that is neither a transition nor part of a rollback: admission, decisions, refusals, calls, drift, conflicts.

    Of a conflict `what` is its kind and `answer` what was done about it; of a `resolve` it is the settlement that was said.
    """

    kind: AuditKind
    what: str
    step: str | None = None
    digest: str | None = None
    answer: str | None = None


class _OfPlan(ExportedModel):
    """The beginning of every line of a plan. `workflow_id` is `plan-<plan_id>`, or `undo-<plan_id>` for its later undo."""

    schema_version: Literal[1] = SCHEMA_VERSION
    plan_index: Count = 0
    plan_id: str
    workflow_id: str


class TransitionLine(_OfPlan, HistoryEvent):
    """A line of `execution_state_transitions.jsonl`: who moved a plan from one state to another, when and why.

    `digest` is the seal that was current, None before there was one.
    """

    from_state: State
    to_state: State
    event: str
    digest: str | None = None


class RollbackLine(_OfPlan, HistoryEvent):
    """A line of `rollback_events.jsonl`: how the undo of one call ended: `undone`, `undo_failed`, `kept`."""

    step: str
    tool_name: str | None
    event: str


class ToolResult(ExportedModel):
    """One step of a plan. `success` says whether its live call took effect, whatever became of it since.

    It is None where no live call was made and where it is not known: then `status` is `in_doubt`, or it was given up in
    doubt.
    `calls` counts live calls that ended, retries within one not counted; `seconds` is the duration of the last attempt.
    """

    step: str
    tool_name: str
    agent: str
    status: str
    success: bool | None = None
    calls: Count = 0
    confidence: Share | None = None
    risk: str | None = None
    reversibility: str | None = None
    ceiling: Mode | None = None
    reasons: tuple[str, ...] = ()
    attempt: Count = 0
    seconds: float | None = Field(default=None, ge=0)
    drift: tuple[str, ...] = ()
    error: str = ""


class ExecutionResult(ExportedModel):
    """The summary of a plan. Executions are steps with a live call, mocks and dry runs are none.

    `in_doubt_executions` may or may not have taken effect; `rollbacks_executed` counts compensations that worked;
    `conflicts_resolved` are those that got an answer; `refused_messages` counts signals and decisions that did not count.
    """

    successful_executions: Count
    failed_executions: Count
    in_doubt_executions: Count
    tool_results: tuple[ToolResult, ...]
    conflicts_detected: Count
    conflicts_resolved: Count
    rollbacks_executed: Count
    refused_messages: Count


class ExecutionLine(_OfPlan, Link):
    """A line of `tool_execution_log.jsonl`: one plan, or the undo of one. It ends the plan's hash chain.

    The chain begins at `first_run_id`; its links are `events` and, told apart by `seq`, the plan's lines in the two other
    files, `transitions` and `rollback_events` many. `run_id` and `event_id` are the last run and event that were read.
    An open plan has neither `outcome` nor `closed_at`. `temporal_status` is that of the run, such as `COMPLETED`.
    """

    first_run_id: str
    run_id: str
    event_id: int = Field(ge=1)
    undo: bool
    goal: str
    requested_by: str
    submitted_at: Time
    closed_at: Time | None
    temporal_status: str
    state: State
    outcome: Outcome | None
    why: str
    digest: str | None
    result: ExecutionResult
    transitions: Count
    rollback_events: Count
    events: tuple[AuditEvent, ...]


class LearningSignal(ExportedModel):
    """A learning signal for the consumer `target_phase`. `tool_name` is None where it is not about one tool."""

    signal_type: str
    tool_name: str | None
    insight: str
    recommended_action: str
    confidence: Share
    target_phase: str
    evidence: dict[str, JsonValue] = Field(default_factory=dict)


class SignalLine(LearningSignal, Link):
    """A line of `learning_signals.jsonl`; the lines of the file are one hash chain."""

    schema_version: Literal[1] = SCHEMA_VERSION


class Document(ExportedModel):
    """A file with one document. `parts` has the digest of every other field, and `hash` is the digest of `parts`."""

    schema_version: Literal[1] = SCHEMA_VERSION
    parts: dict[str, Hash] = Field(default_factory=dict)
    hash: Hash = ""


class ToolConflicts(Document):
    """`tool_conflicts.json`. The conflicts themselves are events of their plans, in `tool_execution_log.jsonl`."""

    total_conflicts: Count
    by_type: dict[ConflictKind, Count]
    by_resolution_strategy: dict[Answer, Count]


class Assessment(StrEnum):
    """The health score in a word; `NO_DATA` where there is none."""

    EXCELLENT = "EXCELLENT"
    GOOD = "GOOD"
    FAIR = "FAIR"
    POOR = "POOR"
    NO_DATA = "NO_DATA"


class LatencyMs(ExportedModel):
    """Durations of live calls, in milliseconds: half of them, and 95 of 100, took at most so long."""

    p50: float = Field(ge=0)
    p95: float = Field(ge=0)


class HealthMetrics(ExportedModel):
    """The eight metrics of DESIGN section 13; None where there is no data."""

    tool_success_rate: Share | None
    execution_latency_ms: LatencyMs | None
    rollback_frequency: Share | None
    conflict_rate: Share | None
    live_execution_ratio: Share | None
    confidence_drift: Share | None
    approval_rate: Share | None
    system_health_score: Score | None


class HealthAnomaly(ExportedModel):
    """Something is wrong: `value` is beyond `threshold`, over `samples` calls or plans of the `window`. Severity is 1 to 10.

    `minimum_samples` is how many it takes to say so.
    """

    anomaly_type: str
    severity: int = Field(ge=1, le=10)
    description: str
    recommended_action: str
    window: str
    value: Share
    threshold: Share
    samples: Count
    minimum_samples: Count


class SystemHealth(Document):
    """`system_health.json`. `timestamp` is when the last report came in, so that the same reports give the same file.

    `health_assessment` is `NO_DATA` where `health_score` is None. Where a part of the score has no data, the score is the
    middle between `score_low` and `score_high`. `samples` is what the metrics rest on.
    """

    health_assessment: Assessment
    health_score: Score | None
    score_low: Score | None
    score_high: Score | None
    approval_accuracy: Share | None
    samples: dict[str, Count]
    anomalies: tuple[HealthAnomaly, ...]
    metrics: HealthMetrics
    timestamp: Time | None


class FileDigest(ExportedModel):
    """A file as it was written. `bytes` is its size, `sha256` the digest of its bytes."""

    lines: Count
    bytes: Count
    sha256: Hash


class OrchestrationSummary(Document):
    """`orchestration_summary.json`: the totals, and the digests of the six other files; its `hash` is the root of it all.

    `start_time` is the first submission, `end_time` the last event. A plan is successful when it did what it may
    (`completed`, `partial`, `rehearsed`), failed when it ended otherwise, and else open. Undos after the end are
    counted apart. `total_tools_executed` are steps whose live call took effect or failed, `total_rollbacks` compensations
    that worked.
    """

    pipeline_id: str
    start_time: Time | None
    end_time: Time | None
    plans_processed: Count
    plans_successful: Count
    plans_failed: Count
    plans_open: Count
    undos_processed: Count
    by_outcome: dict[Outcome, Count]
    total_tools_executed: Count
    total_in_doubt: Count
    total_conflicts: Count
    total_rollbacks: Count
    total_transitions: Count
    total_learning_signals: Count
    files: dict[str, FileDigest]


LINES: Final[dict[str, type[Link]]] = {
    EXECUTIONS: ExecutionLine,
    TRANSITIONS: TransitionLine,
    ROLLBACKS: RollbackLine,
    SIGNALS: SignalLine,
}
"""The files with one line a record, by name."""
DOCUMENTS: Final[dict[str, type[Document]]] = {SUMMARY: OrchestrationSummary, CONFLICTS: ToolConflicts, HEALTH: SystemHealth}
"""The files with one document, by name."""
SEVEN_FILES: Final = (EXECUTIONS, SUMMARY, TRANSITIONS, CONFLICTS, ROLLBACKS, SIGNALS, HEALTH)


def export_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each file by its name without ending; of a JSONL file it is that of one line."""
    models: dict[str, type[BaseModel]] = {**LINES, **DOCUMENTS}
    return {name.partition(".")[0]: models[name].model_json_schema(mode="serialization") for name in SEVEN_FILES}
