"""Anomalies: four rules, each with a minimum sample, a window and its evidence (DESIGN section 13)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from airlock.base.model import WireModel
from airlock.gates.protocol import AnomalyKind
from airlock.monitoring.aggregation import Aggregate
from airlock.monitoring.health import confidence_drift, stated_confidence, worst_tools
from airlock.monitoring.rolling import Window, Windows
from airlock.plans.contract import Mode

MIN_CALLS = 20
"""Minimum of live calls for the rules about success and drift."""
MIN_PLANS = 10
"""Minimum of plans for the rules about rollbacks and conflicts."""
LOOKED_AT = (Window.HOUR, Window.DAY)
"""Windows examined, in this order; the first with the minimum sample decides. Older facts are no anomaly."""


class Anomaly(WireModel):
    """Anomaly that exists now."""

    kind: AnomalyKind
    severity: int
    """1 to 10."""
    window: Window
    value: float
    """Observed share, 0.0-1.0; it is beyond the threshold."""
    threshold: float
    """0.0-1.0."""
    sample: int
    """Number of calls, or plans, in the window."""
    minimum: int
    """Smallest sample for which the rule applies."""
    evidence: str
    """The observation, in one sentence."""
    action: str
    """The recommended action."""


@dataclass(frozen=True)
class _Rule:
    kind: AnomalyKind
    severity: int
    threshold: float
    below: bool
    minimum: int
    sample: Callable[[Aggregate], int]
    value: Callable[[Aggregate], float | None]
    evidence: Callable[[Aggregate], str]
    action: str


def anomalies(windows: Windows, at: datetime) -> tuple[Anomaly, ...]:
    """Return the anomalies at `at`, UTC, the most severe first.

    A rule examines the last hour, or the last day where the hour has too few calls or plans. Busy systems find an anomaly
    early, it disappears within the hour after the cause is fixed, and old facts never raise one.
    """
    facts = {window: windows.window(window, at) for window in LOOKED_AT}
    found = [anomaly for rule in _RULES if (anomaly := _judge(rule, facts)) is not None]
    return tuple(sorted(found, key=lambda anomaly: (-anomaly.severity, anomaly.kind)))


def _judge(rule: _Rule, looked_at: Mapping[Window, Aggregate]) -> Anomaly | None:
    for window, facts in looked_at.items():
        sample = rule.sample(facts)
        if sample < rule.minimum:
            continue
        value = rule.value(facts)
        if value is None or not (value < rule.threshold if rule.below else value > rule.threshold):
            return None
        return Anomaly(
            kind=rule.kind,
            severity=rule.severity,
            window=window,
            value=value,
            threshold=rule.threshold,
            sample=sample,
            minimum=rule.minimum,
            evidence=rule.evidence(facts),
            action=rule.action,
        )
    return None


def _calls(facts: Aggregate) -> int:
    return facts.tally(Mode.LIVE).calls


def _success(facts: Aggregate) -> float:
    live = facts.tally(Mode.LIVE)
    return live.ok / live.calls


def _drift_evidence(facts: Aggregate) -> str:
    return f"agents stated a confidence of {stated_confidence(facts) or 0.0:.2f} on average, {_failure_evidence(facts)}"


def _failure_evidence(facts: Aggregate) -> str:
    live = facts.tally(Mode.LIVE)
    worst = ", ".join(f"{tool.tool} {tool.ok} of {tool.calls}" for tool in worst_tools(facts, 3))
    return f"{live.ok} of {live.calls} live calls worked" + (f"; worst: {worst}" if worst else "")


def _rollback_evidence(facts: Aggregate) -> str:
    return f"{facts.rolled_back} of {facts.ended_live} runs that ended after LIVE were rolled back"


def _conflict_evidence(facts: Aggregate) -> str:
    kinds = sorted(facts.conflicted_by.items(), key=lambda item: (-item[1], item[0]))
    most = ", ".join(f"{kind.value} in {number}" for kind, number in kinds)
    return f"{facts.conflicted} of {facts.rehearsals} plans had a conflict ({most})"


_RULES = (
    _Rule(
        kind=AnomalyKind.UNSAFE_ESCALATION, severity=7, threshold=0.4, below=False, minimum=MIN_CALLS,
        sample=_calls, value=confidence_drift, evidence=_drift_evidence,
        action="raise confidence_threshold_for_live, or set calibrated_confidence; look at the worst tools",
    ),
    _Rule(
        kind=AnomalyKind.REPEATED_FAILURES, severity=8, threshold=0.5, below=True, minimum=MIN_CALLS,
        sample=_calls, value=_success, evidence=_failure_evidence,
        action="lock, find the common cause of the worst tools (credentials, a target that is down), unlock",
    ),
    _Rule(
        kind=AnomalyKind.HIGH_ROLLBACK, severity=6, threshold=0.3, below=False, minimum=MIN_PLANS,
        sample=lambda facts: facts.ended_live, value=lambda facts: facts.rolled_back / facts.ended_live,
        evidence=_rollback_evidence,
        action="compare their previews with the calls that failed before you approve similar plans",
    ),
    _Rule(
        kind=AnomalyKind.HIGH_CONFLICT, severity=8, threshold=0.5, below=False, minimum=MIN_PLANS,
        sample=lambda facts: facts.rehearsals, value=lambda facts: facts.conflicted / facts.rehearsals,
        evidence=_conflict_evidence,
        action="see which resources plans share; order them within one plan, or submit fewer at a time",
    ),
)  # fmt: skip
