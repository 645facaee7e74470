"""The rules that apply to one step of a plan at admission, and the limits that they set to it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from airlock.admission.ceiling import Cap
from airlock.admission.policy import Policy
from airlock.admission.rules.rule_set import rule_set
from airlock.admission.rules.subject import PlanSubject, StepSubject, secret_places
from airlock.base.errors import Problem
from airlock.base.text import listed
from airlock.plans.applied_rule import AppliedRule, Effect, with_effect, with_reason
from airlock.plans.contract import Contract, Mode
from airlock.plans.plan import Plan, Step
from airlock.plans.refs import referenced_steps

MAX_SAID: Final = 4_000_000
"""Characters of what all rules say about the steps of a plan; a run holds it three times, and is carried as a whole."""


def step_rules(step: Step, contract: Contract, policy: Policy, plan: PlanSubject) -> tuple[AppliedRule, ...]:
    """Return the rules of a policy that apply to a step, as far as its arguments are known before the plan runs."""
    if not policy.rule:
        return ()
    return rule_set(policy.rule).applied(subject_of(step, contract, policy), plan)


def plan_subject(plan: Plan, policy: Policy) -> PlanSubject:
    """Return a plan as conditions see it."""
    return PlanSubject(
        plan_id=plan.plan_id,
        goal=plan.goal,
        requested_by=plan.requested_by,
        steps=len(plan.steps),
        tools=tuple(sorted({step.tool for step in plan.steps})),
        agents=tuple(sorted({policy.agent_name(agent) for agent in {step.agent for step in plan.steps}})),
    )


def subject_of(step: Step, contract: Contract, policy: Policy) -> StepSubject:
    """Return a step as conditions see it."""
    return StepSubject(step.id, policy.agent_name(step.agent), step.args, step.confidence, contract)


def denial_caps(rules: Iterable[AppliedRule], reasons: Mapping[str, str]) -> tuple[Cap, ...]:
    """Return the limit of a step that rules deny for certain.

    A denial that hangs on an unknown value waits for the preview. A denied step is previewed all the same: people see
    what it would do, and why it does not.

    Args:
        rules: The rules that apply to the step.
        reasons: The operator's reasons, by the id of the rule.
    """
    denied = [rule for rule in with_effect(rules, Effect.DENY) if not rule.unknown]
    if not denied:
        return ()
    more = f"; so does rule {listed([rule.rule for rule in denied[1:]])}" if denied[1:] else ""
    return (Cap(mode=Mode.DRY_RUN, reason=f"{with_reason(denied[0], reasons)}{more}"),)


def too_many(rules: Mapping[str, tuple[AppliedRule, ...]]) -> tuple[Problem, ...]:
    """Return a problem if rules say more about the steps of a plan than its run can carry."""
    size = sum(len(rule.rule) + len(rule.then) + len(rule.sentence) for applied in rules.values() for rule in applied)
    if size <= MAX_SAID:
        return ()
    number = sum(map(len, rules.values()))
    message = f"rules of the policy apply {number:,} times to {len(rules):,} steps, more than a run can carry"
    return (Problem(where="plan.steps", message=message, fix="split the plan, or let fewer rules apply to each step"),)


def cleared_by_preview(
    step: Step, contract: Contract, policy: Policy, shown: Mapping[str, Any], epoch: int
) -> tuple[str, ...]:
    """Return the rules that certainly do not apply to a call, now that its preview has foreseen the values it reads.

    Args:
        step: The step, with its references.
        contract: Its contract.
        policy: The policy.
        shown: Its arguments as the preview shows them.
        epoch: The rules of the run.
    """
    if not policy.rule or not referenced_steps(step.args):
        return ()
    subject = foreseen_subject(step, contract, policy, shown, epoch)
    answers = rule_set(policy.rule).answers(subject, None)
    return tuple(found.rule.id for found in answers if found.answer.certain and not found.answer.applies)


def foreseen_subject(step: Step, contract: Contract, policy: Policy, shown: Mapping[str, Any], epoch: int) -> StepSubject:
    """Return a step with the values that its preview foresaw, except those that the call may find changed.

    A call that writes is held to its preview, apart from what may drift; a read is not, nor is a call of an old run.
    """
    if contract.read_only or epoch < 1:
        return subject_of(step, contract, policy)
    drifting = (*contract.may_drift, *policy.may_drift.get(contract.tool, ()))
    unknown = (*secret_places(step.args), *(tuple(path.split(".")) for path in drifting))
    return replace(subject_of(step, contract, policy), args=shown, unknown=unknown)
