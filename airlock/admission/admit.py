"""What the operator's worker makes of a plan: frozen into the run's history, so that the history explains the run."""

import string
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from airlock.admission.admitted import Admission, Admitted
from airlock.admission.budget import budget_problems
from airlock.admission.ceiling import Cap, own_caps
from airlock.admission.conflicts.resolution import resolve
from airlock.admission.conflicts.situation import Situation
from airlock.admission.lint import argument_problems, catalogue_problems, structure_problems
from airlock.admission.policy import Policy
from airlock.admission.reliability import Reliability
from airlock.base.epoch import EPOCH
from airlock.base.errors import ContractError, Problem
from airlock.base.text import shorten
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Contract, Mode
from airlock.plans.graph import parents_of
from airlock.plans.plan import Plan, Step


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
            epoch=EPOCH,
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
) -> Situation:
    return Situation(
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
