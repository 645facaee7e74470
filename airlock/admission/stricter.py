"""The stricter of two policies: the one that a plan was admitted under, and the one that is in force today."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from airlock.admission.policy import ANY, NO_APPROVER, AgentPolicy, Budget, Policy, SignatureRule, WindowBudget
from airlock.admission.roles import has_role, people
from airlock.admission.rules.rule import Rule
from airlock.admission.stricter_decisions import stricter_decisions
from airlock.base.person import same_person
from airlock.plans.applied_rule import Effect
from airlock.plans.plan import seconds

Owner = Literal["today's policy", "the plan's policy"]

_RULES: Final = (SignatureRule.NEVER, SignatureRule.HIGH, SignatureRule.ALWAYS)
"""From the laxest to the strictest."""

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Stricter:
    """Two policies, and the policy that allows only what both allow."""

    plan: Policy
    today: Policy
    policy: Policy

    def whose(self, field: str) -> Owner:
        """Return the policy that a field of `policy` comes from: today's only where it is stricter than the plan's."""
        if field == "approval_valid_for":
            same = self.policy.approval_valid_for_seconds == self.plan.approval_valid_for_seconds
        else:
            same = getattr(self.policy, field) == getattr(self.plan, field)
        return "the plan's policy" if same else "today's policy"

    def refused_approver(self, by: str) -> Owner | None:
        """Return the policy whose approvers a person is not among; None if both let that person approve."""
        if not self.plan.may_approve(by):
            return "the plan's policy"
        return None if self.today.may_approve(by) else "today's policy"


def stricter(plan: Policy, today: Policy) -> Stricter:
    """Return the policy that allows a call or an approval only if both policies allow it.

    Rules that allow nothing by themselves stay those of the plan: what happens after a failure and on a stale preview, and
    where the plan reports to. Keys are only those of today, so that a key can be withdrawn.

    Args:
        plan: The policy that was frozen when the plan was admitted.
        today: The policy of the worker that asks.
    """
    combined = plan.model_copy(
        update={
            "confidence_threshold_for_live": max(plan.confidence_threshold_for_live, today.confidence_threshold_for_live),
            "calibrated_confidence": plan.calibrated_confidence or today.calibrated_confidence,
            "dry_run_only": plan.dry_run_only or today.dry_run_only,
            "max_live_escalations": min(plan.max_live_escalations, today.max_live_escalations),
            "approval_required_for_high_risk": plan.approval_required_for_high_risk or today.approval_required_for_high_risk,
            "approval_waived_for": tuple(risk for risk in plan.approval_waived_for if risk in today.approval_waived_for),
            "read_lane": plan.read_lane and today.read_lane,
            "approvals_required": max(plan.approvals_required, today.approvals_required),
            "approval_timeout": _shorter(plan.approval_timeout, today.approval_timeout),
            "approval_valid_for": _valid_for(plan, today),
            "approvers": _in_both(plan.approvers, today.approvers),
            "signature_required": max(plan.signature_required, today.signature_required, key=_RULES.index),
            "authorized_keys": today.authorized_keys,
            "passkeys": today.passkeys,
            **stricter_decisions(plan, today),
            "agents": {
                agent: _agent(plan, today, agent)
                for agent in (*plan.agents, *(other for other in today.agents if other not in plan.agents))
            },
            "budget": _budget(plan.budget, today.budget),
            "auto_lock_severity": _least(plan.auto_lock_severity, today.auto_lock_severity),
        }
    )
    return Stricter(plan=plan, today=today, policy=_ruled(combined, plan, today))


def _ruled(combined: Policy, plan: Policy, today: Policy) -> Policy:
    """Return the stricter policy with the rules of both, and with the people who have a role in both."""
    if not plan.rule and not today.rule:
        return combined
    roles = {**combined.roles, **_roles(plan, today)}
    return combined.model_copy(update={"rule": _rules(plan, today), "roles": roles})


def _shorter(one: str, other: str) -> str:
    return min(one, other, key=seconds)


def _valid_for(plan: Policy, today: Policy) -> str | None:
    """Return the shorter age; None, which stands for the shorter time for approval, if neither policy says another one."""
    if plan.approval_valid_for is None and today.approval_valid_for is None:
        return None
    ages = (policy.approval_valid_for or policy.approval_timeout for policy in (plan, today))
    return min(ages, key=seconds)


def _in_both(plan: tuple[str, ...], today: tuple[str, ...]) -> tuple[str, ...]:
    """Return the approvers that both lists allow."""
    if not plan or not today:
        return plan or today
    # an empty list allows everyone
    return tuple(name for name in plan if any(same_person(name, other) for other in today)) or (NO_APPROVER,)


def _roles(plan: Policy, today: Policy) -> dict[str, tuple[str, ...]]:
    """Return the people who have each role in both policies. A role of today alone is new; one that today lacks is gone."""
    return {role: _members(plan, today, role) for role in (*plan.roles, *today.roles)}


def _members(plan: Policy, today: Policy, role: str) -> tuple[str, ...]:
    new = role not in plan.roles
    return tuple(name for name in people(today.roles, role) if new or has_role(plan.roles, role, name))


def _rules(plan: Policy, today: Policy) -> tuple[Rule, ...]:
    """Return the denials and questions of both policies, and what both allow under the same condition."""
    if plan.rule == today.rule:
        return plan.rule
    strict = [rule for rule in (*plan.rule, *today.rule) if rule.effect is not Effect.ALLOW]
    allowed = {rule.when for rule in today.rule if rule.effect is Effect.ALLOW}
    lax = [rule for rule in plan.rule if rule.effect is Effect.ALLOW and rule.when in allowed]
    return tuple(dict.fromkeys((*strict, *lax)))


def _agent(plan: Policy, today: Policy, agent: str) -> AgentPolicy:
    return AgentPolicy(
        permissions=_granted(plan.permissions_of(agent), today.permissions_of(agent)),
        secrets=_granted_secrets(plan.secrets_of(agent), today.secrets_of(agent)),
        budget=_window(plan.budget_of(agent), today.budget_of(agent)),
    )


def _granted(plan: Iterable[str], today: Iterable[str]) -> tuple[str, ...]:
    one, other = set(plan), set(today)
    if ANY in one and ANY in other:
        return (ANY,)
    if ANY in one or ANY in other:
        return tuple(sorted(other if ANY in one else one))
    return tuple(sorted(one & other))


def _granted_secrets(plan: Iterable[str], today: Iterable[str]) -> tuple[str, ...]:
    """Return the secrets that both grant, in the spelling of the plan's policy. Capitals make no difference."""
    spelling = {name.upper(): name for name in (*today, *plan)}
    return tuple(sorted(spelling[name] for name in _granted(map(str.upper, plan), map(str.upper, today))))


def _least(one: Number | None, other: Number | None) -> Number | None:
    """Return the lower of two limits; None sets no limit."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _budget(plan: Budget, today: Budget) -> Budget:
    return Budget(
        live_calls=_least(plan.live_calls, today.live_calls),
        irreversible_calls=_least(plan.irreversible_calls, today.irreversible_calls),
        cost=_least(plan.cost, today.cost),
    )


def _window(plan: WindowBudget | None, today: WindowBudget | None) -> WindowBudget | None:
    """Return the lower limits over the longer of two windows: what fits into that fits into both."""
    if plan is None or today is None:
        return today if plan is None else plan
    per = max(plan.per, today.per, key=seconds)
    return WindowBudget(per=per, **dict(_budget(plan, today)))
