"""The inbox of the people who decide: every plan that waits for one of them, and what stops all plans.

An item is an index, no preview: what may be approved is the checked preview of the plan, which its reader must open.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum

from airlock.base.model import WireModel
from airlock.base.person import folded
from airlock.gates.locks import GateLock
from airlock.run.presentation.whose_words import spoken

RISKS = ("LOW", "MEDIUM", "HIGH")
"""All risks, lowest first."""
MOST_CHOICES = 200
"""Names of agents, or of tools, among which people choose: those of the most plans."""
_SEARCHED = 20_000
"""Characters of a plan that a filter looks through; a plan may have thousands of agents."""


class WaitKind(StrEnum):
    """The decision for which a plan waits, the most urgent first."""

    IN_DOUBT = "in doubt"
    """A call may or may not have taken effect: a person settles it."""
    UNDO_FAILED = "undo failed"
    """A compensation failed: a person settles it."""
    APPROVAL = "approval"
    """A preview waits for approval, of a plan or of an undo."""
    LOCKED = "locked"
    """A person, or a failure under a policy that does not roll back, has stopped the plan."""
    LOCKED_BY_GATE = "system lock"
    """The lock of the live gate has stopped the plan, and is lifted there."""


_ORDER = {kind: place for place, kind in enumerate(WaitKind)}


class InboxItem(WireModel):
    """One plan that waits for a person. Times are UTC."""

    plan_id: str
    """Plan id; `undo-<plan_id>` for an undo."""
    run_id: str
    kind: WaitKind
    state: str
    undo: bool = False
    """True if it is the undo of a plan that has ended."""
    goal: str = ""
    requested_by: str = ""
    waits_for: str = ""
    why: str = ""
    """The reason of the state."""
    why_by: str = ""
    """The person whose words that reason is; empty where it is Airlock's own."""
    agents: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    risk: str | None = None
    """The highest risk of its steps."""
    steps: int = 0
    live_steps: int = 0
    """Number of steps that an approval could let go live."""
    irreversible: int = 0
    """Number of those that cannot be undone."""
    approvals: tuple[str, ...] = ()
    """The people who have approved so far."""
    approvals_required: int = 0
    parked: tuple[str, ...] = ()
    """The steps that wait to be settled."""
    digest: str | None = None
    """The digest of the seal as the run tells it. Nothing checks it: approve the digest of a checked preview."""
    expires_at: datetime | None = None
    since: datetime | None = None
    """The time at which it came into its state."""
    started_at: datetime | None = None
    problem: str = ""
    """The reason why its run did not answer; the item then holds what Temporal itself knows."""

    @property
    def why_words(self) -> str:
        """The reason of the state for people; the words of a person stand in quotes, with the name."""
        return spoken(self.why, self.why_by)


class SystemLock(WireModel):
    """The locks of the live gate, which every plan passes."""

    locks: tuple[GateLock, ...] = ()
    problem: str = ""
    """The reason why the gate cannot be read; while that lasts, no plan goes live."""

    @property
    def everything(self) -> bool:
        """True if a lock without a scope stops all plans."""
        return any(lock.scope is None for lock in self.locks)


class InboxFilter(WireModel):
    """A choice among the items; what is empty chooses all. Names and texts match in every spelling."""

    agent: str = ""
    tool: str = ""
    risk: str = ""
    kind: str = ""
    text: str = ""
    """A part of a plan id, goal, requester, agent, tool, or of what it waits for; words in any order."""

    @property
    def empty(self) -> bool:
        """True if it chooses all."""
        return not any((self.agent, self.tool, self.risk, self.kind, self.text))

    def takes(self, item: InboxItem) -> bool:
        """Return True if an item is among those chosen."""
        return (
            (not self.agent or folded(self.agent) in map(folded, item.agents))
            and (not self.tool or folded(self.tool) in map(folded, item.tools))
            and (not self.risk or self.risk.upper() == item.risk)
            and (not self.kind or self.kind == item.kind)
            and all(word in _searched(item) for word in folded(self.text).split())
        )


def _searched(item: InboxItem) -> str:
    parts = (item.plan_id, item.goal, item.requested_by, item.waits_for, item.why, *item.parked, *item.agents, *item.tools)
    return folded("\n".join(parts)[:_SEARCHED])


class InboxPage(WireModel):
    """One page of the chosen items."""

    items: tuple[InboxItem, ...]
    number: int
    """The number of this page, from 1."""
    pages: int
    chosen: int
    """Number of items on all pages."""


class Inbox(WireModel):
    """Everything that waits for a person at one moment."""

    items: tuple[InboxItem, ...] = ()
    """In the order of their urgency, see `in_order`."""
    lock: SystemLock = SystemLock()
    not_listed: int = 0
    """Number of further plans that visibility counts and this inbox does not hold."""
    at: datetime
    """The time of the reading, UTC."""

    def chosen(self, filter: InboxFilter) -> tuple[InboxItem, ...]:
        """Return the items that a filter takes."""
        return self.items if filter.empty else tuple(item for item in self.items if filter.takes(item))

    def page(self, filter: InboxFilter, number: int = 1, size: int = 25) -> InboxPage:
        """Return one page of the items that a filter takes; a number beyond the last page gives the last one."""
        found = self.chosen(filter)
        pages = max(1, -(-len(found) // size))
        number = min(max(1, number), pages)
        return InboxPage(items=found[(number - 1) * size : number * size], number=number, pages=pages, chosen=len(found))

    def counts(self) -> "InboxCounts":
        """Return the number of items by each thing that a filter can choose."""
        return InboxCounts(
            kinds=_counted([item.kind.value for item in self.items], [kind.value for kind in WaitKind]),
            risks=_counted([item.risk for item in self.items if item.risk], RISKS[::-1]),
            agents=_counted([agent for item in self.items for agent in item.agents]),
            tools=_counted([tool for item in self.items for tool in item.tools]),
        )


class InboxCounts(WireModel):
    """Numbers of items, in the order in which they are shown."""

    kinds: tuple[tuple[str, int], ...]
    risks: tuple[tuple[str, int], ...]
    agents: tuple[tuple[str, int], ...]
    tools: tuple[tuple[str, int], ...]


def _counted(values: Iterable[str], order: Sequence[str] | None = None) -> tuple[tuple[str, int], ...]:
    numbers = Counter(values)
    if order is None:
        return tuple(sorted(numbers.most_common(MOST_CHOICES)))
    return tuple((value, numbers[value]) for value in order if numbers[value])


def in_order(items: Iterable[InboxItem]) -> tuple[InboxItem, ...]:
    """Return items in the order in which people should look at them.

    What may have half happened comes first, then what expires, the earliest expiry first, then what is locked. Items
    without an expiry stand by the time for which they have waited, the longest first.
    """

    def place(item: InboxItem) -> tuple[int, bool, float, str]:
        at = item.expires_at or item.since or item.started_at
        return _ORDER[item.kind], at is None, at.timestamp() if at else 0.0, item.plan_id

    return tuple(sorted(items, key=place))
