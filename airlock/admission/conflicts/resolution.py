"""The detectors in their order; each sees the changes of the previous one."""

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
    """A plan whose conflicts are answered."""

    situation: Situation
    """The plan with every change applied."""
    conflicts: tuple[Conflict, ...] = ()
    reassigned: tuple[tuple[str, str], ...] = ()
    """Pairs (step, new agent), sorted."""
    problems: tuple[Problem, ...] = ()
    """Conflicts without an answer; they refuse the plan."""


def resolve(situation: Situation, standing: Mapping[str, str]) -> Resolution:
    """Answer every conflict of a plan. A resolved plan has no conflict left; a plan without conflicts stays unchanged.

    The order of the detectors:

    1. ORDERING, because it moves steps and changes agents, on which all other detectors depend.
    2. PERMISSION, then DUPLICATE_ACTION: such steps make no live call and do not count below.
    3. TIMEOUT in the plan's own order, then RATE_LIMIT: a step that comes too late makes no call either.
    4. RESOURCE among the remaining steps, so that no step waits for a call that is not made.
    5. TIMEOUT again, because waiting for a resource takes time.

    Args:
        situation: The plan.
        standing: For each step whose call another plan claims, a sentence about that claim.
    """
    conflicts: list[Conflict] = []
    moved = find_ordering(situation)
    if moved.problems:
        return Resolution(situation, problems=moved.problems)
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
        found: Findings = detector(situation)
        conflicts += found.conflicts
        situation = situation.after(found)
    return Resolution(situation, bounded(conflicts), tuple(sorted(moved.agents.items())))
