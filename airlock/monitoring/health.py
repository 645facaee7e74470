"""Health: eight metrics, one score, a tier (DESIGN section 13). No data is no data, never 100."""

from enum import StrEnum
from typing import Final

from airlock.base.model import WireModel
from airlock.base.proportion import Interval, wilson
from airlock.monitoring.aggregation import Aggregate, Decision, ToolStats
from airlock.plans.contract import Mode


class Tier(StrEnum):
    """The score in a word: at least 90, 75, 60, and below."""

    EXCELLENT = "EXCELLENT"
    GOOD = "GOOD"
    FAIR = "FAIR"
    POOR = "POOR"


TIER_FROM: Final = {Tier.EXCELLENT: 90.0, Tier.GOOD: 75.0, Tier.FAIR: 60.0, Tier.POOR: 0.0}
"""The lowest score of each tier, 0-100."""
WEIGHTS: Final = {"success": 0.30, "rollback": 0.15, "conflict": 0.15, "drift": 0.10, "approval_accuracy": 0.30}
"""The weight of each part of the score; together 1."""
WANTED_LOW: Final = ("rollback", "conflict", "drift")
"""The parts that are better the lower they are."""


class Parts(WireModel):
    """The parts of the score, each 0.0-1.0, None where there is no data."""

    success: float | None = None
    rollback: float | None = None
    conflict: float | None = None
    drift: float | None = None
    approval_accuracy: float | None = None


class Score(WireModel):
    """The score, 0-100 with two decimals. It is the middle between `low` and `high`, which differ where data is missing."""

    value: float
    low: float
    high: float
    tier: Tier


class Latency(WireModel):
    """The duration of live calls that succeeded, in milliseconds, within 5 %.

    At most so long for half and for 95 % of them.
    """

    p50: float
    p95: float


class Metrics(WireModel):
    """The eight metrics; None where there is no data.

    `tool_success_rate`: live calls that worked, of those that ended; a call in doubt has not worked.
    `rollback_frequency`: runs that were rolled back, of those that ended and had been LIVE.
    `conflict_rate`: plans in which admission found a conflict, of those it admitted.
    `live_execution_ratio`: live calls, of calls in any mode.
    `confidence_drift`: distance between the mean confidence stated before live calls and their success rate.
    `approval_rate`: approvals, of all times a plan waited for people and they decided or let it expire.
    """

    tool_success_rate: float | None
    execution_latency_ms: Latency | None
    rollback_frequency: float | None
    conflict_rate: float | None
    live_execution_ratio: float | None
    confidence_drift: float | None
    approval_rate: float | None
    system_health_score: float | None


class Samples(WireModel):
    """The sizes of the samples: live calls, plans that admission looked at, runs that ended after LIVE, decisions."""

    calls: int
    rehearsals: int
    ended_live: int
    decisions: int


class Health(WireModel):
    """The whole in numbers. `approval_accuracy`: runs that completed without rollback, of approved ones that ended."""

    metrics: Metrics
    approval_accuracy: float | None
    score: Score | None
    samples: Samples


def score_of(parts: Parts) -> Score | None:
    """Return the score, 0-100.

    `100 * (0.30·success + 0.15·(1-rollback) + 0.15·(1-conflict) + 0.10·(1-drift) + 0.30·approval_accuracy)`.

    Without data on success there is none. Where another part has no data, the score could be anything from what it would be
    with that part at its worst (`low`) to what it would be at its best (`high`); it is the middle of the two, so that
    missing data can neither make it 100 nor raise an alarm by itself. It never falls when a part gets better.
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
    """Return the metrics and the score of what was counted."""
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
    """Return the mean confidence agents stated before live calls, 0.0-1.0; None when there were none."""
    every = sum((stats for stats in facts.tools.values()), facts.other_tools)
    return every.stated


def confidence_drift(facts: Aggregate) -> float | None:
    """`|mean stated confidence - observed success rate|` of live calls, 0.0-1.0; None when there were none."""
    live, stated = facts.tally(Mode.LIVE), stated_confidence(facts)
    return None if stated is None else abs(stated - live.ok / live.calls)


class WorstTool(WireModel):
    """One tool's live calls; `interval` is where its true success rate lies (95 %, Wilson)."""

    tool: str
    calls: int
    ok: int
    interval: Interval


def worst_tools(facts: Aggregate, limit: int = 5) -> tuple[WorstTool, ...]:
    """Return the tools with failed live calls that are most surely bad: lowest upper bound of the success rate first.

    One failure out of one says less than twenty out of forty, and comes after it.
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
