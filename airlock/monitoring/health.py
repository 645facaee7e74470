"""System health: eight metrics, one score, a tier (DESIGN section 13). Missing data never counts as a perfect score."""

from enum import StrEnum
from typing import Final

from airlock.base.model import WireModel
from airlock.base.proportion import Interval, wilson
from airlock.monitoring.aggregation import Aggregate, Decision, ToolStats
from airlock.plans.contract import Mode


class Tier(StrEnum):
    """Tiers of the score: from 90, from 75, from 60, and below."""

    EXCELLENT = "EXCELLENT"
    GOOD = "GOOD"
    FAIR = "FAIR"
    POOR = "POOR"


TIER_FROM: Final = {Tier.EXCELLENT: 90.0, Tier.GOOD: 75.0, Tier.FAIR: 60.0, Tier.POOR: 0.0}
"""Lowest score of each tier, 0-100."""
WEIGHTS: Final = {"success": 0.30, "rollback": 0.15, "conflict": 0.15, "drift": 0.10, "approval_accuracy": 0.30}
"""Weight of each part of the score; the sum is 1."""
WANTED_LOW: Final = ("rollback", "conflict", "drift")
"""Parts for which lower is better."""


class Parts(WireModel):
    """Parts of the score, each 0.0-1.0, or None without data."""

    success: float | None = None
    rollback: float | None = None
    conflict: float | None = None
    drift: float | None = None
    approval_accuracy: float | None = None


class Score(WireModel):
    """Health score, 0-100 with two decimals."""

    value: float
    """Middle of `low` and `high`."""
    low: float
    """Score if the parts without data were at their worst."""
    high: float
    """Score if the parts without data were at their best."""
    tier: Tier


class Latency(WireModel):
    """Duration of successful live calls, in milliseconds, accurate to 5 %."""

    p50: float
    """Median."""
    p95: float
    """95th percentile."""


class Metrics(WireModel):
    """The eight metrics, each None without data."""

    tool_success_rate: float | None
    """Share of live calls that succeeded, of those that ended; a call in doubt is no success."""
    execution_latency_ms: Latency | None
    rollback_frequency: float | None
    """Share of runs that were rolled back, of those that ended and had been LIVE."""
    conflict_rate: float | None
    """Share of plans with a conflict, of those that admission admitted."""
    live_execution_ratio: float | None
    """Share of live calls, of the calls in any mode."""
    confidence_drift: float | None
    """Distance between the mean confidence stated before live calls and their success rate."""
    approval_rate: float | None
    """Share of approvals, of the plans that approvers decided or let expire."""
    system_health_score: float | None
    """0-100."""


class Samples(WireModel):
    """Sample sizes behind the metrics."""

    calls: int
    """Live calls."""
    rehearsals: int
    """Plans that admission examined."""
    ended_live: int
    """Runs that ended and had been LIVE."""
    decisions: int
    """Plans that approvers decided or let expire."""


class Health(WireModel):
    """Health of the system, or of one window of it."""

    metrics: Metrics
    approval_accuracy: float | None
    """Share of runs that completed without a rollback, of the approved runs that ended."""
    score: Score | None
    samples: Samples


def score_of(parts: Parts) -> Score | None:
    """Return `100 * (0.30·success + 0.15·(1-rollback) + 0.15·(1-conflict) + 0.10·(1-drift) + 0.30·approval_accuracy)`.

    Without data on success there is no score, and the result is None. Where another part has no data, `low` takes that part
    at its worst and `high` at its best, and the score is the middle: missing data alone neither makes it 100 nor raises an
    alarm. The score never falls when a part improves.
    """
    if parts.success is None:
        return None
    low = high = 0.0
    for name, weight in WEIGHTS.items():
        part = getattr(parts, name)
        if part is None:
            high += weight
            continue
        good = min(max(1.0 - part if name in WANTED_LOW else part, 0.0), 1.0)
        low, high = low + weight * good, high + weight * good
    value = _percent((low + high) / 2)
    return Score(value=value, low=_percent(low), high=_percent(high), tier=tier_of(value))


def _percent(share: float) -> float:
    return round(min(max(100.0 * share, 0.0), 100.0), 2)


def tier_of(score: float) -> Tier:
    """Return the tier of a score, 0-100; a bound belongs to the better tier."""
    return next((tier for tier, lowest in TIER_FROM.items() if score >= lowest), Tier.POOR)


def health_of(facts: Aggregate) -> Health:
    """Return the metrics and the score of an aggregate."""
    live = facts.tally(Mode.LIVE)
    calls = sum(facts.tally(mode).calls for mode in Mode)
    decisions = sum(number for end, number in facts.decided.items() if end is not Decision.WAIVED)
    parts = Parts(
        success=_share(live.ok, live.calls),
        rollback=_share(facts.rolled_back, facts.ended_live),
        conflict=_share(facts.conflicted, facts.rehearsals),
        drift=confidence_drift(facts),
        approval_accuracy=_share(facts.clean, facts.ended_live),
    )
    score = score_of(parts)
    return Health(
        metrics=Metrics(
            tool_success_rate=parts.success,
            execution_latency_ms=_latency(facts),
            rollback_frequency=parts.rollback,
            conflict_rate=parts.conflict,
            live_execution_ratio=_share(live.calls, calls),
            confidence_drift=parts.drift,
            approval_rate=_share(facts.decided.get(Decision.APPROVED, 0), decisions),
            system_health_score=score.value if score else None,
        ),
        approval_accuracy=parts.approval_accuracy,
        score=score,
        samples=Samples(calls=live.calls, rehearsals=facts.rehearsals, ended_live=facts.ended_live, decisions=decisions),
    )


def stated_confidence(facts: Aggregate) -> float | None:
    """Return the mean confidence that agents stated before live calls, 0.0-1.0; None without live calls."""
    every = sum((stats for stats in facts.tools.values()), facts.other_tools)
    return every.stated


def confidence_drift(facts: Aggregate) -> float | None:
    """Return `|mean stated confidence - success rate|` of live calls, 0.0-1.0; None without live calls."""
    live, stated = facts.tally(Mode.LIVE), stated_confidence(facts)
    return None if stated is None else abs(stated - live.ok / live.calls)


class WorstTool(WireModel):
    """Live calls of a tool with failures."""

    tool: str
    calls: int
    ok: int
    interval: Interval
    """95 % Wilson interval of the true success rate."""


def worst_tools(facts: Aggregate, limit: int = 5) -> tuple[WorstTool, ...]:
    """Return the worst tools with failed live calls, by the upper bound of their success rate, the lowest first.

    So twenty failures in forty calls come before one failure in one call, which says less.
    """
    found = [
        WorstTool(tool=name, calls=stats.live.calls, ok=stats.live.ok, interval=_success(stats))
        for name, stats in facts.tools.items()
        if stats.live.ok < stats.live.calls
    ]
    return tuple(sorted(found, key=lambda tool: (tool.interval.high, tool.tool))[:limit])


def _success(stats: ToolStats) -> Interval:
    return wilson(stats.live.ok, stats.live.calls)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _latency(facts: Aggregate) -> Latency | None:
    half, most = facts.latency.quantile(0.50), facts.latency.quantile(0.95)
    if half is None or most is None:
        return None
    return Latency(p50=round(half * 1_000, 1), p95=round(most * 1_000, 1))
