"""The order of live calls: as parallel as the graph allows, irreversible calls as late as it allows."""

from bisect import insort
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from itertools import islice

from airlock.plans.graph import Parents, reversed_parents

CHAIN_LIMIT = 3
"""The most calls, each waiting only for the previous one, in one activity; guarded calls never share one (ADR 0003)."""
MAX_IN_FLIGHT = 200
"""The most activities that one plan has open at a time; Temporal refuses more than 2,000."""


class Schedule:
    """Hands out steps whose dependencies are done.

    Args:
        parents: The direct dependencies of each step.
        wanted: The steps to hand out, those of `done` left out.
        done: Steps that count as finished already.
        late: Steps that come one at a time, and only when nothing else can start or is running (irreversible calls).
        chainable: Steps that may be handed out together with the one they wait for.
        group: The group of a step of which only so many may run at once; such a step is never in a chain.
        slots: How many of a group may run at once, by group; a group that is not named here has one.
    """

    def __init__(
        self,
        parents: Parents,
        wanted: Collection[str],
        done: Collection[str] = (),
        late: Collection[str] = (),
        chainable: Collection[str] = (),
        group: Mapping[str, str] | None = None,
        slots: Mapping[str, int] | None = None,
    ) -> None:
        finished, open_steps = set(done), sorted(set(wanted) - set(done))
        self._children = reversed_parents(parents)
        self._late = frozenset(late)
        self._group = dict(group or {})
        self._slots = dict(slots or {})
        self._chainable = frozenset(chainable) - self._late - frozenset(self._group)
        self._waiting_for = {step: sum(parent not in finished for parent in parents[step]) for step in open_steps}
        self._ready = [step for step in open_steps if self._waiting_for[step] == 0]
        self._running: set[str] = set()

    @property
    def running(self) -> tuple[str, ...]:
        """The steps that were handed out and are not finished, sorted."""
        return tuple(sorted(self._running))

    def take(self, limit: int = MAX_IN_FLIGHT) -> tuple[tuple[str, ...], ...]:
        """Up to `limit` chains that may start now, independent of each other; each is to be called in its order."""
        chains = tuple(self._chain(step) for step in islice(self._free(), max(limit, 0)))
        if not chains and not self._running and self._ready and limit > 0:
            chains = ((self._ready[0],),)
        for chain in chains:
            self._ready.remove(chain[0])
            self._running.update(chain)
        return chains

    def _free(self) -> Iterator[str]:
        """Yield the ready steps that are not late, as many of each group as may run."""
        used = Counter(self._group[step] for step in self._running if step in self._group)
        for step in self._ready:
            if step in self._late:
                continue
            if step in self._group:
                if used[self._group[step]] >= self._slots.get(self._group[step], 1):
                    continue
                used[self._group[step]] += 1
            yield step

    def drop(self, step: str) -> None:
        """Record that a step that was handed out is not done and will not be; what waits for it never starts."""
        self._running.discard(step)

    def finish(self, step: str) -> None:
        """Record that a step is done, so that those waiting for it may start."""
        self._running.discard(step)
        for child in self._children[step]:
            if child not in self._waiting_for:
                continue
            self._waiting_for[child] -= 1
            if self._waiting_for[child] == 0 and child not in self._running:
                insort(self._ready, child)

    def _chain(self, first: str) -> tuple[str, ...]:
        chain = [first]
        while len(chain) < CHAIN_LIMIT and chain[-1] in self._chainable:
            followers = [child for child in self._children[chain[-1]] if child in self._waiting_for]
            if len(followers) != 1 or followers[0] not in self._chainable or self._waiting_for[followers[0]] != 1:
                break
            chain.append(followers[0])
        return tuple(chain)


def live_order(parents: Parents, wanted: Collection[str], done: Collection[str], late: Collection[str]) -> tuple[str, ...]:
    """Return the order of the calls if each took the same time; the first late one is the point of no return."""
    schedule = Schedule(parents, wanted, done, late)
    order: list[str] = []
    while chains := schedule.take(limit=len(parents)):
        for (step,) in chains:
            schedule.finish(step)
            order.append(step)
    return tuple(order)
