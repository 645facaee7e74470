"""The examination of a plan before it runs, shared by `check`, `start`, the client and the operator's worker."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from pydantic import ValidationError

from airlock.admission.admitted import EPOCH, Admission, Admitted, AdmittedStep
from airlock.admission.budget import budget_problems
from airlock.admission.ceiling import Cap, Ceiling, ceilings, own_caps
from airlock.admission.conflicts.resolution import resolve
from airlock.admission.conflicts.situation import Situation
from airlock.admission.lint import argument_problems, lint_warnings, tool_problem
from airlock.admission.policy import Policy
from airlock.admission.references import path_problems, reference_problems
from airlock.admission.reliability import Reliability
from airlock.admission.rules.step_rules import denial_caps, plan_subject, step_rules, too_many
from airlock.admission.secret_grants import secret_problems
from airlock.base.canonical import canonical_json
from airlock.base.errors import ContractError, Problem
from airlock.base.incoming import wrong_fields
from airlock.base.text import shorten
from airlock.plans.applied_rule import AppliedRule
from airlock.plans.arguments.canonical_args import canonical
from airlock.plans.arguments.canonical_field import NotCanonical
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Contract, Mode, resource_names
from airlock.plans.graph import PlanGraph, graph_problems
from airlock.plans.parents import Parents
from airlock.plans.plan import Plan, Step
from airlock.plans.tool import Tool

_SUGGESTED = 20
"""Steps with an unknown tool for which a similar name is looked for."""
_RECORDED = 100
"""Problems that admission records; a plan may have a hundred thousand, which no payload holds."""


@dataclass(frozen=True)
class Examination:
    """Everything known about a plan before it runs: problems, warnings, contracts, graph and the answer of admission."""

    plan: Plan
    graph: PlanGraph | None = None
    """The plan's graph; None if its references or dependencies are wrong."""
    digest: str = ""
    """The digest of the plan's content; empty if the plan cannot be written as JSON, which is a problem."""
    problems: tuple[Problem, ...] = ()
    """The reasons to refuse the plan; empty if it is acceptable."""
    contracts: Mapping[str, Contract] = field(default_factory=dict)
    """The contract of each step; empty without a catalogue. Steps with an unknown tool are absent."""
    admitted: Admitted | None = None
    """The accepted plan; None without a catalogue and a policy, and if there are problems."""
    policy: Policy | None = None
    """The rules that it was examined under; None without any."""
    situation: Situation | None = None
    """The plan before its conflicts were answered; None wherever no policy was applied."""

    @property
    def parents(self) -> Parents:
        """The direct dependencies of each step as the plan states them; empty if they are wrong."""
        return {} if self.graph is None else self.graph.parents

    @property
    def admission(self) -> Admission:
        """The answer of admission, as the operator's worker records it: with the first problems, if there are many."""
        return Admission(admitted=self.admitted, problems=self.problems[:_RECORDED])

    @cached_property
    def warnings(self) -> tuple[Problem, ...]:
        """The findings that refuse nothing, but that a careful author would change."""
        return tuple(lint_warnings(self.plan, self.contracts, self.graph, self.policy))

    @cached_property
    def ceilings(self) -> Mapping[str, Ceiling]:
        """The highest mode of each step before any rehearsal; empty if the plan was not admitted."""
        if self.admitted is None:
            return {}
        return ceilings(self.admitted.order, self.admitted.parents, self.admitted.caps)

    def with_standing(self, standing: Mapping[str, str]) -> "Examination":
        """Return this examination with the claims of other plans counted; only conflicts are answered again.

        Args:
            standing: For each step whose call another plan claims, a sentence about that claim.
        """
        if not standing or self.admitted is None or self.situation is None:
            return self
        return _answered(self, self.situation, standing, self.admitted.catalogue_hash, self.admitted.reliability)


