"""Problems of a plan that cannot be read as a whole: the parts that can be read are examined all the same."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from airlock.admission.examination import examine
from airlock.admission.policy import Policy
from airlock.base.errors import PlanError, Problem
from airlock.plans.catalogue import Catalogue
from airlock.plans.plan import Plan, Step

_PLACEHOLDER = "(unreadable)"
"""The agent or the tool of a step whose own cannot be read."""
_STEP = {"agent": _PLACEHOLDER, "tool": _PLACEHOLDER, "confidence": 0.0}
_PLAN = {"plan_id": "unreadable", "requested_by": _PLACEHOLDER}


def further_problems(
    document: Any, refused: PlanError, catalogue: Catalogue | None = None, policy: Policy | None = None
) -> tuple[Problem, ...]:
    """Return the problems of a plan that was refused as unreadable, with those of the parts that can be read.

    Args:
        document: The decoded JSON document.
        refused: The error of reading it.
        catalogue: The operator's tools, if they are known.
        policy: The operator's rules, if they are known.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("steps"), list):
        return refused.problems
    read = [_readable(Step, raw, _STEP) for raw in document["steps"]]
    steps = [step for step, _ in read if step is not None]
    rest, unread_fields = _readable(Plan, {**document, "steps": [step.model_dump() for step in steps]}, _PLAN)
    if rest is None:
        return refused.problems
    if "allow_missing_arguments" in unread_fields:
        rest = rest.model_copy(update={"allow_missing_arguments": True})
    # of arguments that cannot be read it is not known which are missing
    unread = tuple(f"steps.{step.id}.args." for step, left_out in read if step is not None and "args" in left_out)
    readable_agents = all(step.agent != _PLACEHOLDER for step in steps)
    found = examine(rest, catalogue, policy if readable_agents else None).problems
    known = {problem.where for problem in refused.problems}
    unnamed = tuple(f"names step {name!r}," for name in _ids(document["steps"]) if rest.step(name) is None)
    more = (each for each in found if each.where not in known and not each.where.startswith(unread))
    return (*refused.problems, *(each for each in more if not each.message.startswith(unnamed)))


def _readable(model: Any, document: Any, placeholders: Mapping[str, Any]) -> tuple[Any, frozenset[str]]:
    """Return a model of what can be read of a document, or None, and the fields that were left out or replaced."""
    if not isinstance(document, Mapping):
        return None, frozenset()
    values = dict(document)
    for _ in range(2):
        try:
            return model.model_validate({**placeholders, **values}), frozenset(document.keys() - values.keys())
        except ValidationError as error:
            for item in error.errors(include_url=False):
                values.pop(str(item["loc"][0]) if item["loc"] else "", None)
    return None, frozenset()


def _ids(steps: Sequence[Any]) -> Iterator[str]:
    for step in steps:
        if isinstance(step, Mapping) and isinstance(step.get("id"), str):
            yield step["id"]
