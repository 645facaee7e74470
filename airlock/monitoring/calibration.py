"""Calibration of stated confidence, and fidelity of dry runs."""

from collections.abc import Mapping

from airlock.base.model import WireModel
from airlock.base.proportion import Interval, wilson
from airlock.monitoring.aggregation import BUCKETS, MICRO, Aggregate, Bucket, ToolStats


class BucketRow(WireModel):
    """Row of the reliability table: live calls whose stated confidence is from `low` to `high`, 0.0-1.0."""

    low: float
    high: float
    calls: int
    stated: float | None = None
    """Mean stated confidence."""
    observed: float | None = None
    """Success rate."""
    interval: Interval | None = None
    """Wilson interval of the success rate."""


class Calibration(WireModel):
    """Quality of stated confidence as a prediction of success."""

    calls: int
    brier: float | None
    """Mean squared error, 0.0 (always right) to 1.0; None without calls."""
    expected_error: float | None
    """Mean distance of stated and observed success, by bucket, 0.0-1.0; None without calls."""
    table: tuple[BucketRow, ...]


def calibration(buckets: Mapping[int, Bucket]) -> Calibration:
    """Return the calibration of live calls by bucket of stated confidence (`Aggregate.confidence`).

    Brier score: `mean((confidence - outcome)²)` with an outcome of 0 or 1 (G. W. Brier, Monthly Weather Review 78, 1950).
    Expected calibration error: `sum(calls in bucket / calls * |mean stated - observed|)` over buckets of equal width
    (Naeini, Cooper, Hauskrecht, AAAI 2015).
    """
    calls = sum(bucket.calls for bucket in buckets.values())
    table = tuple(_row(number, buckets.get(number, Bucket())) for number in range(BUCKETS))
    if calls == 0:
        return Calibration(calls=0, brier=None, expected_error=None, table=table)
    gap = sum(abs(bucket.confidence - bucket.ok * MICRO) for bucket in buckets.values())
    return Calibration(
        calls=calls,
        brier=sum(bucket.squares for bucket in buckets.values()) / MICRO / calls,
        expected_error=gap / MICRO / calls,
        table=table,
    )


def _row(number: int, bucket: Bucket) -> BucketRow:
    low, high = number / BUCKETS, (number + 1) / BUCKETS
    if bucket.calls == 0:
        return BucketRow(low=low, high=high, calls=0)
    return BucketRow(
        low=low,
        high=high,
        calls=bucket.calls,
        stated=bucket.confidence / MICRO / bucket.calls,
        observed=bucket.ok / bucket.calls,
        interval=wilson(bucket.ok, bucket.calls),
    )


class ToolFidelity(WireModel):
    """Dry-run fidelity of one tool: the share of live calls with the output that their preview predicted."""

    tool: str
    compared: int
    """Number of live calls whose preview predicted an output."""
    matched: int
    share: float
    """0.0-1.0."""
    interval: Interval
    """Wilson interval of the share."""


def fidelity_of(tool: str, stats: ToolStats) -> ToolFidelity | None:
    """Return the dry-run fidelity of one tool; None if none of its previews predicted an output."""
    compared = stats.matched + stats.differed
    if compared == 0:
        return None
    return ToolFidelity(
        tool=tool,
        compared=compared,
        matched=stats.matched,
        share=stats.matched / compared,
        interval=wilson(stats.matched, compared),
    )


def fidelities(facts: Aggregate) -> tuple[ToolFidelity, ...]:
    """Return the dry-run fidelity of every tool that has one, the lowest first."""
    found = [each for name, stats in facts.tools.items() if (each := fidelity_of(name, stats)) is not None]
    return tuple(sorted(found, key=lambda each: (each.interval.low, each.tool)))
