"""The calibration of stated confidence, and the fidelity of previews."""

from collections.abc import Mapping

from airlock.base.model import WireModel
from airlock.base.proportion import Interval, wilson
from airlock.monitoring.aggregation import BUCKETS, MICRO, Aggregate, Bucket, ToolStats


class BucketRow(WireModel):
    """One row of the reliability table: live calls whose stated confidence is from `low` to `high`, 0.0-1.0."""

    low: float
    high: float
    calls: int
    stated: float | None = None
    observed: float | None = None
    interval: Interval | None = None


class Calibration(WireModel):
    """The quality of stated confidence as a prediction of success.

    `brier` is the mean squared error of a statement, 0.0 (always right) to 1.0; `expected_error` the mean distance between
    stated and observed, bucket by bucket, 0.0-1.0. Both are None where there were no calls.
    """

    calls: int
    brier: float | None
    expected_error: float | None
    table: tuple[BucketRow, ...]


def calibration(buckets: Mapping[int, Bucket]) -> Calibration:
    """Calibration from the live calls by bucket of stated confidence (`Aggregate.confidence`).

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
    """The share of previews of a tool that matched the live call, 0.0-1.0, of those that predicted an output."""

    tool: str
    compared: int
    matched: int
    share: float
    interval: Interval


def fidelity_of(tool: str, stats: ToolStats) -> ToolFidelity | None:
    """Return the dry-run fidelity of one tool; None where no preview of it predicted anything."""
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
    """Return the dry-run fidelity of every tool that has one, least faithful first."""
    found = [each for name, stats in facts.tools.items() if (each := fidelity_of(name, stats)) is not None]
    return tuple(sorted(found, key=lambda each: (each.interval.low, each.tool)))
