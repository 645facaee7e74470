"""What the approved steps of an admitted plan use up, what they may, and what a scoped lock stops them for."""

from collections.abc import Collection, Iterable
from string import Formatter

from airlock.admission import Admitted
from airlock.contract import Contract
from airlock.gating import Spending
from airlock.plan import Step
from airlock.policy import Policy, WindowBudget
from airlock.refs import markers
from airlock.spending import spending

MAX_SCOPED_RESOURCES = 500
"""A plan that touches more resources than these counts as touching any."""
ANY_RESOURCE = "resource:*"


def spending_by_agent(steps: Iterable[Step], admitted: Admitted, approved: Collection[str]) -> dict[str, Spending]:
    """What each agent would use up if the approved steps went live, by agent, sorted.

    Args:
        steps: The plan's steps, with the agents they have in the end.
        admitted: Their frozen contracts.
        approved: The ids of the steps that count.
    """
    wanted = set(approved)
    calls: dict[str, list[Contract]] = {}
    for step in steps:
        if step.id in wanted:
            calls.setdefault(step.agent, []).append(admitted.contract(step.id))
    return {agent: spending(calls[agent]) for agent in sorted(calls)}


def budgets_of(policy: Policy, agents: Iterable[str]) -> dict[str, WindowBudget]:
    """The budget of each of these agents that has one, by agent, sorted."""
    found = {agent: policy.budget_of(agent) for agent in sorted(set(agents))}
    return {agent: budget for agent, budget in found.items() if budget is not None}


def scopes(steps: Iterable[Step], admitted: Admitted, approved: Collection[str]) -> tuple[str, ...]:
    """What a scoped lock stops the approved steps for: `agent:x`, `tool:y` and `resource:z`, sorted.

    `resource:*` stands in where a step's resource is not known before it runs, and instead of more than
    `MAX_SCOPED_RESOURCES` of them: a lock on any resource then stops the plan, because it might be that one.
    """
    wanted = set(approved)
    going = [step for step in steps if step.id in wanted]
    resources = {f"resource:{name}" for step in going for name in admitted.resources.get(step.id, ())}
    if len(resources) > MAX_SCOPED_RESOURCES:
        resources = {ANY_RESOURCE}
    elif any(_open(step, admitted) for step in going):
        resources.add(ANY_RESOURCE)
    others = {f"agent:{step.agent}" for step in going} | {f"tool:{step.tool}" for step in going}
    return tuple(sorted(others | resources))


def _open(step: Step, admitted: Admitted) -> bool:
    """Whether a resource of this step hangs on an argument that is not known yet."""
    unknown = {marker.path.partition(".")[0].partition("[")[0] for marker in markers(step.args)}
    templates = admitted.contract(step.id).resources
    return any(field in unknown for template in templates for _, field, _, _ in Formatter().parse(template))
