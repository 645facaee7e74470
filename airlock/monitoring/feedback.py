"""Learning signals: five kinds of feedback for the training of agents, raised only where the data is clear.

A signal compares a share with a reference. It needs a minimum sample, and a Wilson interval of at least 99 % without the
reference in it. The level of the widest such interval is its confidence.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from airlock.base.model import WireModel
from airlock.base.proportion import Interval, certainty, wilson
from airlock.base.sketch import Sketch
from airlock.monitoring.aggregation import Aggregate, Decision, ToolStats
from airlock.monitoring.rolling import Window, Windows

LEVEL = 0.99
"""Lowest confidence of a signal, 0.0-1.0."""
MOST_SURE = 0.9999
"""Highest confidence of a signal, 0.0-1.0. Beyond it, the normal distribution behind the intervals is not accurate."""
MARGIN = 0.05
"""Accepted distance between success rate and stated confidence."""
MODE_MARGIN = 0.10
"""Accepted distance between the success rates of a tool's dry runs and live calls."""
MAX_SLOW = 0.05
"""Accepted share of calls that take more than half of their timeout."""
MAX_DIFFERING = 0.10
"""Accepted share of previews that predicted another output."""
MAX_CONFLICTED = 0.20
"""Accepted share of plans with a conflict of one kind."""
MIN_CLEAN = 0.80
"""Expected share of approved plans that complete without a rollback."""
MAX_DENIED = 0.50
"""Accepted share of plans that approvers deny."""
MIN_CALLS = 30
"""Minimum of calls for a signal about a tool."""
MIN_PLANS = 20
"""Minimum of plans, or decisions, for a signal about them."""


class SignalType(StrEnum):
    """Kinds of learning signals."""

    TOOL_RELIABILITY = "TOOL_RELIABILITY"
    TOOL_PERFORMANCE = "TOOL_PERFORMANCE"
    EXECUTION_MODE_ANALYSIS = "EXECUTION_MODE_ANALYSIS"
    CONFLICT_PATTERN = "CONFLICT_PATTERN"
    APPROVAL_MISMATCH = "APPROVAL_MISMATCH"


REWARD_MODEL: Literal["16"] = "16"
META_LEARNING: Literal["19"] = "19"


class Signal(WireModel):
    """Learning signal: an observed share that differs from its reference."""

    signal_type: SignalType
    tool_name: str | None
    """None if the signal is not about a single tool."""
    insight: str
    recommended_action: str
    confidence: float
    """Confidence that the true share is on the observed side of the reference, 0.99-0.9999."""
    target_phase: Literal["16", "19"]
    """Consumer: `16` the reward model, `19` meta-learning."""
    window: Window
    sample: int
    observed: float
    """Observed share of the sample, 0.0-1.0."""
    reference: float
    """Share that it is compared with, 0.0-1.0."""
    interval: Interval
    """95 % Wilson interval of the true share."""


@dataclass(frozen=True)
class _Question:
    """Comparison of a share with a reference, and the signal to raise if the share is beyond it."""

    about: SignalType
    tool: str | None
    name: str
    hits: int
    number: int
    reference: float
    below: bool
    minimum: int
    phase: Literal["16", "19"]
    insight: str
    action: str


def learning_signals(windows: Windows, at: datetime) -> tuple[Signal, ...]:
    """Return the learning signals at `at`, UTC, sorted by type, tool and insight.

    The last day decides where its sample is large enough, so that a tool that was fixed is not blamed forever. Otherwise
    everything counted decides.
    """
    asked: dict[tuple[str, str, str], tuple[Window, _Question]] = {}
    for window in (Window.DAY, Window.ALL):
        for question in _questions(windows.window(window, at), windows.total):
            if question.number >= question.minimum:
                asked.setdefault((question.about, question.tool or "", question.name), (window, question))
    found = (_answer(question, window) for window, question in asked.values())
    signals = [signal for signal in found if signal is not None]
    return tuple(sorted(signals, key=lambda signal: (signal.signal_type, signal.tool_name or "", signal.insight)))


def _answer(question: _Question, window: Window) -> Signal | None:
    observed = question.hits / question.number
    if not (observed < question.reference if question.below else observed > question.reference):
        return None
    sure = certainty(question.hits, question.number, question.reference)
    if sure < LEVEL:
        return None
    return Signal(
        signal_type=question.about,
        tool_name=question.tool,
        insight=question.insight,
        recommended_action=question.action,
        confidence=min(sure, MOST_SURE),
        target_phase=question.phase,
        window=window,
        sample=question.number,
        observed=observed,
        reference=question.reference,
        interval=wilson(question.hits, question.number),
    )


