"""The situation that detectors look at: a plan's steps with their contracts, its graph, and the ceiling of each step."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from airlock.admission.ceiling import Cap
from airlock.admission.conflicts.conflict import Conflict
from airlock.admission.policy import Policy
from airlock.base.errors import Problem
from airlock.plans.contract import Contract, Mode
from airlock.plans.graph import reversed_parents, topological_order
from airlock.plans.plan import Step


@dataclass(frozen=True)
class Findings:
    """The findings of a detector, and the changes they ask for.

    `edges` are pairs of steps, the first to come before the second; `caps` are what limits steps from now on; `agents` the
    new agents of steps; `problems` what cannot be resolved and refuses the plan.
    """

    conflicts: tuple[Conflict, ...] = ()
    edges: tuple[tuple[str, str], ...] = ()
    caps: Mapping[str, Cap] = field(default_factory=dict)
    agents: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Situation:
    """A plan as the detectors see it. `steps`, `contracts`, `parents` and `caps` are by step; `deadline` is in seconds.

    `resources` are the resolved names a step touches. Only steps that may still go live take part in conflicts about
    live calls: a step that is only mocked or previewed conflicts with no other.
    """

    steps: Mapping[str, Step]
    contracts: Mapping[str, Contract]
    parents: Mapping[str, tuple[str, ...]]
    caps: Mapping[str, tuple[Cap, ...]]
    resources: Mapping[str, tuple[str, ...]]
    policy: Policy
    deadline: float | None = None

    def order(self) -> tuple[str, ...]:
        """Return every step after all it depends on; among equals by id."""
        return topological_order(self.parents)

    def going(self, order: Collection[str] | None = None) -> dict[str, int]:
        """Return the steps that may go live, each with its position in the order.

        Neither they nor what they depend on is capped.

        Args:
            order: What `order()` returns, for those who have it already.
        """
        found: dict[str, int] = {}
        for position, step in enumerate(order or self.order()):
            if all(cap.mode is Mode.LIVE for cap in self.caps[step]) and all(above in found for above in self.parents[step]):
                found[step] = position
        return found

    def behind(self, step: str, children: Mapping[str, tuple[str, ...]], known: Collection[str]) -> set[str]:
        """Return a step and all that depends on it; known steps, and those behind them, are left out."""
        seen, open_steps = {step}, [step]
        while open_steps:
            for child in children[open_steps.pop()]:
                if child not in seen and child not in known:
                    seen.add(child)
                    open_steps.append(child)
        return seen

    def children(self) -> dict[str, tuple[str, ...]]:
        """Return the steps that depend directly on each step."""
        return reversed_parents(self.parents)

    def after(self, found: Findings) -> "Situation":
        """Return the plan with what a detector wants changed."""
        if not (found.edges or found.caps or found.agents):
            return self
        added: dict[str, set[str]] = {}
        for before, behind in found.edges:
            added.setdefault(behind, set()).add(before)
        parents = {step: tuple(sorted({*above, *added.get(step, ())})) for step, above in self.parents.items()}
        caps = {step: (*own, found.caps[step]) if step in found.caps else own for step, own in self.caps.items()}
        steps = {
            name: step.model_copy(update={"agent": found.agents[name]}) if name in found.agents else step
            for name, step in self.steps.items()
        }
        return replace(self, parents=parents, caps=caps, steps=steps)
