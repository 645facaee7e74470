"""Ledger of the gate: the live calls and the cost of every agent over time windows.

It never counts too little: a call that may lie in a window counts as being in it. Times are arguments, in seconds
since the epoch, UTC.
"""

import math
from collections.abc import Mapping

from pydantic import BaseModel, Field

from airlock.admission.budget import Spending
from airlock.admission.policy import WindowBudget

BUCKETS = 60
"""Limit of buckets per agent. A bucket counts until all of it has left the window."""
MAX_BUCKETS = 6_000
"""Limit of buckets of all agents together. Beyond it, buckets are merged into longer ones, which counts too much."""
MAX_AGENTS = 1_000
"""Limit of agents in one ledger."""
MAX_BOOKED = 1_000
"""Number of the latest requests remembered, so that none of them is booked twice."""
_DIGITS = 9

Bucket = tuple[float, int, int, float]
"""End of the bucket, and the live calls, irreversible calls and cost in it."""


class AgentLedger(BaseModel):
    """Calls and cost of one agent in the longest window requested."""

    per: float = 0.0
    """Longest window requested, in seconds."""
    buckets: list[Bucket] = Field(default_factory=list)

    def used(self, per: float, now: float) -> Spending:
        """Return the calls and the cost of the last `per` seconds, rounded up to whole buckets."""
        within = [bucket for bucket in self.buckets if bucket[0] > now - per]
        return Spending(
            live_calls=sum(bucket[1] for bucket in within),
            irreversible_calls=sum(bucket[2] for bucket in within),
            cost=round(sum(bucket[3] for bucket in within), _DIGITS),
        )

    def add(self, spent: Spending, per: float, now: float) -> None:
        """Book calls and cost at this moment."""
        self.per = max(self.per, per)
        width = per / (BUCKETS - 1)
        end = (math.floor(now / width) + 1) * width
        self.buckets.append((end, spent.live_calls, spent.irreversible_calls, spent.cost))
        if len(self.buckets) > 1 and self.buckets[-2][0] >= end:
            self._merge(len(self.buckets) - 2)
        self.shrink(BUCKETS)

    def prune(self, now: float) -> None:
        """Discard the buckets that have left the longest window."""
        self.buckets = [bucket for bucket in self.buckets if bucket[0] > now - self.per]

    def shrink(self, limit: int) -> None:
        """Merge the oldest buckets until at most `limit` are left."""
        while len(self.buckets) > max(limit, 1):
            self._merge(0)

    def _merge(self, at: int) -> None:
        first, second = self.buckets[at], self.buckets.pop(at + 1)
        self.buckets[at] = (max(first[0], second[0]), first[1] + second[1], first[2] + second[2], first[3] + second[3])


class BudgetLedger(BaseModel):
    """Ledgers of all agents."""

    agents: dict[str, AgentLedger] = Field(default_factory=dict)
    booked: list[str] = Field(default_factory=list)
    """Keys of the latest requests that were booked."""

    def refusal(self, key: str, spending: Mapping[str, Spending], budgets: Mapping[str, WindowBudget], now: float) -> str:
        """Return the reason why a request exceeds a budget, in one sentence; empty if it does not, or if it is booked.

        Args:
            key: Key of the request.
            spending: Calls and cost that the request adds, by agent.
            budgets: Limits, by agent; an agent without one is not counted.
            now: Seconds since the epoch.
        """
        if key in self.booked:
            return ""
        for agent, budget in sorted(budgets.items()):
            wanted = spending.get(agent)
            if wanted is None:
                continue
            ledger = self.agents.get(agent)
            used = ledger.used(budget.seconds, now) if ledger else Spending()
            if sentence := _exceeded(agent, used, wanted, budget):
                return sentence
        if len(self.agents.keys() | budgets.keys()) > MAX_AGENTS:
            self.prune(now)
            if len(self.agents.keys() | budgets.keys()) > MAX_AGENTS:
                return f"the live gate keeps the budgets of at most {MAX_AGENTS:,} agents at a time"
        return ""

    def book(self, key: str, spending: Mapping[str, Spending], budgets: Mapping[str, WindowBudget], now: float) -> None:
        """Book a request once. The arguments are those of `refusal`."""
        paid = sorted(agent for agent in budgets if agent in spending and spending[agent] != Spending())
        if key in self.booked or not paid:
            return
        self.booked = [*self.booked, key][-MAX_BOOKED:]
        for agent in paid:
            ledger = self.agents.setdefault(agent, AgentLedger())
            ledger.add(spending[agent], budgets[agent].seconds, now)
            ledger.prune(now)
        if sum(len(ledger.buckets) for ledger in self.agents.values()) > MAX_BUCKETS:
            self.prune(now)

    def prune(self, now: float) -> None:
        """Discard the buckets that have left their window; above the limit, merge the others."""
        for ledger in self.agents.values():
            ledger.prune(now)
        self.agents = {agent: ledger for agent, ledger in self.agents.items() if ledger.buckets}
        if sum(len(ledger.buckets) for ledger in self.agents.values()) > MAX_BUCKETS:
            for ledger in self.agents.values():
                ledger.shrink(MAX_BUCKETS // (2 * len(self.agents)))


def _exceeded(agent: str, used: Spending, wanted: Spending, budget: WindowBudget) -> str:
    for kind, had, more, allowed in (
        ("live", used.live_calls, wanted.live_calls, budget.live_calls),
        ("irreversible", used.irreversible_calls, wanted.irreversible_calls, budget.irreversible_calls),
    ):
        if allowed is not None and more > 0 and had + more > allowed:
            calls = f"{had + more} {kind} call{'' if had + more == 1 else 's'}"
            be = "is" if allowed == 1 else "are"
            return f"agent {agent!r} would make {calls} within {budget.per}, {allowed} {be} allowed ({had} used)"
    total = round(used.cost + wanted.cost, _DIGITS)
    if budget.cost is not None and wanted.cost > 0 and total > budget.cost:
        return f"agent {agent!r} would cost {total:g} within {budget.per}, {budget.cost:g} is allowed ({used.cost:g} used)"
    return ""
