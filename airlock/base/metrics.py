"""The metrics of Airlock, beside Temporal's: one table by which code, docs, dashboard and alerts are checked."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """The kind of a metric. A counter only grows while a process lives; a gauge is the value of the latest sample."""

    COUNTER = "counter"
    DURATION = "histogram"
    GAUGE = "gauge"


@dataclass(frozen=True)
class Metric:
    """One metric."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    text: str
    """A description with the unit."""

    @property
    def served(self) -> str:
        """The name under which Prometheus finds it: counters end in `_total`, durations in `_seconds`."""
        return self.name + {Kind.COUNTER: "_total", Kind.DURATION: "_seconds", Kind.GAUGE: ""}[self.kind]

    @property
    def series(self) -> tuple[str, ...]:
        """The names that a query may use."""
        if self.kind is Kind.DURATION:
            return tuple(f"{self.served}_{part}" for part in ("bucket", "sum", "count"))
        return (self.served,)


CALLS: Final = Metric(
    "airlock_calls",
    Kind.COUNTER,
    ("tool", "mode", "outcome"),
    "Attempts of calls that ended in this process, by outcome",
)
CALL_DURATION: Final = Metric(
    "airlock_call_duration", Kind.DURATION, ("tool", "mode"), "Duration of those attempts, in seconds"
)
PLANS_ENDED: Final = Metric(
    "airlock_plans_ended", Kind.COUNTER, ("outcome",), "Plans that ended in this process, undo runs included"
)
PLANS: Final = Metric("airlock_plans", Kind.GAUGE, ("state",), "Open plans, undo runs included, by state")
APPROVALS_WAITING: Final = Metric("airlock_approvals_waiting", Kind.GAUGE, (), "Open plans that wait for approval")
APPROVAL_OLDEST: Final = Metric(
    "airlock_approval_oldest_seconds", Kind.GAUGE, (), "Seconds that the oldest of them has waited; 0 if none waits"
)
GATE_WAITING: Final = Metric("airlock_gate_waiting", Kind.GAUGE, ("gate",), "Requests that wait at a gate")
GATE_USED: Final = Metric("airlock_gate_used", Kind.GAUGE, ("gate",), "Slots of a gate in use")
GATE_CAPACITY: Final = Metric("airlock_gate_capacity", Kind.GAUGE, ("gate",), "Slots of a gate")
GATE_LOCKS: Final = Metric(
    "airlock_gate_locks", Kind.GAUGE, ("gate",), "Locks on a gate; above 0 it refuses some or all holders"
)
MESSAGES_GIVEN_UP: Final = Metric(
    "airlock_messages_given_up", Kind.GAUGE, (), "Messages to people that were given up in the last hour"
)
HEALTH_SCORE: Final = Metric("airlock_health_score", Kind.GAUGE, ("window",), "The health score, 0-100; NaN without data")
ANOMALIES: Final = Metric(
    "airlock_anomalies", Kind.GAUGE, ("kind",), "Current anomalies, by kind; NaN if nothing was ever counted"
)
SAMPLED_AT: Final = Metric(
    "airlock_sampled_at_seconds",
    Kind.GAUGE,
    ("what",),
    "Time of the last sample of these gauges, in seconds since 1970 UTC",
)

METRICS: Final = (
    CALLS,
    CALL_DURATION,
    PLANS_ENDED,
    PLANS,
    APPROVALS_WAITING,
    APPROVAL_OLDEST,
    GATE_WAITING,
    GATE_USED,
    GATE_CAPACITY,
    GATE_LOCKS,
    MESSAGES_GIVEN_UP,
    HEALTH_SCORE,
    ANOMALIES,
    SAMPLED_AT,
)

DURATION_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Upper bounds of the buckets of `CALL_DURATION`, in seconds: from a local look-up to the longest timeout of a tool."""


class CallResult(StrEnum):
    """The outcome of one attempt: the values of the label `outcome` of `CALLS`."""

    WORKED = "worked"
    FAILED = "failed"
    AGAIN = "again"
    STALE = "stale"
    IN_DOUBT = "in_doubt"
    NOT_LOOKED = "not_looked"
