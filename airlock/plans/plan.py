"""Plans as agents propose them: the file format, and the checks that need only the file."""

import re
import zlib
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any

from pydantic import FailFast, Field, JsonValue, StringConstraints, ValidationError, field_validator

from airlock.base.canonical import canonical_json, digest, require_bounded
from airlock.base.errors import PlanError, Problem
from airlock.base.likely import likely, likely_fix
from airlock.base.model import FileModel
from airlock.base.names import PLAN_ID, RESERVED_PREFIXES, STEP_ID, occasion_of, plan_workflow_id
from airlock.base.text import shorten
from airlock.base.wrong_value import wrong_value
from airlock.plans.contract import Mode
from airlock.plans.refs import referenced_steps

MAX_PLAN_BYTES = 1_500_000
"""The largest plan, in bytes of JSON. One Temporal payload carries it, and its limit is 2 MiB."""
MAX_COMPRESSED_BYTES = 300_000
"""The largest plan after compression. A run carries its texts several times: in the plan, the seal and the calls."""
MAX_STEPS = 5_000
MAX_DURATION = 3_650 * 86_400
"""In seconds. Dates beyond it cannot be computed."""
_COMPARED = 500
"""Steps that are compared with the name of one that does not exist: a workflow task must stay short."""
_NOT_JSON = "replace NaN and Infinity by numbers or null, and half of a surrogate pair by the character"
_ANY = "any kind of error"
_FIXES = {
    "confidence": {_ANY: "write a number from 0.0 to 1.0"},
    "deadline": {_ANY: 'write a duration in quotes, for example "2h"'},
    "max_mode": {_ANY: "write MOCK, DRY_RUN or LIVE"},
    "steps": {"tuple_type": "write a list of steps: [{...}, {...}]", "too_short": "give at least one step"},
    "plan_id": {"value_error": "choose an id that begins otherwise"},
}
"""The fixes that only this file format knows, by field and by pydantic's type of the error."""
_ELSEWHERE = {
    **dict.fromkeys(("arguments", "parameters", "params", "input", "inputs", "tool_input", "tool_args", "kwargs"), "args"),
    **dict.fromkeys(("name", "tool_name", "action"), "tool"),
    **dict.fromkeys(("depends_on", "dependsOn", "dependencies", "depends", "needs", "requires"), "after"),
}
"""The field of a step by the name that other formats have for it."""
_ELSEWHERE_IN_PLAN = {
    **dict.fromkeys(("description", "purpose", "objective", "title", "summary", "reason"), "goal"),
    **dict.fromkeys(("actions", "calls", "tool_calls", "tasks"), "steps"),
    **dict.fromkeys(("id", "name"), "plan_id"),
    "mode": "max_mode",
}
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


def seconds(duration: str) -> float:
    """Return the seconds of a duration such as `90s`, `30m`, `2h` or `1d`.

    Raises:
        ValueError: If the text has another form, or the duration is zero or longer than ten years.
    """
    match = _DURATION.fullmatch(duration.strip())
    if match is None or float(match[1]) == 0:
        raise ValueError(f"{duration[:40]!r} is not a duration; write for example '90s', '30m', '2h' or '1d'")
    length = float(match[1]) * _UNITS[match[2]]
    if length > MAX_DURATION:
        raise ValueError(f"{duration[:40]!r} is longer than ten years")
    return length


class Step(FileModel):
    """One tool call by one agent."""

    id: Annotated[str, StringConstraints(pattern=f"^{STEP_ID.pattern}$")]
    agent: Name
    tool: Name
    args: dict[str, JsonValue] = Field(default_factory=dict)
    confidence: float = Field(ge=0.0, le=1.0, strict=True)
    """The agent's own confidence, 0.0-1.0."""
    after: Annotated[tuple[str, ...], FailFast()] = ()
    """The steps that must run first, beside those that a `$ref` reads from."""
    dedupe_key: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] | None = None
    """A stand-in for the arguments of an irreversible call, which all plans together make once.

    A call that is meant to repeat gets a key of its own. Calls with different arguments and one key count as one call.
    """

    @property
    def parents(self) -> tuple[str, ...]:
        """The steps that must run before this one, sorted: `after`, and every step that a `$ref` reads from."""
        return tuple(sorted({*self.after, *referenced_steps(self.args)}))

    @property
    def claimed_args(self) -> dict[str, JsonValue] | None:
        """The arguments that tell this call from another one; None if its `dedupe_key` does."""
        return self.args if self.dedupe_key is None else None


