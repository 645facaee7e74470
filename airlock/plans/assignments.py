"""The older plan format: tools assigned to agents, an execution order and confidence scores."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field, JsonValue, ValidationError

from airlock.base.errors import PlanError, Problem
from airlock.base.likely import likely_fix
from airlock.base.model import FileModel
from airlock.base.names import STEP_ID, occasion_of
from airlock.base.text import shorten
from airlock.base.wrong_value import wrong_value
from airlock.plans.contract import Mode
from airlock.plans.plan import Plan, parse_plan


class Assignments(FileModel):
    """A plan in the older format, which names tools and agents, but no steps."""

    plan_id: str
    agent_assignments: dict[str, tuple[str, ...]] = Field(min_length=1)
    """The tools of each agent."""
    execution_order: tuple[str, ...] = ()
    """Tools, or agents (all tools of the agent in turn). Empty, the order of the assignments counts."""
    confidence_scores: dict[str, float] = Field(default_factory=dict)
    """Confidence (0.0-1.0) by tool or by agent."""
    arguments: dict[str, dict[str, JsonValue]] = Field(default_factory=dict)
    """Arguments by tool; the original format has none."""
    goal: str = ""
    requested_by: str = "agent_assignments"
    max_mode: Mode = Mode.LIVE
    deadline: str | None = None
    phase21_plan_id: str | None = None


_FIELDS = ", ".join(Assignments.model_fields)
_FORMS = {
    "agent_assignments": 'the tools of each agent: {"agent": ["tool", "tool"]}',
    "execution_order": 'tools, or agents, in their order: ["tool", "tool"]',
    "confidence_scores": 'a number from 0.0 to 1.0 for each tool or agent: {"tool": 0.9}',
    "arguments": 'the arguments of each tool: {"tool": {"argument": "value"}}',
    "max_mode": "MOCK, DRY_RUN or LIVE",
    "deadline": 'a duration in quotes, for example "2h"',
}
"""The way in which a field of this format is written, where its kind does not say so."""


def is_assignments(document: Any) -> bool:
    """Return True if a decoded JSON document is in the older format."""
    return isinstance(document, Mapping) and "agent_assignments" in document


def read_plan(document: Any, validation: Any = None) -> Plan:
    """Read a plan from a decoded JSON document in either format.

    Args:
        document: The plan.
        validation: The decoded validations file that goes with an older plan; its `validation_id` becomes the plan's
            `phase22_validation_id`.

    Raises:
        PlanError: If the document is not an acceptable plan; it names every problem.
    """
    plan = parse_plan(_converted(document) if is_assignments(document) else document)
    if occasion_of(plan.plan_id):
        raise PlanError([Problem(where="plan_id", message="ends with a time", fix="leave it out: a schedule appends it")])
    if validation is None:
        return plan
    if problems := _problems(plan, validation):
        raise PlanError(problems)
    return plan.model_copy(update={"phase22_validation_id": validation["validation_id"]})


def _problems(plan: Plan, validation: Any) -> list[Problem]:
    """Return why a validations file does not allow a plan: it says nothing, means another plan, or says no."""
    said = validation if isinstance(validation, Mapping) else {}
    problems = []
    if not isinstance(said.get("validation_id"), str) or not said["validation_id"]:
        problems.append(Problem(where="validations.validation_id", message="is missing", fix="add a text"))
    if (about := said.get("plan_id", plan.plan_id)) != plan.plan_id:
        message = f"is {shorten(repr(about), 100)}, and the plan is {plan.plan_id!r}"
        problems.append(Problem(where="validations.plan_id", message=message, fix="give the validations of this plan"))
    if (approved := said.get("approved", True)) is not True:
        message = f"is {shorten(json.dumps(approved), 100)}: the validation does not approve the plan"
        problems.append(Problem(where="validations.approved", message=message, fix="have the plan validated, or change it"))
    return problems


def _fix(item: Any) -> str:
    field = str(item["loc"][0])
    if item["type"] == "missing":
        return f"add {field!r}: {_FORMS.get(field, 'a text')}"
    if item["type"] == "extra_forbidden":
        return likely_fix(
            field, Assignments.model_fields, f"remove {field!r}; a plan with agent_assignments takes: {_FIELDS}"
        )
    if field in _FORMS:
        return f"write {_FORMS[field]}"
    return wrong_value(item)[1] or f"correct the value of {field!r}"


def _converted(document: Mapping[str, Any]) -> dict[str, Any]:
    try:
        old = Assignments.model_validate(document)
    except ValidationError as error:
        raise PlanError(
            [
                Problem(
                    where=".".join(str(part) for part in item["loc"]),
                    message=wrong_value(item)[0],
                    fix=_fix(item),
                )
                for item in error.errors(include_url=False)
            ]
        ) from error
    calls = list(_ordered(old))
    if not calls:
        raise PlanError(
            [
                Problem(where=f"agent_assignments.{agent}", message="is empty", fix="give the agent at least one tool")
                for agent in old.agent_assignments
            ]
        )
    unused = sorted(set(old.arguments) - {tool for _, tool in calls})
    if unused:
        raise PlanError(
            [
                Problem(where=f"arguments.{tool}", message="no agent is assigned this tool", fix="remove it")
                for tool in unused
            ]
        )
    steps: list[dict[str, Any]] = []
    for number, (agent, tool) in enumerate(calls, start=1):
        step: dict[str, Any] = {
            "id": _step_id(number, tool),
            "agent": agent,
            "tool": tool,
            "args": old.arguments.get(tool, {}),
            "confidence": _confidence(old, agent, tool),
        }
        if steps:
            step["after"] = [steps[-1]["id"]]
        steps.append(step)
    kept = document.keys() & {"goal", "max_mode", "deadline", "phase21_plan_id", "plan_id"}
    return {
        **{key: document[key] for key in kept},
        "requested_by": old.requested_by,
        "steps": steps,
        "allow_missing_arguments": True,
    }


def _ordered(old: Assignments) -> Iterator[tuple[str, str]]:
    """Yield the calls as (agent, tool), in execution order; calls that the order does not name come last."""
    assigned = [(agent, tool) for agent, tools in old.agent_assignments.items() for tool in tools]
    rest = list(assigned)
    for name in old.execution_order:
        found = [call for call in rest if name in (call[1], call[0])]
        if not found and not any(name in call for call in assigned):
            raise PlanError(
                [
                    Problem(
                        where="execution_order",
                        message=f"{name!r} is neither an assigned tool nor an agent",
                        fix="name tools of agent_assignments, or agents",
                    )
                ]
            )
        # each mention of a tool takes one of its assignments, each mention of an agent all of its own
        taken = found if name in old.agent_assignments else found[:1]
        for call in taken:
            rest.remove(call)
            yield call
    yield from rest


def _confidence(old: Assignments, agent: str, tool: str) -> float:
    for key in (tool, agent):
        if key in old.confidence_scores:
            return old.confidence_scores[key]
    raise PlanError(
        [
            Problem(
                where="confidence_scores",
                message=f"has no score for tool {tool!r}",
                fix=f"add {tool!r}: 0.0 to 1.0",
            )
        ]
    )


def _step_id(number: int, tool: str) -> str:
    name = "".join(character if STEP_ID.fullmatch("a" + character) else "-" for character in tool)
    return f"s{number:02d}-{name}"[:64]
