"""The rules of a policy, evaluated again for what was sealed: by a live worker that believes no other."""

from collections.abc import Callable, Iterator, Mapping

from airlock.admission.policy import Policy
from airlock.admission.rules.rule_set import rule_set
from airlock.admission.rules.step_rules import foreseen_subject, plan_subject, subject_of
from airlock.admission.rules.subject import PlanSubject, StepSubject
from airlock.plans.applied_rule import AppliedRule, Effect, with_effect
from airlock.plans.contract import Contract
from airlock.plans.plan import Plan, Step
from airlock.plans.refs import referenced_steps
from airlock.run.decisions.evidence import Evidence
from airlock.run.sealing.sealed import Sealed, SealedStep, waives

ContractOf = Callable[[SealedStep], Contract | None]
Rulings = Mapping[str, tuple[AppliedRule, ...]]
"""The rules that apply to each step that is to be called."""


def rulings(evidence: Evidence, policy: Policy, contract_of: ContractOf) -> Rulings:
    """Return the rules that apply to each step that the evidence wants to call, by a policy and what was sealed.

    Args:
        evidence: The evidence.
        policy: The policy.
        contract_of: Returns this worker's contract of a step; a step without one is left out, it is refused elsewhere.
    """
    if not policy.rule:
        return {}
    wanted, found = set(evidence.approved) - set(evidence.live), rule_set(policy.rule)
    plan = sealed_plan(evidence.sealed, policy)
    return {
        step.id: found.applied(sealed_subject(step, contract, policy, evidence.epoch), plan)
        for step in evidence.sealed.steps
        if step.id in wanted and (contract := contract_of(step)) is not None
    }


def denied(rules: Rulings) -> Iterator[tuple[str, AppliedRule]]:
    """Yield each step that a rule denies, with the rule."""
    for step, applied in rules.items():
        for rule in with_effect(applied, Effect.DENY):
            yield step, rule


def with_rules(sealed: Sealed, policy: Policy, contract_of: ContractOf, rules: Rulings) -> Sealed:
    """Return the seal with all that was asked at its making or is asked by these rules, and with what both waive."""
    if not rules and not any(step.approval_waived for step in sealed.steps):
        return sealed
    return sealed.model_copy(update={"steps": tuple(_with_rules(step, policy, contract_of, rules) for step in sealed.steps)})


def _with_rules(step: SealedStep, policy: Policy, contract_of: ContractOf, rules: Rulings) -> SealedStep:
    now = rules.get(step.id, ())
    asked = dict.fromkeys((*with_effect(step.rules, Effect.ASK), *with_effect(now, Effect.ASK)))
    applied = (*asked, *with_effect(now, Effect.ALLOW))
    contract = contract_of(step) if step.approval_waived else None
    waived = contract is not None and waives(policy, contract, applied)
    return step.model_copy(update={"rules": applied, "approval_waived": waived})


def sealed_subject(step: SealedStep, contract: Contract, policy: Policy, epoch: int) -> StepSubject:
    """Return a sealed step as conditions see it, with the values that its preview foresaw."""
    call = Step.model_construct(
        id=step.id, agent=step.agent, tool=step.tool, args=dict(step.args), confidence=step.confidence
    )
    if step.preview is None or not referenced_steps(step.args):
        return subject_of(call, contract, policy)
    return foreseen_subject(call, contract, policy, step.preview.args, epoch)


def sealed_plan(sealed: Sealed, policy: Policy) -> PlanSubject:
    """Return a sealed plan as conditions see it."""
    steps = tuple(
        Step.model_construct(id=step.id, agent=step.moved_from or step.agent, tool=step.tool, args={}, confidence=0.0)
        for step in sealed.steps
    )
    plan = Plan.model_construct(plan_id=sealed.plan_id, goal=sealed.goal, requested_by=sealed.requested_by, steps=steps)
    return plan_subject(plan, policy)
