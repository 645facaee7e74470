"""The graph of a plan: dependencies between steps, and the orders that follow from them.

networkx finds the cycles. It is imported for a plan that has one: that takes longer than the check of a small plan.
"""

import heapq
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from airlock.base.errors import Problem
from airlock.base.likely import likely_fix
from airlock.plans.parents import Parents, parents_of, reversed_parents
from airlock.plans.plan import Plan, Step
from airlock.plans.refs import REF, markers

if TYPE_CHECKING:
    import networkx as nx

_HOLDERS = ("steps", "step", "outputs", "output", "results", "result")
"""Words that other formats write before the id of a step in a reference."""
_SUGGESTED = 20
"""Absent steps for which a similar name is looked for, which takes a walk over all steps."""


@dataclass(frozen=True)
class PlanGraph:
    """The dependencies between steps, with everything derived from them computed once."""

    parents: Parents
    """The direct dependencies of each step."""

    @classmethod
    def of(cls, plan: Plan) -> "PlanGraph":
        """Return the graph of a plan as it was written."""
        return cls(parents_of(plan))

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Every step after all it depends on; among equals by id.

        Raises:
            graphlib.CycleError: If steps depend on each other in a cycle.
        """
        return topological_order(self.parents, self.children)

    @cached_property
    def children(self) -> Parents:
        """The steps that depend directly on each step."""
        return reversed_parents(self.parents)

    @property
    def acyclic(self) -> bool:
        """True if no step depends on itself, directly or through other steps."""
        try:
            return bool(self.order) or not self.parents
        except CycleError:
            return False

    def with_edges(self, edges: Iterable[tuple[str, str]]) -> "PlanGraph":
        """Return the graph with more dependencies; each edge is a pair (earlier step, later step)."""
        added: dict[str, set[str]] = {}
        for earlier, later in edges:
            added.setdefault(later, set()).add(earlier)
        if not added:
            return self
        return PlanGraph(
            {
                step: tuple(sorted({*parents, *added[step]})) if step in added else parents
                for step, parents in self.parents.items()
            }
        )


def graph_problems(plan: Plan, graph: PlanGraph | None = None) -> list[Problem]:
    """Return the step ids used twice, the dependencies on steps that do not exist, and the cycles.

    Args:
        plan: The plan.
        graph: The graph of that plan, if the caller has it already.
    """
    graph = graph or PlanGraph.of(plan)
    problems: list[Problem] = []
    seen: set[str] = set()
    for step in plan.steps:
        if step.id in seen:
            problems.append(
                Problem(
                    where=f"steps.{step.id}.id",
                    message="two steps have this id",
                    fix="give each step an id of its own",
                )
            )
        seen.add(step.id)
    absent = 0
    for step in plan.steps:
        # of two steps with one id the graph knows only the last
        for parent in step.parents if problems else graph.parents[step.id]:
            if parent not in seen:
                absent += 1
                problems.append(_absent(step, parent, seen if absent <= _SUGGESTED else ()))
    known = {step: tuple(parent for parent in parents if parent in seen) for step, parents in graph.parents.items()}
    return problems + _cycle_problems(PlanGraph(known) if absent else graph)


def _absent(step: Step, parent: str, names: Collection[str]) -> Problem:
    reads = [marker.path for marker in markers(step.args) if marker.kind == REF and marker.step == parent]
    place = "after" if parent in step.after or not reads else f"args.{reads[0]}"
    return Problem(
        where=f"steps.{step.id}.{place}",
        message=f"names step {parent!r}, which is not in the plan",
        fix=likely_fix(parent, sorted(names), _fix_of_absent(step, parent)),
    )


def _fix_of_absent(step: Step, parent: str) -> str:
    if parent in _HOLDERS and parent not in step.after:
        return 'begin with the id of the step itself: {"$ref": "<step>.<path>"}, without a word before it'
    return f"name one of the plan's steps, or add a step {parent!r}"


def _cycle_problems(graph: PlanGraph) -> list[Problem]:
    if graph.acyclic:
        return []
    return [
        Problem(
            where=f"steps.{cycle[0]}",
            message=f"depends on itself: {' -> '.join(cycle)}",
            fix="remove one of these dependencies from 'after' or '$ref'",
        )
        for cycle in cycles(graph.parents)
    ]


def cycles(parents: Parents) -> list[tuple[str, ...]]:
    """Return one cycle for each strongly connected component, sorted; its first node stands again at its end."""
    with suppress(CycleError):
        TopologicalSorter(parents).prepare()
        return []
    import networkx as nx

    graph = _digraph(parents)
    walks: list[tuple[str, ...]] = []
    for component in sorted(sorted(found) for found in nx.strongly_connected_components(graph)):
        if len(component) > 1 or graph.has_edge(component[0], component[0]):
            inside = {step: tuple(parent for parent in parents[step] if parent in component) for step in component}
            edges = nx.find_cycle(_digraph(inside), component[0])
            walks.append((*(edge[0] for edge in edges), edges[0][0]))
    return walks


def _digraph(parents: Parents) -> "nx.DiGraph[str]":
    import networkx as nx

    # networkx keeps insertion order, so everything is sorted: the result must not depend on the hash seed
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(sorted(parents))
    graph.add_edges_from((parent, child) for child in sorted(parents) for parent in parents[child])
    return graph


def topological_order(parents: Parents, children: Parents | None = None) -> tuple[str, ...]:
    """Return every step after all it depends on; among equals by id, so that the order is the same on every machine.

    Args:
        parents: The direct dependencies of each step.
        children: The same graph with every edge reversed, if the caller has it already.

    Raises:
        graphlib.CycleError: If steps depend on each other in a cycle.
    """
    below = reversed_parents(parents) if children is None else children
    left = {step: len(above) for step, above in parents.items()}
    ready = sorted(step for step, above in left.items() if not above)
    order: list[str] = []
    while ready:
        order.append(heapq.heappop(ready))
        for child in below[order[-1]]:
            left[child] -= 1
            if not left[child]:
                heapq.heappush(ready, child)
    if len(order) < len(left):
        raise CycleError("some steps depend on each other in a cycle", sorted(left.keys() - order))
    return tuple(order)


def waves(parents: Parents, steps: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """Group some steps so that each group depends only on earlier groups; each group is sorted."""
    kept = {step: tuple(parent for parent in parents[step] if parent in steps) for step in sorted(steps)}
    place: dict[str, int] = {}
    groups: list[list[str]] = []
    for step in topological_order(kept):
        place[step] = 1 + max((place[parent] for parent in kept[step]), default=-1)
        groups.extend([] for _ in range(place[step] + 1 - len(groups)))
        groups[place[step]].append(step)
    return tuple(tuple(sorted(group)) for group in groups)


def descendants(parents: Parents, step: str) -> tuple[str, ...]:
    """Return everything that depends on a step, directly or through other steps, sorted."""
    return tuple(sorted(dependents(parents, (step,)) - {step}))


def dependents(parents: Parents, steps: Iterable[str]) -> frozenset[str]:
    """Return some steps and everything that depends on any of them, in one walk, however many steps these are."""
    children = reversed_parents(parents)
    seen = set(steps)
    pending = list(seen)
    while pending:
        found = [child for child in children[pending.pop()] if child not in seen]
        seen.update(found)
        pending += found
    return frozenset(seen)