def _questions(facts: Aggregate, total: Aggregate) -> Iterator[_Question]:
    for tool, stats in facts.tools.items():
        yield from _reliability(tool, stats)
        yield from _performance(tool, stats, total.tool(tool).latency)
        yield from _modes(tool, stats)
    yield from _conflict_patterns(facts)
    yield from _approvals(facts)


def _reliability(tool: str, stats: ToolStats) -> Iterator[_Question]:
    stated, live = stats.stated, stats.live
    if stated is None:
        return
    seen = f"{live.ok} of {live.calls} live calls worked, agents stated a confidence of {stated:.2f}"
    if stated > MARGIN:
        yield _Question(
            SignalType.TOOL_RELIABILITY, tool, "overrated", live.ok, live.calls, stated - MARGIN, below=True,
            minimum=MIN_CALLS, phase=REWARD_MODEL, insight=f"{tool} fails more often than agents think: {seen}",
            action="reward lower stated confidence for this tool; until then set calibrated_confidence",
        )  # fmt: skip
    if stated < 1.0 - MARGIN:
        yield _Question(
            SignalType.TOOL_RELIABILITY, tool, "underrated", live.ok, live.calls, stated + MARGIN, below=False,
            minimum=MIN_CALLS, phase=REWARD_MODEL, insight=f"{tool} works more often than agents think: {seen}",
            action="reward higher stated confidence for this tool",
        )  # fmt: skip


def _performance(tool: str, stats: ToolStats, latency: Sketch) -> Iterator[_Question]:
    most = latency.quantile(0.95)
    length = f"; 95 % of all calls so far took at most {most:.3g} s" if most is not None else ""
    yield _Question(
        SignalType.TOOL_PERFORMANCE, tool, "slow", stats.slow, stats.live.ok, MAX_SLOW, below=False,
        minimum=MIN_CALLS, phase=META_LEARNING,
        insight=f"{stats.slow} of {stats.live.ok} calls of {tool} took more than half of their timeout{length}",
        action="raise its timeout or make it faster, before calls end in doubt",
    )  # fmt: skip


def _modes(tool: str, stats: ToolStats) -> Iterator[_Question]:
    compared = stats.matched + stats.differed
    yield _Question(
        SignalType.EXECUTION_MODE_ANALYSIS, tool, "fidelity", stats.differed, compared, MAX_DIFFERING, below=False,
        minimum=MIN_CALLS, phase=META_LEARNING,
        insight=f"the dry run of {tool} predicted another output than live in {stats.differed} of {compared} calls",
        action="fix its dry run, or declare a lower fidelity: approvers rely on its preview",
    )  # fmt: skip
    dry, live = stats.dry_run, stats.live
    if dry.calls >= MIN_CALLS and dry.ok / dry.calls > MODE_MARGIN:
        yield _Question(
            SignalType.EXECUTION_MODE_ANALYSIS, tool, "gap", live.ok, live.calls, dry.ok / dry.calls - MODE_MARGIN,
            below=True, minimum=MIN_CALLS, phase=META_LEARNING,
            insight=f"{tool} worked in {dry.ok} of {dry.calls} dry runs, but only in {live.ok} of {live.calls} live calls",
            action="let its dry run check the preconditions of the live call",
        )  # fmt: skip


def _conflict_patterns(facts: Aggregate) -> Iterator[_Question]:
    for kind, number in sorted(facts.conflicted_by.items()):
        yield _Question(
            SignalType.CONFLICT_PATTERN, None, kind.value, number, facts.rehearsals, MAX_CONFLICTED, below=False,
            minimum=MIN_PLANS, phase=META_LEARNING,
            insight=f"{number} of {facts.rehearsals} plans had a {kind.value} conflict",
            action="let planners avoid it: order the steps, spread the calls, or use an agent with the permission",
        )  # fmt: skip


def _approvals(facts: Aggregate) -> Iterator[_Question]:
    yield _Question(
        SignalType.APPROVAL_MISMATCH, None, "approved", facts.clean, facts.ended_live, MIN_CLEAN, below=True,
        minimum=MIN_PLANS, phase=REWARD_MODEL,
        insight=f"only {facts.clean} of {facts.ended_live} approved plans completed without a rollback",
        action="do not use approval alone as a reward; show approvers the tools that failed",
    )  # fmt: skip
    denied = facts.decided.get(Decision.DENIED, 0)
    spoken = denied + facts.decided.get(Decision.APPROVED, 0)
    yield _Question(
        SignalType.APPROVAL_MISMATCH, None, "denied", denied, spoken, MAX_DENIED, below=False,
        minimum=MIN_PLANS, phase=REWARD_MODEL,
        insight=f"approvers denied {denied} of the {spoken} plans that they decided",
        action="use denials as a negative reward: agents propose plans that approvers reject",
    )  # fmt: skip
