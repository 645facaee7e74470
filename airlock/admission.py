"""What the operator's worker makes of a plan: frozen into the run's history, so that the history explains the run."""

import string
from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from airlock.catalogue import Catalogue
from airlock.ceiling import Cap, own_caps
from airlock.conflict import Conflict
from airlock.contract import Contract, Mode, Risk
from airlock.errors import ContractError, Problem
from airlock.graph import parents_of
from airlock.lint import argument_problems, catalogue_problems, structure_problems
from airlock.model import WireModel
from airlock.outcome import shorten
from airlock.plan import Plan, Step
from airlock.policy import Policy
from airlock.reliability import Reliability
from airlock.resolution import resolve
from airlock.scene import Scene
from airlock.spending import budget_problems


class Admitted(WireModel):
    """A plan the operator's catalogue and policy accept.

    `contracts` are by hash, `contract_of` gives the hash for each step. `order` has every step after all it depends
    on. `caps` are what limits each step by itself, before anything was rehearsed. `resources` are the resolved
    resource names a step touches; one that depends on a value not known yet is left out. `conflicts` were found and
    answered: `parents` has the edges added for them, `caps` the lowered ceilings, `reassigned` the new agent of a step.
    `reliability` is what `caps` were calibrated by, by tool; None where nothing was calibrated.
    """

    contracts: dict[str, Contract]
    contract_of: dict[str, str]
    policy: Policy
    policy_hash: str
    catalogue_hash: str
    order: tuple[str, ...]
    parents: dict[str, tuple[str, ...]]
    caps: dict[str, tuple[Cap, ...]]
    resources: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    resource_index: tuple[str, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    reassigned: dict[str, str] = Field(default_factory=dict)
    reliability: dict[str, Reliability] | None = None

    def contract(self, step: str) -> Contract:
        """The frozen contract of a step."""
        return self.contracts[self.contract_of[step]]

    @property
    def going(self) -> tuple[str, ...]:
        """The steps that may go live before anything was rehearsed, in order: neither they nor their parents are capped."""
        found = set[str]()
        for step in self.order:
            if all(cap.mode is Mode.LIVE for cap in self.caps[step]) and found.issuperset(self.parents[step]):
                found.add(step)
        return tuple(step for step in self.order if step in found)

    @property
    def risk(self) -> Risk:
        """The highest risk of any step."""
        return max((contract.risk for contract in self.contracts.values()), key=lambda risk: risk.rank)


class Admission(WireModel):
    """The answer of admission: `admitted`, or the problems that refuse the plan."""

    admitted: Admitted | None = None
    problems: tuple[Problem, ...] = ()


def admit(
    plan: Plan,
    catalogue: Catalogue,
    policy: Policy,
    standing: Mapping[str, str] | None = None,
    reliability: Mapping[str, Reliability] | None = None,
) -> Admission:
    """Judge a plan by the operator's catalogue and policy, and answer the conflicts in it.

    Args:
        plan: What is proposed.
        catalogue: The operator's tools.
        policy: The operator's rules.
        standing: What other plans have to do with its irreversible calls, one sentence by step.
        reliability: How reliable its tools were, where the policy wants confidence calibrated; None if nobody could tell.
    """
    problems = structure_problems(plan) or catalogue_problems(plan, catalogue)
    contracts: dict[str, Contract] = {}
    if not problems:
        contracts, problems = _contracts(plan, catalogue)
    if problems:
        return Admission(problems=tuple(problems))
    resolution = resolve(_scene(plan, contracts, catalogue, policy, reliability), standing or {})
    scene, going = resolution.scene, resolution.scene.going()
    problems = [*resolution.problems, *budget_problems((scene.steps[step] for step in sorted(going)), contracts, policy)]
    if problems:
        return Admission(problems=tuple(problems))
    digests = {step: contract.digest() for step, contract in contracts.items()}
    return Admission(
        admitted=Admitted(
            contracts={digests[step]: contract for step, contract in contracts.items()},
            contract_of=digests,
            policy=policy,
            policy_hash=policy.digest(),
            catalogue_hash=catalogue.digest(),
            order=scene.order(),
            parents=dict(scene.parents),
            caps=dict(scene.caps),
            resources={step: names for step, names in scene.resources.items() if names},
            conflicts=resolution.conflicts,
            reassigned=dict(resolution.reassigned),
            reliability=dict(reliability) if policy.calibrated_confidence and reliability is not None else None,
        )
    )


def _contracts(plan: Plan, catalogue: Catalogue) -> tuple[dict[str, Contract], list[Problem]]:
    """The contract of each step; problems where a tool does not understand the arguments."""
    contracts: dict[str, Contract] = {}
    problems: list[Problem] = []
    for step in plan.steps:
        try:
            contracts[step.id] = catalogue.contract(step.tool, step.args)
        except (ContractError, ValidationError) as error:
            problems.append(
                Problem(where=f"steps.{step.id}.tool", message=shorten(str(error)), fix="mend the tool, or these arguments")
            )
    return contracts, problems


def _scene(
    plan: Plan,
    contracts: Mapping[str, Contract],
    catalogue: Catalogue,
    policy: Policy,
    reliability: Mapping[str, Reliability] | None,
) -> Scene:
    return Scene(
        steps={step.id: step for step in plan.steps},
        contracts=contracts,
        parents=parents_of(plan),
        caps={
            step.id: (
                *own_caps(step, contracts[step.id], plan, policy, reliability),
                *_incomplete(step, plan, catalogue),
            )
            for step in plan.steps
        },
        resources={step.id: resource_names(contracts[step.id], step.args) for step in plan.steps},
        policy=policy,
        deadline=plan.deadline_seconds,
    )


def _incomplete(step: Step, plan: Plan, catalogue: Catalogue) -> tuple[Cap, ...]:
    tool = catalogue.get(step.tool)
    if not plan.allow_missing_arguments or tool is None:
        return ()
    missing, _ = argument_problems(step, tool)
    if not missing:
        return ()
    names = ", ".join(problem.where.rpartition(".")[2] for problem in missing)
    return (Cap(mode=Mode.MOCK, reason=f"required arguments are missing: {names}"),)


def resource_names(contract: Contract, args: Mapping[str, Any]) -> tuple[str, ...]:
    """The resources a call touches, sorted: the contract's templates filled from its arguments.

    A template over an argument that is absent, or not known yet, is left out.
    """
    names: set[str] = set()
    for template in contract.resources:
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field]
        values = {field: args.get(field) for field in fields}
        if all(isinstance(value, str | int | float) for value in values.values()):
            names.add(template.format(**values))
    return tuple(sorted(names))
