"""Builders shared by the tests of what is counted: calls, aggregates, reports, and Hypothesis strategies for them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from airlock.admission.conflicts.conflict import ConflictKind
from airlock.gates.protocol import AnomalyKind, LockWish
from airlock.monitoring.aggregation import Aggregate, CallError, Decision, Stage
from airlock.monitoring.observation import ObservedCall, observe
from airlock.monitoring.report import Report, ReportKey
from airlock.monitoring.rolling import Windows
from airlock.plans.contract import Mode
from airlock.run.outcome import Outcome

AT = datetime(2026, 3, 1, 12, 34, 56, tzinfo=UTC)


def call(
    ok: bool = True, tool: str = "write", confidence: float = 0.95, mode: Mode = Mode.LIVE, **more: object
) -> ObservedCall:
    """Return one call."""
    return ObservedCall.model_validate(
        {"tool": tool, "agent": "bot", "mode": mode, "ok": ok, "confidence": confidence, **more}
    )


def live(ok: int, number: int, tool: str = "write", confidence: float = 0.95) -> Aggregate:
    """Live calls of one tool, so many of which worked."""
    return observe(call(index < ok, tool, confidence) for index in range(number))


def report(facts: Aggregate, number: int = 0, at: datetime = AT, stage: Stage = Stage.LIVE) -> Report:
    """Return a report of these facts."""
    return Report(key=ReportKey(name=f"p-{number}", run_id="r", stage=stage, since=0), at=at, facts=facts)


def counted(facts: Aggregate, at: datetime = AT) -> Windows:
    """Return a monitor that counted one report just now."""
    return Windows().counting(report(facts, at=at), at)


ago = st.integers(0, 100_000).map(lambda seconds: timedelta(seconds=seconds))
names = st.integers(0, 300).map(lambda number: f"n{number}")
calls = st.builds(
    ObservedCall,
    tool=names,
    agent=names,
    mode=st.sampled_from(Mode),
    ok=st.booleans(),
    confidence=st.integers(0, 1_000).map(lambda thousandths: thousandths / 1_000),
    error=st.none() | st.sampled_from(CallError),
    seconds=st.none() | st.floats(0.0, 1e7),
    slow=st.booleans(),
    irreversible=st.booleans(),
    drifted=st.booleans(),
    matched=st.none() | st.booleans(),
)
small = st.integers(0, 20)


@st.composite
def aggregates(draw: st.DrawFn) -> Aggregate:
    """Any counts that can have come from plans: no part is larger than its whole."""
    ended, rehearsals = draw(small), draw(small)
    rolled_back = draw(st.integers(0, ended))
    conflicted = draw(st.integers(0, rehearsals))
    return observe(draw(st.lists(calls, max_size=6))) + Aggregate(
        reports={draw(st.sampled_from(Stage)): 1},
        rehearsals=rehearsals,
        conflicted=conflicted,
        conflicted_by={draw(st.sampled_from(ConflictKind)): conflicted},
        decided={draw(st.sampled_from(Decision)): draw(small)},
        outcomes={draw(st.sampled_from(Outcome)): draw(small)},
        ended_live=ended,
        rolled_back=rolled_back,
        clean=draw(st.integers(0, ended - rolled_back)),
    )


reports = st.builds(lambda facts, number, back: report(facts, number, AT - back), aggregates(), st.integers(0, 10**9), ago)


def wish(at: Any = AT) -> LockWish:
    """Return what a monitor tells a gate to have it locked."""
    return LockWish(at=at, kind=AnomalyKind.HIGH_CONFLICT, severity=8, reason="6 of 10 plans had a conflict")