def examine(
    plan: Plan,
    catalogue: Catalogue | None = None,
    policy: Policy | None = None,
    *,
    standing: Mapping[str, str] | None = None,
    reliability: Mapping[str, Reliability] | None = None,
) -> Examination:
    """Examine a plan once, as far as the arguments allow.

    Args:
        plan: The proposed plan.
        catalogue: The operator's tools; without them only the plan itself is examined.
        policy: The operator's rules; without them no conflict is answered and nothing is admitted.
        standing: For each step whose call another plan claims, a sentence about that claim.
        reliability: The reliability of each tool, for a policy with `calibrated_confidence`; None if it is not known.
    """
    examination = _structure(plan)
    if not examination.digest or catalogue is None:
        return examination
    calls = _Calls.of(plan, catalogue)
    secrets = secret_problems(calls.steps.values(), calls.contracts, policy)
    # every stage adds what it can see: an author fixes all of it at once, not one stage after another
    problems = (*examination.problems, *calls.problems, *secrets)
    examination = replace(examination, contracts=calls.contracts, problems=problems, policy=policy)
    if calls.problems or policy is None or examination.graph is None:
        return examination
    known = dict(reliability) if policy.calibrated_confidence and reliability is not None else None
    situation = _situation(plan, examination.graph, calls, policy, known)
    return _answered(examination, situation, standing or {}, catalogue.digest(), known)


def _structure(plan: Plan) -> Examination:
    """Examine the plan itself: references, ids, dependencies. Needs no catalogue."""
    problems, digest, graph = reference_problems(plan), "", PlanGraph.of(plan)
    try:
        digest = plan.digest()
    except ValueError as error:
        problems.append(Problem(where="plan", message=f"is not JSON: {error}", fix="replace it by JSON values"))
    problems += graph_problems(plan, graph)
    return Examination(plan, None if problems else graph, digest, tuple(problems))


@dataclass(frozen=True)
class _Calls:
    """The calls of a plan, compared with the catalogue."""

    steps: Mapping[str, Step]
    """The steps with their canonical arguments."""
    contracts: Mapping[str, Contract]
    missing: Mapping[str, tuple[str, ...]]
    """The required arguments that a step lacks."""
    problems: tuple[Problem, ...]

    @classmethod
    def of(cls, plan: Plan, catalogue: Catalogue) -> "_Calls":
        """Compare each step with its tool; a tool's own rules count only where the arguments fit."""
        steps: dict[str, Step] = {}
        contracts: dict[str, Contract] = {}
        lacking: dict[str, tuple[str, ...]] = {}
        problems: list[Problem] = []
        refused: list[Problem] = []
        tools: dict[str, Tool] = {}
        for step in plan.steps:
            tool = catalogue.get(step.tool)
            if tool is None:
                problems.append(tool_problem(step, catalogue.names, suggest=len(problems) < _SUGGESTED))
                continue
            tools[step.id] = tool
            missing, wrong = argument_problems(step, tool)
            problems += wrong if plan.allow_missing_arguments else [*missing, *wrong]
            if missing:
                lacking[step.id] = tuple(problem.where.rpartition(".")[2] for problem in missing)
            steps[step.id] = step
            if wrong:
                continue
            try:
                steps[step.id] = _canonical(step, tool)
                contracts[step.id] = catalogue.contract(step.tool, steps[step.id].args)
            except NotCanonical as error:
                refused.append(_not_canonical(step, error))
            except (ContractError, ValidationError) as error:
                refused.append(_contract_problem(step, error))
        problems += path_problems(plan, tools)
        return cls(steps, contracts, lacking, (*problems, *refused))


def _canonical(step: Step, tool: Tool) -> Step:
    args = canonical(tool.arguments, step.args)
    # as JSON: to Python 1, 1.0 and True are equal
    return step if canonical_json(args) == canonical_json(step.args) else step.model_copy(update={"args": args})


def _not_canonical(step: Step, error: NotCanonical) -> Problem:
    where = f"steps.{step.id}.args.{error.field}".removesuffix(".")
    return Problem(where=where, message=shorten(error.why), fix="fix the argument model of the tool, or state another value")


def _contract_problem(step: Step, error: Exception) -> Problem:
    why = wrong_fields(error) if isinstance(error, ValidationError) else str(error)
    return Problem(where=f"steps.{step.id}.tool", message=shorten(why), fix="fix the tool, or these arguments")


