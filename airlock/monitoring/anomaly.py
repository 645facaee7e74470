"""Anomalies: four kinds, each with a minimum sample, a window, and its evidence (DESIGN section 13)."""

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
"""Live calls below which nothing is said about success and drift."""
MIN_PLANS = 10
"""Plans below which nothing is said about rollbacks and conflicts."""
LOOKED_AT = (Window.HOUR, Window.DAY)
"""The windows an anomaly is looked for in; the first with enough in it decides. What is longer ago is no anomaly."""


class Anomaly(WireModel):
    """Something is wrong now.

    `severity` is 1-10. `value` is beyond `threshold` (both 0.0-1.0) over `sample` calls or plans of the `window`; `minimum`
    is how many it takes to say so. `evidence` says in a sentence what was seen, `action` what to do.
    """

    kind: AnomalyKind
    severity: int
    window: Window
    value: float
    threshold: float
    sample: int
    minimum: int
    evidence: str
    action: str


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
    """Return the anomalies at `at`, UTC, the gravest first.

    An anomaly is looked for in the last hour; where too little happened in it, in the last day. So it is found early where
    there is much traffic, goes away within the hour once things are well again, and is never raised by what is long past.
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


def _drift_seen(facts: Aggregate) -> str:
    return f"agents stated a confidence of {stated_confidence(facts) or 0.0:.2f} on average, {_failures_seen(facts)}"


def _failures_seen(facts: Aggregate) -> str:
    live = facts.tally(Mode.LIVE)
    worst = ", ".join(f"{tool.tool} {tool.ok} of {tool.calls}" for tool in worst_tools(facts, 3))
    return f"{live.ok} of {live.calls} live calls worked" + (f"; worst: {worst}" if worst else "")


def _rollbacks_seen(facts: Aggregate) -> str:
    return f"{facts.rolled_back} of {facts.ended_live} runs that ended after LIVE were rolled back"


def _conflicts_seen(facts: Aggregate) -> str:
    kinds = sorted(facts.conflicted_by.items(), key=lambda item: (-item[1], item[0]))
    most = ", ".join(f"{kind.value} in {number}" for kind, number in kinds)
    return f"{facts.conflicted} of {facts.rehearsals} plans had a conflict ({most})"


_RULES = (
    _Rule(
        kind=AnomalyKind.UNSAFE_ESCALATION, severity=7, threshold=0.4, below=False, minimum=MIN_CALLS,
        sample=_calls, value=confidence_drift, evidence=_drift_seen,
        action="raise confidence_threshold_for_live, or set calibrated_confidence; look at the worst tools",
    ),
    _Rule(
        kind=AnomalyKind.REPEATED_FAILURES, severity=8, threshold=0.5, below=True, minimum=MIN_CALLS,
        sample=_calls, value=_success, evidence=_failures_seen,
        action="lock, find out what the worst tools have in common (credentials, a target that is down), unlock",
    ),
    _Rule(
        kind=AnomalyKind.HIGH_ROLLBACK, severity=6, threshold=0.3, below=False, minimum=MIN_PLANS,
        sample=lambda facts: facts.ended_live, value=lambda facts: facts.rolled_back / facts.ended_live,
        evidence=_rollbacks_seen,
        action="before approving more like them, compare what they previewed with what failed",
    ),
    _Rule(
        kind=AnomalyKind.HIGH_CONFLICT, severity=8, threshold=0.5, below=False, minimum=MIN_PLANS,
        sample=lambda facts: facts.rehearsals, value=lambda facts: facts.conflicted / facts.rehearsals,
        evidence=_conflicts_seen,
        action="see which resources plans share; order them within one plan, or submit fewer at a time",
    ),
)  # fmt: skip
