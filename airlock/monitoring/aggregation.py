"""Counts over many plans, in bounded memory: per tool, mode, agent, kind of conflict and confidence."""

import zlib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import reduce
from operator import add
from typing import TypeVar

from pydantic import Field

from airlock.admission.conflicts.conflict import Answer, ConflictKind
from airlock.base.mergeable import Mergeable
from airlock.base.sketch import Sketch
from airlock.plans.contract import Mode
from airlock.run.outcome import Outcome

MAX_TOOLS = 150
"""Limit of tools counted by name; all others are counted together."""
MAX_AGENTS = 150
"""Limit of agents counted by name; all others are counted together."""
BRIEF_TOOLS = 48
"""Limit of tools counted by name in one period of a window."""
BRIEF_AGENTS = 24
"""Limit of agents counted by name in one period of a window."""
MAX_NAME = 60
"""Limit of characters in a name; a longer one is cut and ends in a checksum of all of it."""
MICRO = 1_000_000
"""Confidences are summed in whole millionths, so that the sums are exact."""
BUCKETS = 10
"""Number of confidence buckets, of equal width."""


class Stage(StrEnum):
    """Stages that reports cover: MOCK, DRY_RUN and the decision; LIVE; ROLLBACK."""

    REHEARSAL = "rehearsal"
    LIVE = "live"
    ROLLBACK = "rollback"


class CallError(StrEnum):
    """Errors of a live call: it failed; it is in doubt; it took effect, but its output cannot be used."""

    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    BROKEN = "broken"


class Decision(StrEnum):
    """Ends of the wait for approval; `waived` is the approval by the policy itself."""

    APPROVED = "approved"
    WAIVED = "waived"
    DENIED = "denied"
    EXPIRED = "expired"


class Tally(Mergeable):
    """Number of calls that ended, and of those that succeeded. A call in doubt does not count as a success."""

    calls: int = 0
    ok: int = 0


class Calls(Mergeable):
    """Calls by mode."""

    mock: Tally = Tally()
    dry_run: Tally = Tally()
    live: Tally = Tally()
    confidence: int = 0
    """Sum of the confidences that agents stated before the live calls, in millionths."""

    def tally(self, mode: Mode) -> Tally:
        """Return the calls of one mode."""
        match mode:
            case Mode.MOCK:
                return self.mock
            case Mode.DRY_RUN:
                return self.dry_run
            case Mode.LIVE:
                return self.live

    @property
    def stated(self) -> float | None:
        """Mean confidence that agents stated before the live calls, 0.0-1.0; None without live calls."""
        return self.confidence / MICRO / self.live.calls if self.live.calls else None


class ToolStats(Calls):
    """Calls of one tool. All fields except the tallies are about live calls."""

    errors: dict[CallError, int] = Field(default_factory=dict)
    matched: int = 0
    """Number of calls whose output was the one that the preview predicted."""
    differed: int = 0
    """Number of calls whose output was another one than the preview predicted."""
    drifted: int = 0
    """Number of calls with other arguments than the previewed ones."""
    slow: int = 0
    """Number of successful calls that took more than half of their contract's timeout."""
    irreversible: int = 0
    latency: Sketch = Sketch()
    """Durations of the last attempt of successful calls, in seconds. Kept in totals, and left out in windows."""


class Bucket(Mergeable):
    """Live calls of similar stated confidence."""

    calls: int = 0
    ok: int = 0
    confidence: int = 0
    """Sum of the stated confidences, in millionths."""
    squares: int = 0
    """Sum of `(confidence - outcome)²` with an outcome of 0 or 1, in millionths."""


