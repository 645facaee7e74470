"""Aggregates over time: the last hour, the last day, everything. Bounded, and equal for any division among monitors."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum

from pydantic import Field

from airlock.base.model import WireModel
from airlock.monitoring.aggregation import BRIEF_AGENTS, BRIEF_TOOLS, Aggregate, merged
from airlock.monitoring.report import Report

SHORT_SECONDS = 600
"""Length of a period of the last hour."""
LONG_SECONDS = 3_600
"""Length of a period of the last day."""
HOUR_SECONDS = 3_600
DAY_SECONDS = 86_400


class Window(StrEnum):
    """Windows of time, up to now."""

    HOUR = "hour"
    DAY = "day"
    ALL = "all"


class Point(WireModel):
    """Counts of one hour."""

    start: datetime
    """Start of the hour, UTC."""
    facts: Aggregate


class Windows(WireModel):
    """Counts of a monitor over time. Times are seconds since the epoch."""

    total: Aggregate = Aggregate()
    short: dict[int, Aggregate] = Field(default_factory=dict)
    """Periods of ten minutes by their start, at most 7: older ones are outside the last hour."""
    long: dict[int, Aggregate] = Field(default_factory=dict)
    """Periods of an hour by their start, at most 25: older ones are outside the last day."""
    latest: int = 0
    """Latest time at which a report was counted."""

    def counting(self, report: Report, at: datetime) -> "Windows":
        """Return the windows with one more report.

        It counts at the end of its stage, or now if that is in the future because of a clock that is ahead. A report that is
        older than a window counts in the total only.

        Args:
            report: The report, which must be new (`airlock.monitoring.dedupe`).
            at: Now, UTC.
        """
        now = max(self.latest, _seconds(at))
        ended, brief = min(_seconds(report.at), _seconds(at)), report.facts.brief()
        return Windows(
            total=merged((self.total, report.facts)),
            short=_pruned(_with(self.short, ended, SHORT_SECONDS, brief), now, SHORT_SECONDS, HOUR_SECONDS),
            long=_pruned(_with(self.long, ended, LONG_SECONDS, brief), now, LONG_SECONDS, DAY_SECONDS),
            latest=now,
        )

    def window(self, window: Window, at: datetime) -> Aggregate:
        """Return the counts of a window that ends at `at`, UTC.

        A window begins with the period that contains its first moment: the last hour covers up to 70 minutes, the last day
        up to 25 hours. It ends with the period that contains `at`.
        """
        match window:
            case Window.HOUR:
                return _sum(_pruned(self.short, _seconds(at), SHORT_SECONDS, HOUR_SECONDS).values())
            case Window.DAY:
                return _sum(_pruned(self.long, _seconds(at), LONG_SECONDS, DAY_SECONDS).values())
            case Window.ALL:
                return self.total

    def trend(self, at: datetime) -> tuple[Point, ...]:
        """Return the last day by hour, oldest first, without hours in which no stage ended."""
        found = _pruned(self.long, _seconds(at), LONG_SECONDS, DAY_SECONDS)
        return tuple(Point(start=datetime.fromtimestamp(start, UTC), facts=facts) for start, facts in sorted(found.items()))


def merge(one: Windows, other: Windows) -> Windows:
    """Return the counts of both, as if one monitor had counted everything. Associative and commutative."""
    now = max(one.latest, other.latest)
    return Windows(
        total=merged((one.total, other.total)),
        short=_pruned(_both(one.short, other.short), now, SHORT_SECONDS, HOUR_SECONDS),
        long=_pruned(_both(one.long, other.long), now, LONG_SECONDS, DAY_SECONDS),
        latest=now,
    )


def _seconds(at: datetime) -> int:
    return int(at.timestamp())


def _sum(parts: Iterable[Aggregate]) -> Aggregate:
    return merged(parts, BRIEF_TOOLS, BRIEF_AGENTS)


def _with(periods: Mapping[int, Aggregate], ended: int, width: int, facts: Aggregate) -> dict[int, Aggregate]:
    return _both(periods, {ended // width * width: facts})


def _both(one: Mapping[int, Aggregate], other: Mapping[int, Aggregate]) -> dict[int, Aggregate]:
    return {
        start: _sum(side[start] for side in (one, other) if start in side) if start in other else one[start]
        for start in sorted({*one, *other})
    }


def _pruned(periods: Mapping[int, Aggregate], now: int, width: int, reach: int) -> dict[int, Aggregate]:
    """Return the periods that overlap the time from `reach` seconds ago until now."""
    return {start: facts for start, facts in periods.items() if now - reach - width < start <= now}
