"""Everything that can be said about a plan before it runs: problems that refuse it, and advice."""

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from airlock.base.errors import Problem
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Contract
from airlock.plans.graph import Parents, descendants, graph_problems, parents_of
from airlock.plans.plan import Plan, Step
from airlock.plans.refs import REF, SECRET, markers, syntax_error
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
_SECRET_SHAPES = ("sk-", "ghp_", "xoxb-", "AKIA", "-----BEGIN", "Bearer ")


def structure_problems(plan: Plan) -> list[Problem]:
    """Return the problems of the plan itself: ids, references, cycles. Needs no catalogue."""
    problems = [
        Problem(
            where=f"steps.{step.id}.args.{marker.path}",
            message=wrong,
            fix='write {"$ref": "<step>.<path>"}' if marker.kind == REF else 'write {"$secret": "<name>"}',
        )
        for step in plan.steps
        for marker in markers(step.args)
        if (wrong := syntax_error(marker))
    ]
    try:
        plan.digest()
    except ValueError as error:
        problems.append(Problem(where="plan", message=f"is not JSON: {error}", fix="replace it by JSON values"))
    return problems + graph_problems(plan)


def catalogue_problems(plan: Plan, catalogue: Catalogue) -> list[Problem]:
    """Return the problems that the operator's catalogue shows: unknown tools, arguments that do not fit."""
    problems: list[Problem] = []
    for step in plan.steps:
        tool = catalogue.get(step.tool)
        if tool is None:
            problems.append(
                Problem(
                    where=f"steps.{step.id}.tool",
                    message=f"no tool {step.tool!r} in the catalogue",
                    fix=_nearest(step.tool, catalogue.names),
                )
            )
        else:
            missing, wrong = argument_problems(step, tool)
            problems += wrong if plan.allow_missing_arguments else [*missing, *wrong]
    return problems


def argument_problems(step: Step, tool: Tool) -> tuple[list[Problem], list[Problem]]:
    """Return required arguments that are missing, and arguments that do not fit the tool's model.

    Whatever a `$ref` or `$secret` stands for is not judged: its value is not known yet.
    """
    open_paths = {marker.path for marker in markers(step.args)}
    try:
        tool.arguments.model_validate(step.args)
    except ValidationError as error:
        missing: list[Problem] = []
        wrong: list[Problem] = []
        for item in error.errors(include_url=False, include_input=False):
            path = _path(item["loc"])
            if open_paths and not path:
                continue  # a rule over all arguments together, and not all of them are known
            if any(path == marker or path.startswith((f"{marker}.", f"{marker}[")) for marker in open_paths):
                continue
            if any(marker.startswith((f"{path}.", f"{path}[")) for marker in open_paths):
                continue  # the container holds an open value; whether it fits shows when that is known
            where = f"steps.{step.id}.args.{path}".removesuffix(".")
            if item["type"] == "missing" and len(item["loc"]) == 1:
                missing.append(Problem(where=where, message=f"{tool.name} needs this argument", fix=f"add {path!r}"))
            else:
                wrong.append(Problem(where=where, message=item["msg"], fix=_argument_fix(item["type"], path, tool)))
        return missing, wrong
    return [], []


def advice(plan: Plan, contracts: Mapping[str, Contract]) -> list[Problem]:
    """Return advice for the author: secrets in clear text, irreversible calls before reversible ones.

    Args:
        plan: A plan whose structure has no problems.
        contracts: The contract of each step; steps of unknown tools may be absent.
    """
    found = [problem for step in plan.steps for problem in _clear_text_secrets(step)]
    parents = parents_of(plan)
    for step in plan.steps:
        contract = contracts.get(step.id)
        if contract is not None and contract.irreversible:
            found += _reversible_behind(step, parents, contracts)
    return found


def _reversible_behind(step: Step, parents: Parents, contracts: Mapping[str, Contract]) -> list[Problem]:
    behind = [later for later in descendants(parents, step.id) if later in contracts and contracts[later].undoable]
    if not behind:
        return []
    return [
        Problem(
            where=f"steps.{step.id}",
            message=f"is irreversible and comes before reversible {', '.join(behind)}: if one of these fails, it stays",
            fix=f"let {step.id!r} come after them, if it does not need to be first",
        )
    ]


def _clear_text_secrets(step: Step) -> list[Problem]:
    return [
        Problem(
            where=f"steps.{step.id}.args.{path}",
            message="looks like a secret in clear text; it would stand in the run's history for ever",
            fix=f'write {{"{SECRET}": "<name>"}} and give the worker AIRLOCK_SECRET_<NAME>',
        )
        for path, value in _strings(step.args)
        if _looks_secret(path, value)
    ]


def _looks_secret(path: str, value: str) -> bool:
    key = path.rpartition(".")[2].partition("[")[0].lower().replace("-", "_")
    return value.startswith(_SECRET_SHAPES) or (bool(value) and any(key.endswith(word) for word in _SECRET_WORDS))


def _strings(value: Any, path: str = "") -> list[tuple[str, str]]:
    if isinstance(value, str):
        return [(path, value)]
    if isinstance(value, Mapping):
        if len(value) == 1 and next(iter(value)) in (REF, SECRET):
            return []
        return [pair for key, child in value.items() for pair in _strings(child, f"{path}.{key}" if path else str(key))]
    if isinstance(value, list | tuple):
        return [pair for index, child in enumerate(value) for pair in _strings(child, f"{path}[{index}]")]
    return []


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else (f".{part}" if path else part)
    return path


def _argument_fix(kind: str, path: str, tool: Tool) -> str:
    if kind == "extra_forbidden":
        return f"remove {path!r}; {tool.name} takes: {', '.join(tool.arguments.model_fields)}"
    return f"correct the value of {path!r}"


def _nearest(name: str, names: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"use one of: {', '.join(names) or '(the catalogue is empty)'}"
