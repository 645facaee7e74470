"""Observed calls of a stage, and their counts."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from airlock.base.model import WireModel
from airlock.base.sketch import Sketch
from airlock.monitoring.aggregation import (
    BUCKETS,
    MAX_AGENTS,
    MAX_TOOLS,
    MICRO,
    Aggregate,
    Bucket,
    CallError,
    Calls,
    Tally,
    ToolStats,
    short_name,
)
from airlock.plans.contract import Mode


class ObservedCall(WireModel):
    """Call that ended, in any mode."""

    tool: str
    agent: str
    mode: Mode
    ok: bool
    """True if it succeeded."""
    confidence: float
    """Confidence that the agent stated, 0.0-1.0."""
    error: CallError | None = None
    """Error of a live call; None for a success, a mock and a dry run."""
    seconds: float | None = None
    """Duration of the last attempt; None if it is not known."""
    slow: bool = False
    """True if that was more than half of the contract's timeout."""
    irreversible: bool = False
    drifted: bool = False
    """True if the arguments were not the previewed ones."""
    matched: bool | None = None
    """True if the preview predicted the output; None if it predicted none."""


def observe(calls: Iterable[ObservedCall]) -> Aggregate:
    """Return the counts of the given calls."""
    by_tool: dict[str, list[ObservedCall]] = defaultdict(list)
    by_agent: dict[str, list[ObservedCall]] = defaultdict(list)
    by_bucket: dict[int, list[ObservedCall]] = defaultdict(list)
    durations: list[float] = []
    for call in calls:
        by_tool[short_name(call.tool)].append(call)
        by_agent[short_name(call.agent)].append(call)
        if call.mode is Mode.LIVE:
            by_bucket[bucket_of(call.confidence)].append(call)
            if call.ok and call.seconds is not None:
                durations.append(call.seconds)
    return Aggregate(
        tools={name: _tool(found) for name, found in sorted(by_tool.items())},
        agents={name: _calls(found) for name, found in sorted(by_agent.items())},
        confidence={number: _bucket(found) for number, found in sorted(by_bucket.items())},
        latency=Sketch.of(durations),
    ).folded(MAX_TOOLS, MAX_AGENTS)


def bucket_of(confidence: float) -> int:
    """Return the bucket of a confidence, 0 for 0.0-0.1 to 9 for 0.9-1.0. A bound belongs to the bucket above it."""
    return min(_micro(confidence) * BUCKETS // MICRO, BUCKETS - 1)


def _micro(number: float) -> int:
    return round(number * MICRO)


def _tally(calls: Sequence[ObservedCall], mode: Mode) -> Tally:
    of_mode = [call for call in calls if call.mode is mode]
    return Tally(calls=len(of_mode), ok=sum(call.ok for call in of_mode))


def _calls(calls: Sequence[ObservedCall]) -> Calls:
    return Calls(
        mock=_tally(calls, Mode.MOCK),
        dry_run=_tally(calls, Mode.DRY_RUN),
        live=_tally(calls, Mode.LIVE),
        confidence=sum(_micro(call.confidence) for call in calls if call.mode is Mode.LIVE),
    )


def _tool(calls: Sequence[ObservedCall]) -> ToolStats:
    live, plain = [call for call in calls if call.mode is Mode.LIVE], _calls(calls)
    worked = [call for call in live if call.ok]
    return ToolStats(
        mock=plain.mock,
        dry_run=plain.dry_run,
        live=plain.live,
        confidence=plain.confidence,
        errors=dict(Counter(call.error for call in live if call.error is not None)),
        matched=sum(call.matched is True for call in live),
        differed=sum(call.matched is False for call in live),
        drifted=sum(call.drifted for call in live),
        slow=sum(call.slow for call in worked),
        irreversible=sum(call.irreversible for call in live),
        latency=Sketch.of(call.seconds for call in worked if call.seconds is not None),
    )


def _bucket(calls: Sequence[ObservedCall]) -> Bucket:
    return Bucket(
        calls=len(calls),
        ok=sum(call.ok for call in calls),
        confidence=sum(_micro(call.confidence) for call in calls),
        squares=sum(_micro((call.confidence - call.ok) ** 2) for call in calls),
    )
