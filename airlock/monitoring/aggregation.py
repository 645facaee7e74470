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
from airlock.run.state import Outcome

MAX_TOOLS = 150
"""The number of tools that are counted by name; all others are counted together."""
MAX_AGENTS = 150
"""The number of agents that are counted by name; all others are counted together."""
BRIEF_TOOLS = 48
"""The number of tools that a short stretch of time counts by name."""
BRIEF_AGENTS = 24
"""The number of agents that a short stretch of time counts by name."""
MAX_NAME = 60
"""A longer name is cut to this many characters, with a checksum of all of it at its end."""
MICRO = 1_000_000
"""Confidences are summed as whole millionths, so that sums are exact."""
BUCKETS = 10
"""Confidence is counted in so many buckets of equal width."""


class Stage(StrEnum):
    """The subject of a report: MOCK, DRY_RUN and the decision; LIVE; ROLLBACK."""

    REHEARSAL = "rehearsal"
    LIVE = "live"
    ROLLBACK = "rollback"


class CallError(StrEnum):
    """The way a live call went wrong: it failed; its effect is in doubt; it took effect, but its output is of no use."""

    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    BROKEN = "broken"


class Decision(StrEnum):
    """The end of waiting for approval; `waived` is the policy's own approval."""

    APPROVED = "approved"
    WAIVED = "waived"
    DENIED = "denied"
    EXPIRED = "expired"


class Tally(Mergeable):
    """The calls that ended, and those of them that succeeded. A call in doubt counts as one that did not."""

    calls: int = 0
    ok: int = 0


class Calls(Mergeable):
    """Calls by mode. `confidence` sums what agents stated before the live calls, in millionths."""

    mock: Tally = Tally()
    dry_run: Tally = Tally()
    live: Tally = Tally()
    confidence: int = 0

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
        """The mean confidence agents stated before the live calls, 0.0-1.0; None when there were none."""
        return self.confidence / MICRO / self.live.calls if self.live.calls else None


class ToolStats(Calls):
    """One tool. Everything but the tallies is about live calls.

    `matched` and `differed` count calls whose preview predicted an output; `drifted` those that got other arguments than
    previewed; `slow` those that worked and took more than half of their contract's timeout. `latency` holds, in seconds,
    the last attempt of each call that worked; it is kept in totals, not in short stretches of time.
    """

    errors: dict[CallError, int] = Field(default_factory=dict)
    matched: int = 0
    differed: int = 0
    drifted: int = 0
    slow: int = 0
    irreversible: int = 0
    latency: Sketch = Sketch()


class Bucket(Mergeable):
    """Live calls of about the same stated confidence. The sums are in millionths; `squares` sums (confidence - 0 or 1)²."""

    calls: int = 0
    ok: int = 0
    confidence: int = 0
    squares: int = 0


class Aggregate(Mergeable):
    """Everything that is counted, over some plans and some time.

    `rehearsals` counts looks of admission at a plan, `conflicted` those that found a conflict, `conflicted_by` those that
    found one of that kind, while `conflicts` and `answers` count the conflicts themselves. `ended_live` counts runs that
    ended and had been LIVE, of which `rolled_back` were rolled back and `clean` completed without. The undo of a plan after
    its end is a run of its own, counted in `undo_runs` and not in `outcomes`. `waited` is how long people took to decide, in
    seconds. `stale` calls were not made. `ceilings` counts steps by the mode they might reach.
    """

    reports: dict[Stage, int] = Field(default_factory=dict)
    tools: dict[str, ToolStats] = Field(default_factory=dict)
    other_tools: ToolStats = ToolStats()
    agents: dict[str, Calls] = Field(default_factory=dict)
    other_agents: Calls = Calls()
    confidence: dict[int, Bucket] = Field(default_factory=dict)
    latency: Sketch = Sketch()
    stale: int = 0
    undone: int = 0
    undo_failed: int = 0
    kept: int = 0
    ceilings: dict[Mode, int] = Field(default_factory=dict)
    rehearsals: int = 0
    conflicted: int = 0
    conflicted_by: dict[ConflictKind, int] = Field(default_factory=dict)
    conflicts: dict[ConflictKind, int] = Field(default_factory=dict)
    answers: dict[Answer, int] = Field(default_factory=dict)
    decided: dict[Decision, int] = Field(default_factory=dict)
    waited: Sketch = Sketch()
    outcomes: dict[Outcome, int] = Field(default_factory=dict)
    ended_live: int = 0
    rolled_back: int = 0
    clean: int = 0
    undo_runs: int = 0

    def tally(self, mode: Mode) -> Tally:
        """Return all calls of one mode."""
        return reduce(add, (tool.tally(mode) for tool in self.tools.values()), self.other_tools.tally(mode))

    def tool(self, name: str) -> ToolStats:
        """Return the statistics of one tool by name; empty where it was never called, or is counted with the others."""
        return self.tools.get(short_name(name), ToolStats())

    def folded(self, tools: int, agents: int) -> "Aggregate":
        """Return the same counts with at most so many tools and agents by name, the rest as `other_tools`, `other_agents`.

        Which names are kept is decided by their checksums alone. A name among the first of all names is among the
        first of any part of them, so that no order and no division among monitors changes the result.
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
        """Return the part that a short stretch of time keeps: fewer names, and latency only over all tools."""
        small = self.folded(BRIEF_TOOLS, BRIEF_AGENTS)
        no_latency = {"latency": Sketch()}
        return small.model_copy(
            update={
                "tools": {name: tool.model_copy(update=no_latency) for name, tool in small.tools.items()},
                "other_tools": small.other_tools.model_copy(update=no_latency),
            }
        )


def merged(parts: Iterable[Aggregate], tools: int = MAX_TOOLS, agents: int = MAX_AGENTS) -> Aggregate:
    """Return all parts together. Associative and commutative; every count is exact."""
    return reduce(lambda one, other: (one + other).folded(tools, agents), parts, Aggregate())


def short_name(name: str) -> str:
    """Return a printable name of at most `MAX_NAME` characters.

    A longer one ends in a checksum that tells it from others.
    """
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
