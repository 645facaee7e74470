"""Checks of single steps and calls: problems that refuse a plan, and warnings."""

from collections.abc import Mapping

from pydantic import ValidationError

from airlock.admission.agent_names import agent_warnings
from airlock.admission.places import place_warnings, texts
from airlock.admission.policy import Policy
from airlock.base.errors import Problem
from airlock.base.likely import likely, likely_fix
from airlock.base.visible import marks
from airlock.base.wrong_value import wrong_value
from airlock.plans.arguments.canonical_args import canonical_names
from airlock.plans.contract import Contract
from airlock.plans.graph import PlanGraph
from airlock.plans.plan import Plan, Step
from airlock.plans.refs import SECRET, markers
from airlock.plans.tool import Tool

_SECRET_WORDS = (
    "password",
    "passwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "private_key",
    "authorization",
    "credential",
)
_MARKS_NAMED = 5
_NAMED = 20
"""Steps that one warning names; with thousands in each of thousands of warnings they would be gigabytes."""
_SECRET_SHAPES = ("sk-", "ghp_", "xoxb-", "AKIA", "-----BEGIN", "Bearer ")


def tool_problem(step: Step, names: tuple[str, ...], *, suggest: bool = True) -> Problem:
    """Return the problem of a step whose tool is not in the catalogue.

    Args:
        step: The step.
        names: The names of all tools.
        suggest: True to look for a similar name, which takes a millisecond.
    """
    otherwise = "" if names else "use a catalogue with tools; the catalogue is empty"
    return Problem(
        where=f"steps.{step.id}.tool",
        message=f"no tool {step.tool!r} in the catalogue",
        fix=likely_fix(step.tool, names, otherwise) if suggest else "use a tool of the catalogue",
    )


def argument_problems(step: Step, tool: Tool) -> tuple[list[Problem], list[Problem]]:
    """Return the required arguments that are missing, and the arguments that do not fit the tool's model.

    The value of a `$ref` or `$secret` is not known yet and is not checked.
    """
    open_paths = {marker.path for marker in markers(step.args)}
    try:
        tool.arguments.model_validate(step.args)
    except ValidationError as error:
        missing: list[Problem] = []
        wrong: list[Problem] = []
        for item in error.errors(include_url=False):
            path = _path(item["loc"])
            if open_paths and not path:
                continue  # a rule over all arguments, of which some are not known yet
            if any(path == marker or path.startswith((f"{marker}.", f"{marker}[")) for marker in open_paths):
                continue
            if any(marker.startswith((f"{path}.", f"{path}[")) for marker in open_paths):
                continue  # the container holds a value that is not known yet
            where = f"steps.{step.id}.args.{path}".removesuffix(".")
            if item["type"] == "missing" and len(item["loc"]) == 1:
                missing.append(Problem(where=where, message=f"{tool.name} needs this argument", fix=f"add {path!r}"))
            else:
                message, fix = wrong_value(item)
                wrong.append(Problem(where=where, message=message, fix=_argument_fix(item["type"], path, tool, fix)))
        return missing, wrong
    return [], []


def lint_warnings(
    plan: Plan, contracts: Mapping[str, Contract], graph: PlanGraph | None, policy: Policy | None = None
) -> list[Problem]:
    """Return the findings that refuse nothing: secrets in clear text, hidden characters, unfilled places, and the like.

    Args:
        plan: The plan.
        contracts: The contract of each step; steps of unknown tools may be absent.
        graph: The plan's graph; None if its dependencies are wrong.
        policy: The operator's rules, if they are known.
    """
    ids = frozenset(step.id for step in plan.steps)
    found = [
        problem
        for step in plan.steps
        for problem in (*_clear_text_secrets(step), *_hidden_in_step(step), *place_warnings(step, ids))
    ]
    found += _hidden("goal", plan.goal) + _hidden("requested_by", plan.requested_by)
    found += agent_warnings(plan, contracts, policy) if policy is not None else []
    return found + (_reversible_after_irreversible(plan, contracts, graph) if graph is not None else [])


