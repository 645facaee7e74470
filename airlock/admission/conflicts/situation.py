"""A plan as the conflict detectors see it: steps, contracts, graph, and the limits of each step."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from airlock.admission.ceiling import Cap
from airlock.admission.conflicts.conflict import Conflict
from airlock.admission.policy import Policy
from airlock.base.errors import Problem
from airlock.plans.applied_rule import AppliedRule
from airlock.plans.contract import Contract, Mode
from airlock.plans.graph import PlanGraph
from airlock.plans.parents import Parents
from airlock.plans.plan import Step


@dataclass(frozen=True)
class Findings:
    """The conflicts that one detector found, and the changes that answer them."""

    conflicts: tuple[Conflict, ...] = ()
    edges: tuple[tuple[str, str], ...] = ()
    """New dependencies as pairs (earlier step, later step)."""
    caps: Mapping[str, Cap] = field(default_factory=dict)
    """The new limit of each step that gets one."""
    agents: Mapping[str, str] = field(default_factory=dict)
    """The new agent of each step that is moved."""
    problems: tuple[Problem, ...] = ()
    """Conflicts without an answer; they refuse the plan."""


@dataclass(frozen=True)
class Situation:
    """A plan in the middle of admission; each detector returns changes, and `after` applies them.

    Only steps that may still go live take part in conflicts about live calls. A step that is only mocked or previewed
    blocks no other.
    """

    steps: Mapping[str, Step]
    contracts: Mapping[str, Contract]
    graph: PlanGraph
    caps: Mapping[str, tuple[Cap, ...]]
    """The limits of each step alone."""
    resources: Mapping[str, tuple[str, ...]]
    """The resource names that each step touches, as far as they are known."""
    policy: Policy
    rules: Mapping[str, tuple[AppliedRule, ...]] = field(default_factory=dict)
    """The rules of the policy that apply to each step to which any does."""
    deadline: float | None = None
    """Seconds from submission after which no call may start, or None."""

    @property
    def parents(self) -> Parents:
        """The direct dependencies of each step."""
        return self.graph.parents

    @property
    def order(self) -> tuple[str, ...]:
        """Every step after all it depends on; among equals by id."""
        return self.graph.order

    @property
    def children(self) -> Parents:
        """The steps that depend directly on each step."""
        return self.graph.children

    @cached_property
    def live_candidates(self) -> Mapping[str, int]:
        """The steps that may go live, each with its position in the order: neither they nor their parents are capped."""
        found: dict[str, int] = {}
        for position, step in enumerate(self.order):
            if self.uncapped(step) and all(parent in found for parent in self.parents[step]):
                found[step] = position
        return found

    def uncapped(self, step: str) -> bool:
        """Return True if no limit of the step alone keeps it below LIVE."""
        return all(cap.mode is Mode.LIVE for cap in self.caps[step])

    def dependents(self, step: str, known: Collection[str]) -> set[str]:
        """Return a step and everything that depends on it.

        Args:
            step: The step to begin with.
            known: Steps that the caller has seen already; they are skipped together with their dependents.
        """
        seen, pending = {step}, [step]
        while pending:
            for child in self.children[pending.pop()]:
                if child not in seen and child not in known:
                    seen.add(child)
                    pending.append(child)
        return seen

    def after(self, found: Findings) -> "Situation":
        """Return the plan with the changes of a detector applied."""
        if not (found.edges or found.caps or found.agents):
            return self
        caps = {step: (*own, found.caps[step]) if step in found.caps else own for step, own in self.caps.items()}
        steps = {
            name: step.model_copy(update={"agent": found.agents[name]}) if name in found.agents else step
            for name, step in self.steps.items()
        }
        return replace(self, graph=self.graph.with_edges(found.edges), caps=caps, steps=steps)