class Plan(FileModel):
    """A proposal of agents: steps and their order."""

    plan_id: Annotated[str, StringConstraints(pattern=f"^{PLAN_ID.pattern}$")]
    goal: str = Field(default="", max_length=2_000)
    requested_by: Name
    steps: tuple[Step, ...] = Field(min_length=1, max_length=MAX_STEPS)
    max_mode: Mode = Mode.LIVE
    """The highest mode of any step. It can only tighten the operator's policy."""
    deadline: str | None = None
    """A duration such as `2h`, counted from submission. It can only tighten the operator's policy."""
    allow_missing_arguments: bool = False
    """True to mock a step that lacks required arguments, instead of refusing the plan."""
    phase21_plan_id: str | None = None
    phase22_validation_id: str | None = None

    @field_validator("plan_id")
    @classmethod
    def _not_a_workflow_id(cls, value: str) -> str:
        if value.startswith(RESERVED_PREFIXES):
            raise ValueError(f"must not begin with {' or '.join(RESERVED_PREFIXES)}: workflow ids do")
        return value

    @field_validator("deadline")
    @classmethod
    def _duration(cls, value: str | None) -> str | None:
        if value is not None:
            seconds(value)
        return value

    @property
    def deadline_seconds(self) -> float | None:
        """Seconds from submission after which no call may start, or None."""
        return None if self.deadline is None else seconds(self.deadline)

    @cached_property
    def read_steps(self) -> frozenset[str]:
        """The steps whose output another step reads."""
        return frozenset(name for step in self.steps for name in referenced_steps(step.args))

    def step(self, step_id: str) -> Step | None:
        """Return the step of that id, or None."""
        return next((step for step in self.steps if step.id == step_id), None)

    def no_step(self, step_id: str) -> str:
        """Return the sentence that there is no step of that id, with the one that was probably meant."""
        ids = [step.id for step in self.steps[:_COMPARED]]
        meant = likely(step_id[:_COMPARED], ids)
        return f"there is no step {step_id!r} in this plan" + (f"; did you mean {meant!r}?" if meant else "")

    def on_occasion(self, workflow_id: str) -> "Plan":
        """Return the plan as a schedule started it: a plan of its own, with the time of its start in its id.

        Args:
            workflow_id: The workflow id of the run. If no schedule made it out of this plan's id, the plan stays as it is.
        """
        occasion = occasion_of(workflow_id)
        if not occasion or workflow_id != plan_workflow_id(self.plan_id) + occasion:
            return self
        return self.model_copy(update={"plan_id": self.plan_id + occasion})

    def digest(self) -> str:
        """Return the hash over the plan's content: two files with one digest propose the same."""
        return digest(self.model_dump(mode="json", exclude_defaults=True))


def parse_plan(document: Any) -> Plan:
    """Parse a plan from a decoded JSON document.

    Raises:
        PlanError: If the document is not a plan; it names the step, the field and the fix of every problem.
    """
    if not isinstance(document, Mapping):
        raise PlanError([Problem(where="plan", message="is not a JSON object", fix="write {...}")])
    try:
        too_large = _too_large(document)
        if too_large:
            raise PlanError([too_large])
        return Plan.model_validate(document)
    except RecursionError as error:
        raise PlanError([Problem(where="plan", message="is nested too deeply", fix="flatten its arguments")]) from error
    except ValidationError as error:
        wrong = error.errors(include_url=False)
        # pydantic counts only valid steps, and "too short" would be misleading if all of them are wrong
        reported = [item for item in wrong if not (item["type"] == "too_short" and document.get("steps"))] or wrong
        raise PlanError([_problem(document, item) for item in reported]) from error


def _too_large(document: Mapping[str, Any]) -> Problem | None:
    try:
        require_bounded(document)
    except ValueError as error:
        return Problem(where="plan", message=str(error).removeprefix("it "), fix="make its arguments flatter and smaller")
    try:
        text = canonical_json(document)
        size, compressed = len(text), len(zlib.compress(text.encode()))
    except (TypeError, ValueError) as error:
        return Problem(where="plan", message=f"is not JSON: {error}", fix=_NOT_JSON)
    if size <= MAX_PLAN_BYTES and compressed <= MAX_COMPRESSED_BYTES:
        return None
    limits = f"{MAX_PLAN_BYTES:,} ({MAX_COMPRESSED_BYTES:,} compressed)"
    return Problem(
        where="plan",
        message=f"is {size:,} bytes ({compressed:,} compressed), more than the {limits} one plan may have",
        fix="split the plan, or pass large contents by reference (a file path, a URL)",
    )


def _problem(document: Mapping[str, Any], item: Any) -> Problem:
    location, holder = list(item["loc"]), document
    if len(location) >= 2 and location[0] == "steps" and isinstance(location[1], int):
        step = document["steps"][location[1]]
        holder = step if isinstance(step, Mapping) else {}
        name = holder.get("id")
        location[1] = name if isinstance(name, str) and name else f"#{location[1] + 1}"
    where = shorten(".".join(str(part) for part in location), 200) or "plan"
    message, fix = wrong_value(item)
    return Problem(where=where, message=message, fix=_fix(item, str(location[-1] if location else "plan"), fix, holder))


def _fix(item: Any, field: str, otherwise: str, holder: Mapping[str, Any]) -> str:
    kind, model = item["type"], Step if item["loc"] and item["loc"][0] == "steps" and len(item["loc"]) > 1 else Plan
    if kind == "missing":
        return f"add {field!r}"
    if kind == "extra_forbidden":
        return _fix_of_unknown(field, model, holder)
    if kind == "string_pattern_mismatch":
        if field == "plan_id":
            return "use letters, digits, '.', '-' and '_' only, at most 128, beginning with a letter or digit"
        return "use letters, digits, '-' and '_' only, at most 64, beginning with a letter or digit"
    by_field = _FIXES.get(field, {})
    fix = by_field.get(kind) or by_field.get(_ANY) or otherwise or f"correct the value of {field!r}"
    known = model.model_fields.get(field)
    # models write null for what they leave open
    return f"leave {field!r} out, or {fix}" if item["input"] is None and known and not known.is_required() else fix


def _fix_of_unknown(field: str, model: type[Plan | Step], holder: Mapping[str, Any]) -> str:
    if model is Plan and field == "plan" and isinstance(holder.get(field), Mapping):
        return "write the fields that it holds in its place, without 'plan' around them"
    meant = (_ELSEWHERE if model is Step else _ELSEWHERE_IN_PLAN).get(field)
    if meant is not None and meant not in holder:
        return f"write it as {meant!r}"
    return likely_fix(field, model.model_fields, f"remove {field!r}, or correct its spelling")
