"""Validation of reports: any client may send one by signal, and a false one must not break the metrics."""

from collections.abc import Iterator

from airlock.base.sketch import LONGEST, SHORTEST, Sketch
from airlock.monitoring.aggregation import (
    BUCKETS,
    MAX_AGENTS,
    MAX_NAME,
    MAX_TOOLS,
    MICRO,
    Aggregate,
    Bucket,
    Calls,
    Tally,
    ToolStats,
)
from airlock.monitoring.report import Report
from airlock.plans.contract import Mode

MOST = 50_000
"""Highest count in a report: a plan has at most 5,000 steps, which may be repeated."""
_STAGES = ("rehearsals", "conflicted", "ended_live", "rolled_back", "clean", "undo_runs")
_MOST_STAGES = 100
"""Highest count of stages: a report is of one stage, or of a few when a plan went back and forth."""
_MAX_KEY = 300
_BINS = Sketch.of((SHORTEST, LONGEST)).bins
_LOW, _HIGH = min(_BINS), max(_BINS)


def problem_of(report: Report) -> str:
    """Return the reason why a report is inconsistent; empty if all parts fit their whole and all numbers are in range."""
    key = report.key
    if report.at.tzinfo is None:
        return "at: needs an offset from UTC"
    if not 0 < len(key.name) <= _MAX_KEY or not 0 < len(key.run_id) <= _MAX_KEY or key.since < 0:
        return "key: is not the key of a plan's report"
    return next(_problems(report.facts), "")


def _problems(facts: Aggregate) -> Iterator[str]:
    if len(facts.tools) > MAX_TOOLS or len(facts.agents) > MAX_AGENTS:
        yield f"counts more than {MAX_TOOLS} tools or {MAX_AGENTS} agents by name"
    if any(len(name) > MAX_NAME or not name.isprintable() for name in (*facts.tools, *facts.agents)):
        yield f"a name is longer than {MAX_NAME} characters, or cannot be printed"
    if any(getattr(facts, name) > _MOST_STAGES for name in _STAGES):
        yield f"a report is of one stage, but counts more than {_MOST_STAGES}"
    if not all(0 <= number <= MOST for number in _counts(facts)):
        yield f"a count is not between 0 and {MOST:,}"
    for stats in (*facts.tools.values(), facts.other_tools):
        yield from _tool(stats)
    for calls in (*facts.agents.values(), facts.other_agents):
        yield from _calls(calls)
    for number, bucket in facts.confidence.items():
        yield from _bucket(number, bucket)
    for sketch in (facts.latency, facts.waited):
        yield from _sketch(sketch)
    parts = (facts.rolled_back + facts.clean, facts.ended_live), (facts.conflicted, facts.rehearsals)
    by_kind = ((number, facts.rehearsals) for number in facts.conflicted_by.values())
    if any(part > whole for part, whole in (*parts, *by_kind)):
        yield "a part is more than its whole"


def _counts(facts: Aggregate) -> Iterator[int]:
    """Yield every count that is not a part of another one."""
    for name in ("stale", "undone", "undo_failed", "kept", "rehearsals", "conflicted", "ended_live", "rolled_back", "clean"):
        yield getattr(facts, name)
    yield facts.undo_runs
    for name in ("reports", "ceilings", "conflicted_by", "conflicts", "answers", "decided", "outcomes"):
        yield from getattr(facts, name).values()


def _tool(stats: ToolStats) -> Iterator[str]:
    yield from _calls(stats)
    yield from _sketch(stats.latency)
    live = stats.live
    wholes = (
        (stats.matched + stats.differed, live.calls), (stats.drifted, live.calls), (stats.slow, live.ok),
        (stats.irreversible, live.calls), (sum(stats.errors.values()), live.calls),
    )  # fmt: skip
    parts = (stats.matched, stats.differed, stats.drifted, stats.slow, stats.irreversible, *stats.errors.values())
    if min(parts) < 0 or any(part > whole for part, whole in wholes):
        yield "a part of a tool's calls is more than the whole"


def _calls(calls: Calls) -> Iterator[str]:
    for mode in Mode:
        yield from _tally(calls.tally(mode))
    if not 0 <= calls.confidence <= calls.live.calls * MICRO:
        yield "a confidence is not between 0 and 1"


def _tally(tally: Tally) -> Iterator[str]:
    if not 0 <= tally.ok <= tally.calls <= MOST:
        yield "more calls worked than ended"


def _bucket(number: int, bucket: Bucket) -> Iterator[str]:
    most = bucket.calls * MICRO
    if not (0 <= number < BUCKETS and 0 <= bucket.ok <= bucket.calls <= MOST):
        yield "a bucket of confidence is out of range"
    if not (0 <= bucket.confidence <= most and 0 <= bucket.squares <= most):
        yield "a bucket of confidence is out of range"


def _sketch(sketch: Sketch) -> Iterator[str]:
    # an extreme bin would make the sketch allocate all bins up to it
    if not all(_LOW <= key <= _HIGH and 0 < number <= MOST for key, number in sketch.bins.items()):
        yield "a duration is out of range"
