"""Aggregates over time: the last hour, the last day, everything; in bounded memory, and the same however it is divided."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum

from pydantic import Field

from airlock.base.model import WireModel
from airlock.monitoring.aggregation import BRIEF_AGENTS, BRIEF_TOOLS, Aggregate, merged
from airlock.monitoring.report import Report

SHORT_SECONDS = 600
"""The last hour is counted in stretches of this length."""
LONG_SECONDS = 3_600
"""The last day is counted in stretches of this length."""
HOUR_SECONDS = 3_600
DAY_SECONDS = 86_400


class Window(StrEnum):
    """The stretch of time to look at."""

    HOUR = "hour"
    DAY = "day"
    ALL = "all"


class Point(WireModel):
    """The counts of one hour; `start` is UTC."""

    start: datetime
    facts: Aggregate


class Windows(WireModel):
    """The counts of a monitor.

    `short` and `long` hold stretches of ten minutes and of an hour by their start, in seconds since 1970. Those that no
    window can reach any more are dropped: at most 7 and 25 are left. `latest` is the latest time anything was counted at.
    """

    total: Aggregate = Aggregate()
    short: dict[int, Aggregate] = Field(default_factory=dict)
    long: dict[int, Aggregate] = Field(default_factory=dict)
    latest: int = 0

    def counting(self, report: Report, at: datetime) -> "Windows":
        """With one more report.

        It counts where its stage ended; one from the future, by a clock that is ahead, counts now. One that is older than a
        window counts in the total only.

        Args:
            report: The report; whether it was counted before is not looked at (`airlock.counted`).
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

        A window begins with the stretch that holds its first moment: the last hour covers up to 70 minutes, the last day up
        to 25 hours. Only what ended at or before `at` is in it, as far as stretches can tell.
        """
        match window:
            case Window.HOUR:
                return _sum(_pruned(self.short, _seconds(at), SHORT_SECONDS, HOUR_SECONDS).values())
            case Window.DAY:
                return _sum(_pruned(self.long, _seconds(at), LONG_SECONDS, DAY_SECONDS).values())
            case Window.ALL:
                return self.total

    def trend(self, at: datetime) -> tuple[Point, ...]:
        """Return the last day hour by hour, oldest first; hours in which nothing ended are left out."""
        found = _pruned(self.long, _seconds(at), LONG_SECONDS, DAY_SECONDS)
        return tuple(Point(start=datetime.fromtimestamp(start, UTC), facts=facts) for start, facts in sorted(found.items()))


def merge(one: Windows, other: Windows) -> Windows:
    """Return the counts of both: the same as if one monitor had counted all. Associative and commutative."""
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


def _with(stretches: Mapping[int, Aggregate], ended: int, width: int, facts: Aggregate) -> dict[int, Aggregate]:
    return _both(stretches, {ended // width * width: facts})


def _both(one: Mapping[int, Aggregate], other: Mapping[int, Aggregate]) -> dict[int, Aggregate]:
    return {
        start: _sum(side[start] for side in (one, other) if start in side) if start in other else one[start]
        for start in sorted({*one, *other})
    }


def _pruned(stretches: Mapping[int, Aggregate], now: int, width: int, reach: int) -> dict[int, Aggregate]:
    """Return the stretches that overlap the time from `reach` seconds ago until now."""
    return {start: facts for start, facts in stretches.items() if now - reach - width < start <= now}