def _situation(
    plan: Plan, graph: PlanGraph, calls: _Calls, policy: Policy, reliability: Mapping[str, Reliability] | None
) -> Situation:
    caps: dict[str, tuple[Cap, ...]] = {}
    for step in plan.steps:
        caps[step.id] = own_caps(step, calls.contracts[step.id], plan, policy, reliability)
        if names := calls.missing.get(step.id):
            reason = f"required arguments are missing: {', '.join(names)}"
            caps[step.id] += (Cap(mode=Mode.MOCK, reason=reason),)
    rules = _rules(plan, calls.steps, calls.contracts, policy)
    for name, applied in rules.items():
        caps[name] += denial_caps(applied, policy.rule_reasons)
    return Situation(
        steps=dict(calls.steps),
        contracts=calls.contracts,
        graph=graph,
        caps=caps,
        resources={step.id: resource_names(calls.contracts[step.id], calls.steps[step.id].args) for step in plan.steps},
        policy=policy,
        rules=rules,
        deadline=plan.deadline_seconds,
    )


def _rules(
    plan: Plan, steps: Mapping[str, Step], contracts: Mapping[str, Contract], policy: Policy
) -> dict[str, tuple[AppliedRule, ...]]:
    """Return the rules that apply to each step to which any does."""
    if not policy.rule:
        return {}
    whole = plan_subject(plan, policy)
    found = {name: step_rules(step, contracts[name], policy, whole) for name, step in steps.items()}
    return {name: applied for name, applied in found.items() if applied}


def _new_caps(before: Situation, step: str, rules: Mapping[str, tuple[AppliedRule, ...]]) -> tuple[Cap, ...]:
    caps = denial_caps(rules.get(step, ()), before.policy.rule_reasons)
    return tuple(cap for cap in caps if cap not in before.caps[step])


def _moved(plan: Plan, before: Situation, situation: Situation, agents: Mapping[str, str]) -> Situation:
    """Return a situation with the rules that apply to the steps that a conflict moved to another agent."""
    if not agents or not situation.policy.rule:
        return situation
    steps = {name: situation.steps[name] for name in agents}
    rules = _rules(plan, steps, situation.contracts, situation.policy)
    caps = {name: (*situation.caps[name], *_new_caps(before, name, rules)) for name in agents}
    others = {name: applied for name, applied in situation.rules.items() if name not in agents}
    return replace(situation, caps={**situation.caps, **caps}, rules={**others, **rules})


def _answered(
    examination: Examination,
    before: Situation,
    standing: Mapping[str, str],
    catalogue_hash: str,
    reliability: dict[str, Reliability] | None,
) -> Examination:
    """Answer the conflicts of a plan, and admit what then fits the budgets."""
    resolution = resolve(before, standing)
    policy, agents = before.policy, dict(resolution.reassigned)
    situation = _moved(examination.plan, before, resolution.situation, agents)
    candidates = (situation.steps[step] for step in sorted(situation.live_candidates))
    found = (*resolution.problems, *budget_problems(candidates, situation.contracts, policy), *too_many(situation.rules))
    if problems := (*examination.problems, *found):
        return replace(examination, problems=problems, admitted=None, situation=before)
    digests = _digests(situation.contracts)
    stated = {step.id: step.args for step in examination.plan.steps}
    admitted = Admitted(
        steps={
            step: AdmittedStep(
                contract=situation.contracts[step],
                contract_hash=digests[situation.contracts[step]],
                parents=situation.parents[step],
                caps=situation.caps[step],
                resources=situation.resources[step],
                agent=agents.get(step),
                args=None if situation.steps[step].args is stated[step] else situation.steps[step].args,
                rules=situation.rules.get(step, ()),
            )
            for step in situation.order
        },
        policy=policy,
        policy_hash=policy.digest(),
        catalogue_hash=catalogue_hash,
        conflicts=resolution.conflicts,
        reliability=reliability,
        epoch=EPOCH,
    )
    return replace(examination, admitted=admitted, situation=before)


def _digests(contracts: Mapping[str, Contract]) -> dict[Contract, str]:
    # thousands of steps share a few contracts, and each digest writes the whole contract as JSON
    return {contract: contract.digest() for contract in dict.fromkeys(contracts.values())}
