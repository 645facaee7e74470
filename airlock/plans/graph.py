"""The plan's graph: what depends on what, and in which order."""

from collections.abc import Collection, Mapping

import networkx as nx

from airlock.base.errors import Problem
from airlock.plans.plan import Plan

Parents = Mapping[str, tuple[str, ...]]


def parents_of(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Return the direct dependencies of each step, sorted."""
    return {step.id: step.parents for step in plan.steps}


def graph_problems(plan: Plan) -> list[Problem]:
    """Step ids used twice, dependencies on steps that do not exist, and cycles."""
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
    for step in plan.steps:
        for parent in step.parents:
            if parent not in seen:
                kind = "after" if parent in step.after else "$ref"
                problems.append(
                    Problem(
                        where=f"steps.{step.id}.{kind}",
                        message=f"names step {parent!r}, which is not in the plan",
                        fix=f"name one of the plan's steps, or add a step {parent!r}",
                    )
                )
    return problems or _cycles(parents_of(plan))


def _cycles(parents: Parents) -> list[Problem]:
    return [
        Problem(
            where=f"steps.{walk[0]}",
            message=f"depends on itself: {' -> '.join(walk)}",
            fix="remove one of these dependencies from 'after' or '$ref'",
        )
        for walk in circles(parents)
    ]


def circles(parents: Parents) -> list[tuple[str, ...]]:
    """Return one circle for each knot of nodes that come before each other, its first node again at its end; sorted."""
    graph = _digraph(parents)
    walks: list[tuple[str, ...]] = []
    for component in sorted(sorted(found) for found in nx.strongly_connected_components(graph)):
        if len(component) > 1 or graph.has_edge(component[0], component[0]):
            inside = {step: tuple(parent for parent in parents[step] if parent in component) for step in component}
            edges = nx.find_cycle(_digraph(inside), component[0])
            walks.append((*(edge[0] for edge in edges), edges[0][0]))
    return walks


def _digraph(parents: Parents) -> "nx.DiGraph[str]":
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(sorted(parents))
    graph.add_edges_from((parent, child) for child in sorted(parents) for parent in parents[child])
    return graph


def topological_order(parents: Parents) -> tuple[str, ...]:
    """Return every step after all it depends on; among equals by id, so that it is the same everywhere."""
    return tuple(nx.lexicographical_topological_sort(_digraph(parents)))


def waves(parents: Parents, steps: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """Return some steps grouped so that each group depends only on earlier groups; each group sorted."""
    kept = {step: tuple(parent for parent in parents[step] if parent in steps) for step in sorted(steps)}
    return tuple(tuple(sorted(wave)) for wave in nx.topological_generations(_digraph(kept)))


def descendants(parents: Parents, step: str) -> tuple[str, ...]:
    """Return everything that depends on a step, directly or not, sorted."""
    return tuple(sorted(nx.descendants(_digraph(parents), step)))


def reversed_parents(parents: Parents) -> dict[str, tuple[str, ...]]:
    """Return the same graph with every arrow turned round, as a rollback walks it."""
    children: dict[str, list[str]] = {step: [] for step in sorted(parents)}
    for step in sorted(parents):
        for parent in parents[step]:
            children[parent].append(step)
    return {step: tuple(found) for step, found in children.items()}
