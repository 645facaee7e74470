"""Documents among the exported files: conflicts, system health and the summary. None means no data, and never zero."""

from enum import StrEnum

from pydantic import Field

from airlock.admission.conflicts.conflict import Answer, ConflictKind
from airlock.export.fields import (
    SCHEMA_VERSION,
    Count,
    ExportedModel,
    Hash,
    Score,
    Share,
    Time,
    Version1,
    Version2,
    is_absent,
)
from airlock.run.outcome import Outcome


class Document(ExportedModel):
    """File with one JSON document."""

    schema_version: Version1 = SCHEMA_VERSION
    parts: dict[str, Hash] = Field(default_factory=dict)
    """Digest of every other field."""
    hash: Hash = ""
    """Digest of `parts`."""


class ToolConflicts(Document):
    """`tool_conflicts.json`: numbers of conflicts. The conflicts themselves are events in `tool_execution_log.jsonl`."""

    total_conflicts: Count
    by_type: dict[ConflictKind, Count]
    by_resolution_strategy: dict[Answer, Count]


class Assessment(StrEnum):
    """Tier of the health score; `NO_DATA` without a score."""

    EXCELLENT = "EXCELLENT"
    GOOD = "GOOD"
    FAIR = "FAIR"
    POOR = "POOR"
    NO_DATA = "NO_DATA"


class LatencyMs(ExportedModel):
    """Duration of live calls, in milliseconds."""

    p50: float = Field(ge=0)
    """Median."""
    p95: float = Field(ge=0)
    """95th percentile."""


class HealthMetrics(ExportedModel):
    """The eight metrics of DESIGN section 13, each None without data."""

    tool_success_rate: Share | None
    execution_latency_ms: LatencyMs | None
    rollback_frequency: Share | None
    conflict_rate: Share | None
    live_execution_ratio: Share | None
    confidence_drift: Share | None
    approval_rate: Share | None
    system_health_score: Score | None


class HealthAnomaly(ExportedModel):
    """Anomaly at the time of the last report."""

    anomaly_type: str
    severity: int = Field(ge=1, le=10)
    description: str
    recommended_action: str
    window: str
    value: Share
    """Observed share; it is beyond the threshold."""
    threshold: Share
    samples: Count
    """Number of calls, or plans, in the window."""
    minimum_samples: Count
    """Smallest sample for which the rule applies."""


class SystemHealth(Document):
    """`system_health.json`: the health of the whole system."""

    health_assessment: Assessment
    health_score: Score | None
    """Middle of `score_low` and `score_high`."""
    score_low: Score | None
    """Score if the parts without data were at their worst."""
    score_high: Score | None
    """Score if the parts without data were at their best."""
    approval_accuracy: Share | None
    """Share of runs that completed without a rollback, of the approved runs that ended."""
    samples: dict[str, Count]
    """Sample sizes behind the metrics."""
    anomalies: tuple[HealthAnomaly, ...]
    metrics: HealthMetrics
    timestamp: Time | None
    """Time of the last report, so that the same reports give the same file."""


class FileDigest(ExportedModel):
    """Digest of a file at the time of the export."""

    lines: Count
    bytes: Count
    """Size of the file."""
    sha256: Hash
    """SHA-256 of its bytes."""


class UnreadablePlan(ExportedModel):
    """Plan that the export could not read: no other file has lines of it, or only those of an earlier export."""

    workflow_id: str
    run_id: str
    why: str


class OrchestrationSummary(Document):
    """`orchestration_summary.json`: the totals, and the digests of the other files. Its `hash` is the root digest."""

    schema_version: Version2 = 2  # type: ignore[assignment]
    """1 for an export of seven files, without `approvals.jsonl` and the fields about it."""
    pipeline_id: str
    start_time: Time | None
    """Time of the first submission."""
    end_time: Time | None
    """Time of the last event."""
    plans_processed: Count
    plans_successful: Count
    """Plans that ended `completed`, `partial` or `rehearsed`."""
    plans_failed: Count
    """Plans that ended with another outcome."""
    plans_open: Count
    undos_processed: Count
    """Undos of plans after their end; they are not counted as plans."""
    by_outcome: dict[Outcome, Count]
    total_tools_executed: Count
    """Steps whose live call took effect or failed."""
    total_in_doubt: Count
    total_conflicts: Count
    total_rollbacks: Count
    """Successful compensations."""
    total_transitions: Count
    total_learning_signals: Count
    total_seals: Count | None = Field(default=None, exclude_if=is_absent)
    """Lines of `approvals.jsonl`."""
    total_approvals: Count | None = Field(default=None, exclude_if=is_absent)
    """Approvals that counted."""
    total_denials: Count | None = Field(default=None, exclude_if=is_absent)
    """Denials that counted."""
    unreadable: tuple[UnreadablePlan, ...] | None = Field(default=None, exclude_if=is_absent)
    """Plans that are missing, or as an earlier export knew them, because they could not be read."""
    left_out: tuple[str, ...] | None = Field(default=None, exclude_if=is_absent)
    """Workflow ids of plans that the exporter chose to leave out."""
    files: dict[str, FileDigest]
