"""A monitor: what it has counted, what it finds wrong, when it wants the live gate locked. A plain object without Temporal.

What it remembers is bounded: the windows as `airlock.monitoring.rolling`, the reports counted as `airlock.counted` say.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from airlock.base.text import shorten
from airlock.gates.protocol import LockWish
from airlock.monitoring.aggregation import Aggregate
from airlock.monitoring.anomaly import Anomaly, anomalies
from airlock.monitoring.calibration import calibration, fidelities
from airlock.monitoring.dedupe import CountedReports
from airlock.monitoring.feedback import learning_signals
from airlock.monitoring.health import health_of, worst_tools
from airlock.monitoring.messages import (
    HealthSnapshot,
    MonitorState,
    RefusedSignal,
    ReliabilityAnswer,
    ReliabilityQuestion,
    SignalsSnapshot,
    ToolTallies,
    TrendPoint,
    WindowHealth,
)
from airlock.monitoring.report import Report
from airlock.monitoring.rolling import SHORT_SECONDS, Window, Windows
from airlock.plans.contract import Mode

ASK_AGAIN = 60.0
"""Seconds until the policy, which did not want a lock, is asked about an anomaly again."""
_KEPT = 10


class Monitor:
    """One monitor. Mutable: the workflow owns exactly one.

    Args:
        state: What it knew before a continue-as-new.
    """

    def __init__(self, state: MonitorState | None = None) -> None:
        known = state or MonitorState()
        self._counted = CountedReports(known.keys)
        self._state = known.model_copy(update={"keys": ()})

    @property
    def state(self) -> MonitorState:
        """All it knows, to be carried through continue-as-new."""
        return self._state.model_copy(update={"keys": self._counted.keys})

    @property
    def wish(self) -> LockWish | None:
        """The last lock it wanted."""
        return self._state.wishes[-1] if self._state.wishes else None

    def count(self, reports: Sequence[Report], now: datetime) -> None:
        """Count each report that was not counted before.

        Those that ended in the same stretch of time are added up first: sums are exact, so that nothing depends on how
        reports are divided among calls.

        Args:
            reports: Checked reports (`airlock.monitoring.validation`).
            now: UTC.
        """
        new = [report for report in reports if self._counted.take(report.key)]
        windows, fresh = self._state.windows, self._state.fresh
        for report in _added_up(new, now):
            windows = windows.counting(report, now)
            # its total is never looked at, and must not be carried twice
            fresh = fresh and fresh.counting(report, now).model_copy(update={"total": Aggregate()})
        repeated = self._state.repeated + len(reports) - len(new)
        counted = self._state.counted + len(new)
        self._update(windows=windows, fresh=fresh, counted=counted, repeated=repeated)

    def refuse(self, name: str, why: str, now: datetime) -> None:
        """Count and remember a signal that was refused."""
        refusal = RefusedSignal(at=now, what=shorten(name, 100), why=shorten(why))
        self._update(refused=self._state.refused + 1, refusals=(*self._state.refusals, refusal)[-_KEPT:])

    def silence(self, now: datetime) -> float:
        """For how many seconds more the policy is not asked again."""
        asked = self._state.asked_at
        return 0.0 if asked is None else max(ASK_AGAIN - (now - asked).total_seconds(), 0.0)

    def alarm(self, now: datetime) -> Anomaly | None:
        """Return the gravest anomaly for which a lock may be wanted now; None if there is none.

        It never flaps: after a wish only what was counted since then is looked at, with the same minimum samples. What led
        to a lock cannot lead to another one once people have unlocked. A policy that did not want a lock is not asked again
        for a while.
        """
        if self.silence(now) > 0:
            return None
        windows = self._state.windows if self._state.fresh is None else self._state.fresh
        return next(iter(anomalies(windows, now)), None)

    def asked(self, now: datetime) -> None:
        """Take note that the policy was asked about an anomaly."""
        self._update(asked_at=now)

    def want_lock(self, anomaly: Anomaly, now: datetime) -> LockWish:
        """Want the live gate locked for an anomaly; to be followed by `told` or `not_told`."""
        reason = shorten(f"{anomaly.kind.value} in the last {anomaly.window.value}: {anomaly.evidence}; {anomaly.action}")
        wish = LockWish(at=now, kind=anomaly.kind, severity=anomaly.severity, reason=reason)
        self._update(wishes=(*self._state.wishes, wish)[-_KEPT:])
        return wish

    def told(self) -> None:
        """Take note that the live gate was told of the wish: what was counted up to now is used up by that."""
        self._update(fresh=Windows())

    def not_told(self) -> None:
        """Take the wish back, because the live gate could not be told."""
        self._update(wishes=self._state.wishes[:-1])

    def health(self, name: str, now: datetime) -> HealthSnapshot:
        """Return everything about health at `now`, UTC, of the monitor called `name`."""
        state = self._state
        facts = {window: state.windows.window(window, now) for window in Window}
        return HealthSnapshot(
            monitor=name,
            at=now,
            counted=state.counted,
            repeated=state.repeated,
            refused=state.refused,
            refusals=state.refusals,
            wishes=state.wishes,
            health={window: WindowHealth(health=health_of(f), worst_tools=worst_tools(f)) for window, f in facts.items()},
            trend=tuple(TrendPoint(start=p.start, health=health_of(p.facts)) for p in state.windows.trend(now)),
            anomalies=anomalies(state.windows, now),
            windows=state.windows,
        )

    def signals(self, name: str, now: datetime) -> SignalsSnapshot:
        """Return everything there is to learn at `now`, UTC, from the monitor called `name`."""
        windows = self._state.windows
        return SignalsSnapshot(
            monitor=name,
            at=now,
            signals=learning_signals(windows, now),
            calibration=calibration(windows.total.confidence),
            fidelity=fidelities(windows.total),
            windows=windows,
        )

    def reliability(self, asked: ReliabilityQuestion, now: datetime) -> ReliabilityAnswer:
        """Return the live calls of some tools; a tool that was never called by its name has none."""
        day, total = self._state.windows.window(Window.DAY, now), self._state.windows.total
        return ReliabilityAnswer(
            tools={
                tool: ToolTallies(day=day.tool(tool).tally(Mode.LIVE), all=total.tool(tool).tally(Mode.LIVE))
                for tool in asked.tools
            }
        )

    def details(self, name: str, now: datetime) -> str:
        """Return the details for the Temporal UI, in Markdown."""
        state = self._state
        score = health_of(state.windows.window(Window.DAY, now)).score
        told = f"{score.tier.value} ({score.value:.0f} of 100)" if score else "no data"
        lines = [f"**{name}**: {told} in the last day, at {now:%Y-%m-%d %H:%M:%S} UTC", ""]
        lines += [
            f"- {found.kind.value} (severity {found.severity}): {found.evidence}" for found in anomalies(state.windows, now)
        ]
        lines += [
            f"- wanted the live gate locked at {wish.at:%Y-%m-%d %H:%M} UTC: {wish.reason}" for wish in state.wishes[-3:]
        ]
        lines.append(f"- {state.counted} reports counted, {state.repeated} came again, {state.refused} signals refused")
        lines += [f"  - {refusal.what}: {refusal.why}" for refusal in state.refusals]
        return "\n".join(lines)

    def _update(self, **changed: object) -> None:
        self._state = self._state.model_copy(update=changed)


def _added_up(reports: Iterable[Report], now: datetime) -> list[Report]:
    """Return one report for each stretch of time, with the sum of what ended in it."""
    stretches: dict[int, list[Report]] = {}
    for report in reports:
        stretches.setdefault(stretch_of(report, now), []).append(report)
    return [
        found[0].model_copy(
            update={"at": max(report.at for report in found), "facts": Aggregate.total([report.facts for report in found])}
        )
        for _, found in sorted(stretches.items())
    ]


def stretch_of(report: Report, now: datetime) -> int:
    """Return the stretch of time in which a report counts; those of each length begin and end with such a one."""
    return int(min(report.at, now).timestamp()) // SHORT_SECONDS
