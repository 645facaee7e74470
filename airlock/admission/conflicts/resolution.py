"""All detectors in their order, each on what the one before has changed."""

from collections.abc import Mapping
from dataclasses import dataclass

from airlock.admission.conflicts.conflict import Conflict, bounded
from airlock.admission.conflicts.limits import (
    find_duplicates,
    find_made_elsewhere,
    find_permissions,
    find_rate_limits,
    find_timeouts,
)
from airlock.admission.conflicts.ordering import find_ordering, find_resources
from airlock.admission.conflicts.situation import Findings, Situation
from airlock.base.errors import Problem


@dataclass(frozen=True)
class Resolution:
    """A plan whose conflicts are answered: `scene` with every change, or the `problems` that refuse it."""

    scene: Situation
    conflicts: tuple[Conflict, ...] = ()
    reassigned: tuple[tuple[str, str], ...] = ()
    problems: tuple[Problem, ...] = ()


def resolve(scene: Situation, standing: Mapping[str, str]) -> Resolution:
    """Answer every conflict of a plan. What is resolved has no conflict left; a plan without any is not changed.

    The order of the detectors:

    1. ORDERING, because it moves steps and changes agents, which everything else is about.
    2. PERMISSION, then DUPLICATE_ACTION: such steps make no live call, so they count nowhere below.
    3. TIMEOUT along the plan's own order, then RATE_LIMIT: what comes too late makes no call either.
    4. RESOURCE among the remaining steps, so that no step waits for, or falls with, a call that is not made.
    5. TIMEOUT once more, because waiting for a resource takes time.

    Args:
        scene: The plan.
        standing: What other plans have to do with its irreversible calls, one sentence by step.
    """
    conflicts: list[Conflict] = []
    moved = find_ordering(scene)
    if moved.problems:
        return Resolution(scene, problems=moved.problems)
    for detector in (
        lambda _: moved,
        find_permissions,
        lambda now: find_made_elsewhere(now, standing),
        find_duplicates,
        find_timeouts,
        find_rate_limits,
        find_resources,
        find_timeouts,
    ):
        found: Findings = detector(scene)
        conflicts += found.conflicts
        scene = scene.after(found)
    return Resolution(scene, bounded(conflicts), tuple(sorted(moved.agents.items())))
