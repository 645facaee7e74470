"""Budgets: the spending of a plan's calls, the limits on it, and the scopes by which a lock stops them."""

from collections.abc import Collection, Iterable, Mapping
from string import Formatter

from airlock.admission.admitted import Admitted
from airlock.admission.policy import Budget, Policy, WindowBudget
from airlock.base.errors import Problem
from airlock.base.model import WireModel
from airlock.base.person import folded, spellings
from airlock.plans.contract import Contract
from airlock.plans.plan import Step
from airlock.plans.refs import markers

MAX_SCOPED_RESOURCES = 500
"""The most resources that a plan lists; a plan that touches more counts as touching any."""
ANY_RESOURCE = "resource:*"


class Spending(WireModel):
    """The share of a budget that calls use up."""

    live_calls: int = 0
    irreversible_calls: int = 0
    cost: float = 0.0
    """In the operator's own unit."""


def spending_by_agent(steps: Iterable[Step], admitted: Admitted, approved: Collection[str]) -> dict[str, Spending]:
    """Return the spending of each agent if the approved steps went live, by agent, sorted.

    Args:
        steps: The plan's steps, with the agents that admission gave them.
        admitted: The admitted plan.
        approved: The ids of the steps that count.
    """
    wanted = set(approved)
    calls: dict[str, list[Contract]] = {}
    for step in steps:
        if step.id in wanted:
            calls.setdefault(_account(step.agent, admitted), []).append(admitted.contract(step.id))
    return {agent: spending(calls[agent]) for agent in sorted(calls)}


def budgets_of(admitted: Admitted, agents: Iterable[str]) -> dict[str, WindowBudget]:
    """Return the budget of each agent that has one, by agent, sorted."""
    found = {_account(agent, admitted): admitted.policy.budget_of(agent) for agent in sorted(set(agents))}
    return {agent: budget for agent, budget in sorted(found.items()) if budget is not None}


def _account(agent: str, admitted: Admitted) -> str:
    """Return the name under which a gate books the calls of an agent: one for all its spellings."""
    return folded(agent) if admitted.epoch >= 1 else agent


def scopes(steps: Iterable[Step], admitted: Admitted, approved: Collection[str]) -> tuple[str, ...]:
    """Return the scopes by which a lock stops the approved steps: `agent:x`, `agent=x`, `tool:y` and `resource:z`, sorted.

    `resource:*` stands for resources that are not known before their step runs, and for more than `MAX_SCOPED_RESOURCES` of
    them. A lock on any resource then stops the plan, because the plan might touch that one.
    """
    wanted = set(approved)
    calls = [step for step in steps if step.id in wanted]
    resources = {f"resource:{name}" for step in calls for name in admitted.steps[step.id].resources}
    if len(resources) > MAX_SCOPED_RESOURCES:
        resources = {ANY_RESOURCE}
    elif any(_has_unknown_resource(step, admitted) for step in calls):
        resources.add(ANY_RESOURCE)
    others = {f"agent:{step.agent}" for step in calls} | {f"tool:{step.tool}" for step in calls}
    if admitted.epoch >= 1:
        others |= {agent_scope(step.agent) for step in calls}
    return tuple(sorted(others | resources))


def agent_scope(agent: str) -> str:
    """Return the scope `agent=x` that all spellings of an agent share, so that a lock finds it under any of them."""
    return f"agent={folded(agent)}"


def _has_unknown_resource(step: Step, admitted: Admitted) -> bool:
    """Return True if a resource of this step depends on an argument that is not known yet."""
    unknown = {marker.path.partition(".")[0].partition("[")[0] for marker in markers(step.args)}
    templates = admitted.contract(step.id).resources
    return any(field in unknown for template in templates for _, field, _, _ in Formatter().parse(template))


_DIGITS = 9
"""Decimal places to which costs are compared: three calls at 0.1 cost 0.3, which binary fractions cannot express."""


def spending(contracts: Iterable[Contract]) -> Spending:
    """Return the spending of one live call under each contract; calls that only read count too."""
    calls = tuple(contracts)
    return Spending(
        live_calls=len(calls),
        irreversible_calls=sum(contract.irreversible for contract in calls),
        cost=round(sum(contract.cost for contract in calls), _DIGITS),
    )


def exceeded(spent: Spending, budget: Budget, where: str) -> tuple[str, ...]:
    """Return a sentence with both numbers for each limit that would be exceeded; empty within the budget.

    Args:
        spent: The spending.
        budget: The limits.
        where: The policy's key of that budget, such as `policy.budget`.
    """
    found: list[str] = []
    if budget.live_calls is not None and spent.live_calls > budget.live_calls:
        found.append(f"make {_calls(spent.live_calls, 'live')}, the policy allows {budget.live_calls} ({where}.live_calls)")
    if budget.irreversible_calls is not None and spent.irreversible_calls > budget.irreversible_calls:
        made, allowed = _calls(spent.irreversible_calls, "irreversible"), budget.irreversible_calls
        found.append(f"make {made}, the policy allows {allowed} ({where}.irreversible_calls)")
    if budget.cost is not None and spent.cost > round(budget.cost, _DIGITS):
        found.append(f"cost {_number(spent.cost)}, the policy allows {_number(budget.cost)} ({where}.cost)")
    return tuple(f"would {sentence}" for sentence in found)


def budget_problems(steps: Iterable[Step], contracts: Mapping[str, Contract], policy: Policy) -> list[Problem]:
    """Return the budgets that a plan alone exceeds: that of one plan, or that of an agent over all its plans.

    Args:
        steps: The steps that may go live, with the agents that admission gave them.
        contracts: The contract of each step.
        policy: The policy with the budgets.
    """
    candidates = tuple(steps)
    problems = [
        Problem(where="plan", message=sentence, fix="split the plan, or ask the operator for a larger budget")
        for sentence in exceeded(spending(contracts[step.id] for step in candidates), policy.budget, "policy.budget")
    ]
    for names in spellings(sorted({step.agent for step in candidates})).values():
        agent = names[0]
        if (budget := policy.budget_of(agent)) is None:
            continue
        own = spending(contracts[step.id] for step in candidates if step.agent in names)
        key = f"policy.agents.{agent if agent in policy.agents else '*'}.budget"
        problems += [
            Problem(
                where=f"agent {agent!r}",
                message=f"{sentence} for any {budget.per}",
                fix="give some of its steps to another plan later, or ask the operator for a larger budget",
            )
            for sentence in exceeded(own, budget, key)
        ]
    return problems


def _calls(number: int, kind: str) -> str:
    return f"{number} {kind} call{'' if number == 1 else 's'}"


def _number(value: float) -> str:
    return f"{value:.{_DIGITS}f}".rstrip("0").rstrip(".")
