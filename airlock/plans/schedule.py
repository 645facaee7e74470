"""The schedule of calls: as parallel as the graph allows, irreversible calls as late as it allows."""

from bisect import insort
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice, takewhile

from airlock.plans.parents import Parents, reversed_parents

CHAIN_LIMIT = 3
"""The most calls of a chain that share one activity; guarded calls never share one (ADR 0003)."""
MAX_IN_FLIGHT = 200
"""The most activities that one plan has open at a time; Temporal refuses more than 2,000."""


class Schedule:
    """The steps that may start now, given the steps that are done.

    Args:
        parents: The direct dependencies of each step.
        wanted: The steps to schedule, except those of `done`.
        done: The steps that are finished already.
        late: The steps that run alone, and only if nothing else can start or is running (irreversible calls).
        chainable: The steps that may start together with the single step that they wait for.
        group: The group of each step whose concurrency is limited; such a step is never part of a chain.
        slots: The most steps of a group that run at once, by group; 1 for a group that is absent.
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
        """The steps that have started and are not finished, sorted."""
        return tuple(sorted(self._running))

    def take(
        self, limit: int = MAX_IN_FLIGHT, admit: Callable[[tuple[str, ...]], tuple[str, ...]] = lambda chain: chain
    ) -> tuple[tuple[str, ...], ...]:
        """Start up to `limit` independent chains and return them; the steps of a chain run in its order.

        Args:
            limit: The most chains to start.
            admit: Returns the beginning of a chain that may start now, or () if it and all others must wait.
        """
        free = [self._chain(step) for step in islice(self._free(), max(limit, 0))]
        if not free and not self._running and self._ready and limit > 0:
            free = [(self._ready[0],)]
        chains = tuple(takewhile(bool, map(admit, free)))
        for chain in chains:
            self._ready.remove(chain[0])
            self._running.update(chain)
        return chains

    def _free(self) -> Iterator[str]:
        """Yield the ready steps that are not late, as many of each group as its slots allow."""
        used = Counter(self._group[step] for step in self._running if step in self._group)
        for step in self._ready:
            if step in self._late:
                continue
            if step in self._group:
                if used[self._group[step]] >= self._slots.get(self._group[step], 1):
                    continue
                used[self._group[step]] += 1
            yield step

    def only(self, admit: Callable[[tuple[str, ...]], tuple[str, ...]] = lambda chain: chain) -> tuple[str, ...]:
        """Start the chain that alone may start now, and return it; () if there is none or more than one."""
        chains = () if len(list(islice(self._free(), 2))) > 1 else self.take(1, admit)
        return chains[0] if chains else ()

    def drop(self, step: str) -> None:
        """Record that a started step will never be done; the steps that wait for it never start."""
        self._running.discard(step)

    def finish(self, step: str) -> None:
        """Record that a step is done; the steps that wait for it may start."""
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
    """Return the order of calls of equal duration; the first late call is the point of no return."""
    schedule = Schedule(parents, wanted, done, late)
    order: list[str] = []
    while chains := schedule.take(limit=len(parents)):
        for (step,) in chains:
            schedule.finish(step)
            order.append(step)
    return tuple(order)