def _reversible_after_irreversible(plan: Plan, contracts: Mapping[str, Contract], graph: PlanGraph) -> list[Problem]:
    undoable = sorted(step for step, contract in contracts.items() if contract.undoable)
    # sets of steps as the bits of one number: with thousands of steps, one walk per irreversible step takes seconds
    bit = {step: 1 << position for position, step in enumerate(undoable)}
    behind: dict[str, int] = {}
    for step in reversed(graph.order):
        reach = 0
        for child in graph.children[step]:
            reach |= behind[child] | bit.get(child, 0)
        behind[step] = reach
    return [
        Problem(
            where=f"steps.{step.id}",
            message=f"is irreversible and comes before reversible {_some(undoable, behind[step.id])}: "
            "if one of these fails, it stays",
            fix=f"let {step.id!r} come after them, if it does not need to be first",
        )
        for step in plan.steps
        if step.id in contracts and contracts[step.id].irreversible and behind[step.id]
    ]


def _some(names: list[str], chosen: int) -> str:
    """Return the first names whose bit is set, and the number of the others."""
    shown: list[str] = []
    while chosen and len(shown) < _NAMED:
        lowest = chosen & -chosen
        shown.append(names[lowest.bit_length() - 1])
        chosen ^= lowest
    return ", ".join(shown) + (f" and {chosen.bit_count()} more" if chosen else "")


def _clear_text_secrets(step: Step) -> list[Problem]:
    return [
        Problem(
            where=f"steps.{step.id}.args.{path}",
            message="looks like a secret in clear text; the run's history would keep it for ever",
            fix=f'write {{"{SECRET}": "<name>"}} and give the worker AIRLOCK_SECRET_<NAME>',
        )
        for path, value in texts(step.args)
        if _looks_secret(path, value)
    ]


def _hidden_in_step(step: Step) -> list[Problem]:
    named = _hidden(f"steps.{step.id}.agent", step.agent) + _hidden(f"steps.{step.id}.dedupe_key", step.dedupe_key or "")
    values = [(f"steps.{step.id}.args.{path}", value) for path, value in texts(step.args)]
    return named + [problem for where, value in values for problem in _hidden(where, value, *marks(where))]


def _hidden(where: str, text: str, *more: str) -> list[Problem]:
    """Return a warning if characters of a text cannot be seen, or imitate others."""
    if not (found := (*more, *marks(text))):
        return []
    more_of_them = f"; and {len(found) - _MARKS_NAMED} more" if len(found) > _MARKS_NAMED else ""
    listed = "; ".join(found[:_MARKS_NAMED]) + more_of_them
    return [
        Problem(
            where=where,
            message=f"holds characters that cannot be seen or look like others: {listed}",
            fix="write plain characters, unless these are meant; approvers see each of them marked",
        )
    ]


def _looks_secret(path: str, value: str) -> bool:
    key = path.rpartition(".")[2].partition("[")[0].lower().replace("-", "_")
    return value.startswith(_SECRET_SHAPES) or (bool(value) and any(key.endswith(word) for word in _SECRET_WORDS))


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else (f".{part}" if path else part)
    return path


def _argument_fix(kind: str, path: str, tool: Tool, otherwise: str) -> str:
    if kind == "extra_forbidden":
        names = dict.fromkeys(canonical_names(tool.arguments).values())
        close = likely(path, names)
        meant = f"did you mean {close!r}? " if close else f"remove {path!r}; "
        return f"{meant}{tool.name} takes: {', '.join(names)}"
    described = tool.arguments.model_fields.get(path)
    if kind == "string_pattern_mismatch" and described is not None and described.description:
        return f"{otherwise} ({path}: {described.description})"
    if not path:  # a rule over several arguments
        return f"correct its arguments together; {tool.name} takes: {', '.join(canonical_names(tool.arguments).values())}"
    return otherwise or f"correct the value of {path!r}"
