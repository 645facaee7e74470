"""Monitor: counts reports, finds anomalies, and wishes for a lock of the live gate. A plain object without Temporal.

Its state is bounded: the windows as in `airlock.monitoring.rolling`, the reports as in `airlock.monitoring.dedupe`.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from airlock.base.text import count, shorten
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
"""Seconds until the policy is asked about an anomaly again."""
_KEPT = 10


class Monitor:
    """Monitor of a shard of all plans. Mutable: each monitor workflow owns exactly one.

    Args:
        state: Its state before a continue-as-new.
    """

    def __init__(self, state: MonitorState | None = None) -> None:
        known = state or MonitorState()
        self._counted = CountedReports(known.keys)
        self._state = known.model_copy(update={"keys": ()})

    @property
    def state(self) -> MonitorState:
        """Complete state, to carry through continue-as-new."""
        return self._state.model_copy(update={"keys": self._counted.keys})

    @property
    def wish(self) -> LockWish | None:
        """Last lock wish."""
        return self._state.wishes[-1] if self._state.wishes else None

    def count(self, reports: Sequence[Report], now: datetime) -> None:
        """Count each report that was not counted before.

        Reports of the same period are summed first. Sums are exact, so that the result does not depend on how reports are
        divided among calls.

        Args:
            reports: Checked reports (`airlock.monitoring.validation`).
            now: UTC.
        """
        new = [report for report in reports if self._counted.take(report.key)]
        windows, fresh = self._state.windows, self._state.fresh
        for report in _summed_by_period(new, now):
            windows = windows.counting(report, now)
            # no rule reads the total of `fresh`: without it the state carries only one total
            fresh = fresh and fresh.counting(report, now).model_copy(update={"total": Aggregate()})
        repeated = self._state.repeated + len(reports) - len(new)
        counted = self._state.counted + len(new)
        self._update(windows=windows, fresh=fresh, counted=counted, repeated=repeated)

    def refuse(self, name: str, why: str, now: datetime) -> None:
        """Count and remember a signal that was refused."""
        refusal = RefusedSignal(at=now, what=shorten(name, 100), why=shorten(why))
        self._update(refused=self._state.refused + 1, refusals=(*self._state.refusals, refusal)[-_KEPT:])

    def silence(self, now: datetime) -> float:
        """Return the seconds until the policy may be asked again."""
        asked = self._state.asked_at
        return 0.0 if asked is None else max(ASK_AGAIN - (now - asked).total_seconds(), 0.0)

    def alarm(self, now: datetime) -> Anomaly | None:
        """Return the most severe anomaly for which a lock may be wished for now; None if there is none.

        The lock never flaps. After a wish, only reports counted since then are examined, with the same minimum samples: the
        facts behind a lock cannot cause another one after an operator has unlocked. A policy that wanted no lock is not
        asked again for a while.
        """
        if self.silence(now) > 0:
            return None
        windows = self._state.windows if self._state.fresh is None else self._state.fresh
        return next(iter(anomalies(windows, now)), None)

    def asked(self, now: datetime) -> None:
        """Record that the policy was asked about an anomaly."""
        self._update(asked_at=now)

    def want_lock(self, anomaly: Anomaly, now: datetime) -> LockWish:
        """Record and return a lock wish for an anomaly. Call `told` or `not_told` after it was sent."""
        reason = shorten(f"{anomaly.kind.value} in the last {anomaly.window.value}: {anomaly.evidence}; {anomaly.action}")
        wish = LockWish(at=now, kind=anomaly.kind, severity=anomaly.severity, reason=reason)
        self._update(wishes=(*self._state.wishes, wish)[-_KEPT:])
        return wish

    def told(self) -> None:
        """Record that the live gate received the wish. Facts counted up to now cannot cause another one."""
        self._update(fresh=Windows())

    def not_told(self) -> None:
        """Withdraw the wish, because the live gate could not be signalled."""
        self._update(wishes=self._state.wishes[:-1])

    def health(self, name: str, now: datetime) -> HealthSnapshot:
        """Return the health at `now`, UTC; `name` is the workflow id of the monitor."""
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
        """Return the learning signals at `now`, UTC; `name` is the workflow id of the monitor."""
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
        """Return the live calls of the named tools; a tool that is not counted by name has none."""
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
        rating = f"{score.tier.value} ({score.value:.0f} of 100)" if score else "no data"
        lines = [f"**{name}**: {rating} in the last day, at {now:%Y-%m-%d %H:%M:%S} UTC", ""]
        lines += [
            f"- {found.kind.value} (severity {found.severity}): {found.evidence}" for found in anomalies(state.windows, now)
        ]
        lines += [
            f"- wanted the live gate locked at {wish.at:%Y-%m-%d %H:%M} UTC: {wish.reason}" for wish in state.wishes[-3:]
        ]
        counted = f"{count(state.counted, 'report')} counted, {state.repeated} repeated"
        lines.append(f"- {counted}, {count(state.refused, 'signal')} refused")
        lines += [f"  - {refusal.what}: {refusal.why}" for refusal in state.refusals]
        return "\n".join(lines)

    def _update(self, **changed: object) -> None:
        self._state = self._state.model_copy(update=changed)


def _summed_by_period(reports: Iterable[Report], now: datetime) -> list[Report]:
    """Return one report per period, with the sum of its reports."""
    periods: dict[int, list[Report]] = {}
    for report in reports:
        periods.setdefault(stretch_of(report, now), []).append(report)
    return [
        found[0].model_copy(
            update={"at": max(report.at for report in found), "facts": Aggregate.total([report.facts for report in found])}
        )
        for _, found in sorted(periods.items())
    ]


def stretch_of(report: Report, now: datetime) -> int:
    """Return the number of the shortest period that a report counts in; longer periods are multiples of it."""
    return int(min(report.at, now).timestamp()) // SHORT_SECONDS
