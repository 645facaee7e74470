"""Warnings about agents: names that the policy does not have but nearly has, and agents without a section."""

from collections.abc import Mapping

from airlock.admission.policy import ANY, Policy
from airlock.base.errors import Problem
from airlock.base.likely import likely, likely_fix
from airlock.base.person import folded
from airlock.base.text import count
from airlock.plans.contract import Contract
from airlock.plans.plan import Plan, Step

_LISTED = 20
_SUGGESTED = 50
"""Agents for which a similar name is looked for."""


def agent_warnings(plan: Plan, contracts: Mapping[str, Contract], policy: Policy) -> list[Problem]:
    """Return a warning for each agent of a plan without rights of its own, if it is probably misspelt or lacks some.

    Args:
        plan: The plan.
        contracts: The contract of each step; steps of unknown tools may be absent.
        policy: The operator's rules.
    """
    named = [name for name in policy.agents if name != ANY]
    forms = {folded(name) for name in named}
    unknown: dict[str, list[Step]] = {}
    for step in plan.steps:
        if folded(step.agent) not in forms:
            unknown.setdefault(step.agent, []).append(step)
    warnings: list[Problem] = []
    for agent, steps in list(unknown.items())[:_SUGGESTED]:
        missing = any(step.id in contracts and policy.missing_permissions(agent, contracts[step.id]) for step in steps)
        if likely(agent, named) or (missing and ANY not in policy.agents):
            more = f" (and of {count(len(steps) - 1, 'more step')})" if len(steps) > 1 else ""
            rights = "gets the rights of '*'" if ANY in policy.agents else "has no rights"
            listed = f"use one of: {', '.join(named[:_LISTED])}, or " if named else ""
            warnings.append(
                Problem(
                    where=f"steps.{steps[0].id}.agent",
                    message=f"the policy has no agent {agent!r}{more}, so it {rights}",
                    fix=likely_fix(agent, named, f"{listed}let the operator add it to policy.agents"),
                )
            )
    return warnings
