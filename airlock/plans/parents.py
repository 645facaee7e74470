"""Direct dependencies between steps: what most of the core knows of the graph, without the graph library."""

from collections.abc import Mapping

from airlock.plans.plan import Plan

Parents = Mapping[str, tuple[str, ...]]
"""Direct dependencies of each step, sorted."""


def parents_of(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Return the direct dependencies of each step, sorted."""
    return {step.id: step.parents for step in plan.steps}


def reversed_parents(parents: Parents) -> dict[str, tuple[str, ...]]:
    """Return the same graph with every edge reversed, as a rollback walks it."""
    children: dict[str, list[str]] = {step: [] for step in sorted(parents)}
    for step in sorted(parents):
        for parent in parents[step]:
            children[parent].append(step)
    return {step: tuple(found) for step, found in children.items()}