class Aggregate(Mergeable):
    """All counts over a set of plans and a span of time."""

    reports: dict[Stage, int] = Field(default_factory=dict)
    tools: dict[str, ToolStats] = Field(default_factory=dict)
    other_tools: ToolStats = ToolStats()
    agents: dict[str, Calls] = Field(default_factory=dict)
    other_agents: Calls = Calls()
    confidence: dict[int, Bucket] = Field(default_factory=dict)
    """Live calls by number of their confidence bucket."""
    latency: Sketch = Sketch()
    """Durations of the successful live calls of all tools, in seconds."""
    stale: int = 0
    """Number of calls that were not made, because the state that their preview relied on had changed."""
    undone: int = 0
    undo_failed: int = 0
    kept: int = 0
    """Number of calls that a rollback left in place."""
    ceilings: dict[Mode, int] = Field(default_factory=dict)
    """Number of steps by the highest mode that they may reach."""
    rehearsals: int = 0
    """Number of plans that admission examined."""
    conflicted: int = 0
    """Number of those with a conflict."""
    conflicted_by: dict[ConflictKind, int] = Field(default_factory=dict)
    """Number of those with a conflict of that kind."""
    conflicts: dict[ConflictKind, int] = Field(default_factory=dict)
    """Number of conflicts by kind; one plan may have several."""
    answers: dict[Answer, int] = Field(default_factory=dict)
    """Number of conflicts by their answer."""
    decided: dict[Decision, int] = Field(default_factory=dict)
    waited: Sketch = Sketch()
    """Seconds from the request for approval to the decision."""
    outcomes: dict[Outcome, int] = Field(default_factory=dict)
    """Number of plans by outcome, without the undo runs."""
    ended_live: int = 0
    """Number of runs that ended and had been LIVE."""
    rolled_back: int = 0
    """Number of those that were rolled back."""
    clean: int = 0
    """Number of those that completed without a rollback."""
    undo_runs: int = 0
    """Number of undo runs, each of which undoes a plan after its end."""

    def tally(self, mode: Mode) -> Tally:
        """Return the calls of all tools in one mode."""
        return reduce(add, (tool.tally(mode) for tool in self.tools.values()), self.other_tools.tally(mode))

    def tool(self, name: str) -> ToolStats:
        """Return the counts of one tool; empty if it was never called, or is counted with the others."""
        return self.tools.get(short_name(name), ToolStats())

    def folded(self, tools: int, agents: int) -> "Aggregate":
        """Return the same counts with at most `tools` and `agents` names; the others are summed in `other_*`.

        The checksums of the names alone decide which names stay. A name among the first of all names is also among the first
        of any subset, so that the result depends neither on the order of reports nor on their division among monitors.
        """
        if len(self.tools) <= tools and len(self.agents) <= agents:
            return self
        kept_tools, other_tools = _split(self.tools, tools)
        kept_agents, other_agents = _split(self.agents, agents)
        return self.model_copy(
            update={
                "tools": kept_tools,
                "other_tools": reduce(add, other_tools, self.other_tools),
                "agents": kept_agents,
                "other_agents": reduce(add, other_agents, self.other_agents),
            }
        )

    def brief(self) -> "Aggregate":
        """Return the counts that one period of a window keeps: fewer names, and latency over all tools only."""
        small = self.folded(BRIEF_TOOLS, BRIEF_AGENTS)
        no_latency = {"latency": Sketch()}
        return small.model_copy(
            update={
                "tools": {name: tool.model_copy(update=no_latency) for name, tool in small.tools.items()},
                "other_tools": small.other_tools.model_copy(update=no_latency),
            }
        )


def merged(parts: Iterable[Aggregate], tools: int = MAX_TOOLS, agents: int = MAX_AGENTS) -> Aggregate:
    """Return the sum of all parts. It is associative and commutative, and every count is exact."""
    return reduce(lambda one, other: (one + other).folded(tools, agents), parts, Aggregate())


def short_name(name: str) -> str:
    """Return a printable name of at most `MAX_NAME` characters; a longer one is cut and ends in its checksum."""
    name = "".join(character if character.isprintable() else "?" for character in name)
    if len(name) <= MAX_NAME:
        return name
    checksum = f"…{zlib.crc32(name.encode('utf-8', 'replace')):08x}"
    return name[: MAX_NAME - len(checksum)] + checksum


_Counted = TypeVar("_Counted")


def _split(counted: Mapping[str, _Counted], keep: int) -> tuple[dict[str, _Counted], list[_Counted]]:
    if len(counted) <= keep:
        return dict(counted), []
    first = sorted(counted, key=lambda name: (zlib.crc32(name.encode("utf-8", "replace")), name))
    return {name: counted[name] for name in first[:keep]}, [counted[name] for name in first[keep:]]
