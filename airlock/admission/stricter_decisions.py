"""The stricter of two policies' rules about decisions: who may make them under both, and what both demand."""

from typing import Any, Final

from airlock.admission.decision_rules import DecisionName, DecisionRule, DecisionRules, Demand
from airlock.admission.policy import NO_APPROVER, Policy
from airlock.admission.roles import people
from airlock.base.person import same_person

_NONE: Final = DecisionRule()
_LAX: Final = (Demand.NONE, Demand.SIGNED)
"""The demands that every other one includes, from the laxest."""


def stricter_decisions(plan: Policy, today: Policy) -> dict[str, Any]:
    """Return the fields `decisions` and `roles` of the stricter policy.

    Roles are resolved to the people who have them in both policies: a role may hold other people by now.
    """
    roles, decisions = dict(plan.roles), {}
    for name in sorted({*plan.decisions, *today.decisions}):
        one, other = plan.decisions.get(name, DecisionRules()), today.decisions.get(name, DecisionRules())
        fields = _combined(plan, one, today, other, name.value, roles)
        by_risk = {
            risk: DecisionRule(
                **_combined(
                    plan, one.by_risk.get(risk, _NONE), today, other.by_risk.get(risk, _NONE), f"{name} {risk}", roles
                )
            )
            for risk in sorted({*one.by_risk, *other.by_risk})
        }
        decisions[DecisionName(name)] = DecisionRules(
            **fields,
            not_after=tuple(dict.fromkeys((*one.not_after, *other.not_after))),
            not_requester=one.not_requester or other.not_requester,
            by_risk=by_risk,
        )
    return {"decisions": decisions, "roles": roles}


def _combined(
    plan: Policy, one: DecisionRule, today: Policy, other: DecisionRule, label: str, roles: dict[str, tuple[str, ...]]
) -> dict[str, Any]:
    """Return the fields of the stricter of two rules, and add the role that it names to `roles`."""
    named = _who(plan, one, today, other)
    role = " or ".join(dict.fromkeys((*one.roles, *other.roles)))
    if named is not None:
        role = f"{role} ({label}, in both policies)"
        roles[role] = named
    return {
        "roles": () if named is None else (role,),
        "evidence": _evidence(one.evidence, other.evidence),
        "people": max(one.people, other.people),
    }


def _who(plan: Policy, one: DecisionRule, today: Policy, other: DecisionRule) -> tuple[str, ...] | None:
    """Return the people who may decide by both rules; None if everyone may by both."""
    if not one.roles and not other.roles:
        return None
    of_plan = [person for role in one.roles for person in people(plan.roles, role)]
    of_today = [person for role in other.roles for person in people(today.roles, role)]
    if not one.roles or not other.roles:
        return tuple(of_plan or of_today) or (NO_APPROVER,)
    both = (person for person in of_plan if any(same_person(person, name) for name in of_today))
    return tuple(both) or (NO_APPROVER,)


def _evidence(plan: Demand, today: Demand) -> Demand:
    """Return what both demand. Where one wants a passkey and the other an SSH key, today's counts: no decision has both."""
    for lax in _LAX:
        if lax in (plan, today):
            return today if plan is lax else plan
    return today
