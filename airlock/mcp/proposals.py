"""The plan in a proposal: the agent's own, whatever the document says. Its id follows from its content unless it has one."""

import re
from collections.abc import Container, Mapping
from typing import Any

from airlock.admission.configuration.config import Config
from airlock.admission.examination import Examination, examine
from airlock.admission.readable import further_problems
from airlock.base.canonical import digest
from airlock.base.errors import PlanError, Problem
from airlock.plans.catalogue import Catalogue
from airlock.plans.plan import Plan, parse_plan

Configured = tuple[Config, Catalogue]
_UNFIT = re.compile(r"[^A-Za-z0-9]+")
STEP_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["id", "tool", "confidence"],
    "properties": {
        "id": {"type": "string", "description": "a short name, for $ref and after", "maxLength": 64},
        "tool": {"type": "string", "description": "a name from list_tools"},
        "args": {"type": "object", "description": 'the arguments; {"$ref": "step.path"} reads an earlier output'},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "after": {"type": "array", "items": {"type": "string"}, "description": "steps that must run first"},
        "dedupe_key": {"type": "string", "description": "rarely needed: a name for a call that no plan may repeat"},
    },
}
PLAN_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["steps"],
    "properties": {
        "goal": {"type": "string", "description": "why, in one sentence: the approver reads it", "maxLength": 2_000},
        "steps": {"type": "array", "minItems": 1, "items": STEP_SCHEMA},
        "plan_id": {
            "type": "string",
            "description": "optional; without it the content of the plan names it",
            "maxLength": 128,
        },
        "max_mode": {"type": "string", "enum": ["MOCK", "DRY_RUN", "LIVE"], "description": "the furthest any step may go"},
        "deadline": {"type": "string", "description": 'such as "2h": no call starts later'},
    },
}
"""What a model may write. The agent and the requester are not in it: they are those of the connection."""


def examined(document: Any, agent: str, configured: Configured | None) -> Examination:
    """Examine a proposal as a plan of one agent.

    Args:
        document: The decoded document.
        agent: The agent that proposes it.
        configured: The operator's configuration and catalogue; None examines the plan alone.

    Raises:
        PlanError: If it is no plan, or names another agent or requester; with every problem that can be seen.
    """
    own = _owned(document, agent)
    catalogue, policy = (configured[1], configured[0].policy) if configured else (None, None)
    try:
        plan: Plan = parse_plan(own)
    except PlanError as error:
        raise PlanError(further_problems(own, error, catalogue, policy)) from error
    findings = examine(plan, catalogue, policy)
    return findings if findings.problems else kept_by_agent(findings, agent)


def _owned(document: Any, agent: str) -> dict[str, Any]:
    """Return the document with the agent as its requester and the agent of all its steps."""
    if not isinstance(document, Mapping):
        raise PlanError([Problem(where="plan", message="is not a JSON object", fix='write {"goal": ..., "steps": [...]}')])
    foreign = [_foreign("requested_by", document["requested_by"], agent)] if _other(document, "requested_by", agent) else []
    own: dict[str, Any] = {**document, "requested_by": agent}
    if isinstance(stated := document.get("steps"), list):
        foreign += foreign_steps(stated, agent)
        own["steps"] = [{**step, "agent": agent} if isinstance(step, Mapping) else step for step in stated]
    if foreign:
        raise PlanError(foreign)
    return {"plan_id": _named_by_content(own, agent), **own}


def foreign_steps(steps: list[Any], agent: str) -> list[Problem]:
    """Return a problem for each step that names another agent than that of the connection."""
    found: list[Problem] = []
    for number, step in enumerate(steps, 1):
        if isinstance(step, Mapping) and _other(step, "agent", agent):
            named = step.get("id")
            place = named[:64] if isinstance(named, str) and named else f"#{number}"
            found.append(_foreign(f"steps.{place}.agent", step["agent"], agent))
    return found


def _other(holder: Mapping[str, Any], field: str, agent: str) -> bool:
    # compared exactly: another spelling of a name has the same rights, but this agent has no reason to write it
    return field in holder and holder[field] != agent


def _foreign(where: str, named: Any, agent: str) -> Problem:
    message = f"names {str(named)[:80]!r}, but this connection speaks for {agent!r} alone"
    return Problem(where=where, message=message, fix="leave the field out")


def _named_by_content(own: Mapping[str, Any], agent: str) -> str:
    # a host that repeats a call after a timeout then proposes the same plan, and starts nothing
    try:
        content = digest({key: value for key, value in own.items() if key != "plan_id"})
    except (TypeError, ValueError, RecursionError):
        content = "unreadable"  # parse_plan tells what is wrong with it
    name = _UNFIT.sub("-", agent).strip("-")[:40]
    return f"{name or 'agent'}-{content[:16]}"


def kept_by_agent(findings: Examination, agent: str, among: Container[str] | None = None) -> Examination:
    """Return the examination; refuse a plan of which a step would be given to another agent.

    A conflict may be answered by an agent with more rights. That is the operator's choice for plans of people.

    Args:
        findings: The examination.
        agent: The agent that proposes the plan.
        among: The steps that are the agent's own; None for all.
    """
    admitted = findings.admitted.steps if findings.admitted else {}
    moved = [step for step, row in admitted.items() if row.agent not in (None, agent) and (among is None or step in among)]
    if moved:
        fix = "leave out the step, or let the operator grant the permission"
        message = f"agent {agent!r} may not make this call, and no other agent makes it for this connection"
        raise PlanError([Problem(where=f"steps.{step}.agent", message=message, fix=fix) for step in moved])
    return findings
