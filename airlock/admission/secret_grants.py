"""The grants of secrets: which agent may name which secret, and in which argument of a tool."""

from collections.abc import Iterable, Mapping

from airlock.admission.policy import Policy
from airlock.base.errors import Problem
from airlock.base.text import shorten
from airlock.plans.contract import Contract
from airlock.plans.plan import Step
from airlock.plans.refs import SECRET, Marker, markers

_SHOWN = 100
"""Characters of a secret's name in a message."""


def secret_problems(steps: Iterable[Step], contracts: Mapping[str, Contract], policy: Policy | None) -> tuple[Problem, ...]:
    """Return each `$secret` that stands in an argument that takes none, or whose agent was not granted it.

    Args:
        steps: The steps of a plan.
        contracts: The contract of each step; steps without one are left out.
        policy: The operator's rules; without them only the arguments are looked at.
    """
    return tuple(
        problem
        for step in steps
        for marker in markers(step.args)
        if marker.kind == SECRET and step.id in contracts and (problem := _problem(step, marker, contracts[step.id], policy))
    )


def _problem(step: Step, marker: Marker, contract: Contract, policy: Policy | None) -> Problem | None:
    where = f"steps.{step.id}.args.{marker.path}"
    if not contract.takes_secret(marker.keys):
        takes = f"only in: {', '.join(contract.secrets)}" if contract.secrets else "in no argument"
        return Problem(
            where=where,
            message=f"{contract.tool} takes a $secret {takes}",
            fix=f"remove it, or let the operator name the argument in contracts.{contract.tool}.secrets",
        )
    name = str(marker.text)
    if policy is None or policy.grants_secret(step.agent, name):
        return None
    shown = shorten(name, _SHOWN)
    return Problem(
        where=where,
        message=f"agent {step.agent!r} may not use the secret {shown!r}",
        fix=f"remove it, or let the operator add {shown!r} to policy.agents.{step.agent}.secrets",
    )
