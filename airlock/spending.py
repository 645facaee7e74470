"""What calls use up of a budget, and which budget that is too much for. Counted from contracts alone."""

from collections.abc import Iterable, Mapping

from airlock.contract import Contract
from airlock.errors import Problem
from airlock.gating import Spending
from airlock.plan import Step
from airlock.policy import Budget, Policy

_DIGITS = 9
"""Costs are compared to so many decimal places: three calls at 0.1 cost 0.3, whatever binary fractions say."""


def spending(contracts: Iterable[Contract]) -> Spending:
    """What one live call under each of these contracts uses up: every call counts, those that only read too."""
    calls = tuple(contracts)
    return Spending(
        live_calls=len(calls),
        irreversible_calls=sum(contract.irreversible for contract in calls),
        cost=round(sum(contract.cost for contract in calls), _DIGITS),
    )


def exceeded(spent: Spending, budget: Budget, where: str) -> tuple[str, ...]:
    """A sentence with both numbers for each limit that would be exceeded; empty when all is within the budget.

    Args:
        spent: What would be used up.
        budget: The most that may be.
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
    """What refuses a plan whose steps would use up more than a plan may, or than an agent may over all its plans.

    Args:
        steps: The steps that may go live, with the agents they have in the end.
        contracts: Their contracts, by step.
        policy: Whose budgets count.
    """
    going = tuple(steps)
    problems = [
        Problem(where="plan", message=sentence, fix="split the plan, or ask the operator for a larger budget")
        for sentence in exceeded(spending(contracts[step.id] for step in going), policy.budget, "policy.budget")
    ]
    for agent in sorted({step.agent for step in going}):
        if (budget := policy.budget_of(agent)) is None:
            continue
        own = spending(contracts[step.id] for step in going if step.agent == agent)
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
