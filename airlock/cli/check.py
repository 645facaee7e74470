"""`check` and `tools`: findings about a plan, and the catalogue, without a server."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from airlock.admission.config import Config
from airlock.admission.conflicts.conflict import ConflictKind
from airlock.admission.examination import Examination, examine
from airlock.admission.needed_secrets import secrets_of_plan
from airlock.admission.offers import offers
from airlock.admission.readable import further_problems
from airlock.base.errors import ConfigError, PlanError, Problem
from airlock.base.text import count
from airlock.cli.output import OK, REFUSED, AsJson, Refusal, command, console, emit, print_plain, print_problem, safe, say
from airlock.cli.settings import ConfigOption, read_catalogue
from airlock.client.documents import read_document
from airlock.plans.assignments import read_plan
from airlock.plans.canonical_field import key_of
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Contract
from airlock.plans.plan import Plan
from airlock.tools.loader import load_catalogue
from airlock.tools.operator_file import find_config

_MAX_ROWS = 100
"""Steps of a plan up to which each has a row of its own; in larger plans steps that differ in the id alone share one.
More rows than these are printed as plain lines."""
_COLUMNS = ("step", "tool", "agent", "risk", "ceiling", "why")
_WIDEST = 40
"""Width in characters up to which a column of plain lines is aligned."""

PlanFile = Annotated[Path, typer.Argument(metavar="PLAN.json", help="The plan, in either format.")]
ValidationOption = Annotated[
    Path | None, typer.Option("--validation", help="The validations file of an older plan.", metavar="FILE")
]
NoCatalogue = Annotated[bool, typer.Option("--no-catalogue", help="Look at the plan alone, not at a catalogue.")]


def plan_from_files(path: Path, validation: Path | None) -> Plan:
    """Read a plan from a file of either format, with its validations file if there is one.

    Raises:
        PlanError: If either file cannot be read or accepted.
    """
    return read_plan(read_document(path), None if validation is None else read_document(validation))


def look_at(plan: Plan, configured: tuple[Config, Catalogue] | None) -> Examination:
    """Examine a plan without a server."""
    if configured is None:
        return examine(plan)
    config, catalogue = configured
    return examine(plan, catalogue, config.policy)


def examine_files(
    path: Path, validation: Path | None, config: Path | None, *, no_catalogue: bool
) -> tuple[Examination, tuple[Config, Catalogue] | None]:
    """Examine the plan in a file, under the operator's configuration if there is one.

    Raises:
        PlanError: If the plan cannot be read; with the problems of everything that can be read of it.
        ConfigError: If the configuration cannot be used; a `Refusal` if the plan has problems too.
    """
    try:
        configured = None if no_catalogue else read_catalogue(config)
    except ConfigError as error:
        if found := _problems_of_plan(path, validation):
            both = (*error.problems, *found)
            message = f"neither the configuration nor the plan can be accepted: {len(both)} problems"
            raise Refusal(message, both) from error
        raise
    try:
        return look_at(plan_from_files(path, validation), configured), configured
    except PlanError as error:
        catalogue, policy = (configured[1], configured[0].policy) if configured else (None, None)
        raise PlanError(further_problems(_document_if_any(path), error, catalogue, policy)) from error


def _problems_of_plan(path: Path, validation: Path | None) -> tuple[Problem, ...]:
    """Return the problems of a plan that can be seen without a configuration."""
    try:
        return look_at(plan_from_files(path, validation), None).problems
    except PlanError as error:
        return further_problems(_document_if_any(path), error)


def _document_if_any(path: Path) -> Any:
    try:
        return read_document(path)
    except PlanError:
        return None


@command
def check(
    plan_file: PlanFile,
    validation: ValidationOption = None,
    config: ConfigOption = None,
    no_catalogue: NoCatalogue = False,
    as_json: AsJson = False,
) -> int:
    """Lint a plan offline.

    Prints every finding with its place and its fix, every conflict, and the ceiling of each step. Exits 1 when there are
    errors; warnings alone exit 0.
    """
    findings, configured = examine_files(plan_file, validation, config, no_catalogue=no_catalogue)
    if as_json:
        emit(_as_document(findings, None if no_catalogue else find_config(config)))
    else:
        _print_findings(findings, catalogue=configured is not None)
    return REFUSED if findings.problems else OK


def _as_document(findings: Examination, config: Path | None) -> dict[str, Any]:
    failed = {"error": "the plan cannot be accepted"} if findings.problems else {}
    return {
        **failed,
        "plan_id": findings.plan.plan_id,
        "digest": findings.digest,
        "config": str(config) if config else None,
        "problems": list(findings.problems),
        "advice": list(findings.warnings),
        "steps": [
            {"id": step.id, "tool": step.tool, "ceiling": ceiling.mode.value, "reasons": list(ceiling.reasons)}
            for step in findings.plan.steps
            if (ceiling := findings.ceilings.get(step.id)) is not None
        ],
        "conflicts": list(findings.admitted.conflicts) if findings.admitted else [],
        "grants": _grants(findings),
        "secrets": list(secrets_of_plan(findings.plan, findings.contracts)),
    }


def _print_findings(findings: Examination, *, catalogue: bool) -> None:
    screen = console()
    for problem in findings.problems:
        print_problem("error: ", problem, screen, "bold red")
    for problem in findings.warnings:
        print_problem("warning: ", problem, screen, "yellow")
    if findings.ceilings:
        _print_ceilings(findings, screen)
    grants = _grants(findings)
    for found in findings.admitted.conflicts if findings.admitted else ():
        say(safe(f"conflict: {found.kind.value} -> {found.answer.value}: {found.detail}"))
        for fix in dict.fromkeys(grants[step] for step in found.steps if step in grants):
            if found.kind is ConflictKind.PERMISSION:
                screen.print(Text(f"  fix: {safe(fix)}", style="dim"), soft_wrap=True)
    if needed := secrets_of_plan(findings.plan, findings.contracts):
        say(safe(f"live workers need the secrets: {', '.join(needed)}"))
    verdict = f"{count(len(findings.problems), 'error')}, {count(len(findings.warnings), 'warning')}"
    where = "" if catalogue else " (structure only: no catalogue was looked at)"
    say(f"{findings.plan.plan_id}: {count(len(findings.plan.steps), 'step')}, {verdict}{where}")


def _grants(findings: Examination) -> dict[str, str]:
    """Return, for each step whose agent lacks a permission, what the operator can write to grant it."""
    if findings.admitted is None:
        return {}
    policy, grants = findings.admitted.policy, dict[str, str]()
    lacking: dict[str, set[str]] = {}
    agents = {step.id: findings.admitted.steps[step.id].agent or step.agent for step in findings.plan.steps}
    for step, agent in agents.items():
        lacking.setdefault(agent, set()).update(policy.missing_permissions(agent, findings.admitted.contract(step)))
    for step, agent in agents.items():
        if policy.missing_permissions(agent, findings.admitted.contract(step)):
            grants[step] = policy.grant_for(agent, sorted(lacking[agent]))
    return grants


def _print_ceilings(findings: Examination, screen: Console) -> None:
    rows = _ceiling_rows(findings)
    title = "How far each step could go under this policy"
    if len(rows) <= _MAX_ROWS:
        table = Table(title=title, title_justify="left")
        for column in _COLUMNS:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*row)
        screen.print(table)
        return
    # to measure and fold thousands of rows takes a table three times as long as the examination of the plan
    lines = [_COLUMNS, *rows]
    widths = [min(max(len(line[column]) for line in lines), _WIDEST) for column in range(len(_COLUMNS) - 1)]
    aligned = ("  ".join([*map(str.ljust, line, widths), line[-1]]) for line in lines)
    print_plain("\n".join([title, *aligned]))


def _ceiling_rows(findings: Examination) -> list[tuple[str, ...]]:
    """Return a row for each step; in a large plan, for all steps that differ in the id alone."""
    admitted = findings.admitted.steps if findings.admitted else {}
    single: list[tuple[str, ...]] = []
    alike: dict[tuple[str, ...], list[str]] = {}
    for step in findings.plan.steps:
        row, ceiling = admitted[step.id], findings.ceilings[step.id]
        why, agent = safe("; ".join(ceiling.reasons)), safe(row.agent or step.agent)
        rest = (safe(step.tool), agent, row.contract.risk.value, ceiling.mode.value, why)
        single.append((step.id, *rest))
        alike.setdefault(rest, []).append(step.id)
    if len(single) <= _MAX_ROWS:
        return single
    return [(_steps_alike(steps), *shared) for shared, steps in alike.items()]


def _steps_alike(steps: Sequence[str]) -> str:
    if len(steps) <= 3:
        return ", ".join(steps)
    return f"{steps[0]}, {steps[1]} ... {steps[-1]} ({len(steps):,} steps)"


@command
def tools(
    config: ConfigOption = None,
    graph: Annotated[
        bool, typer.Option("--graph", help="Show which tool needs which other before it, as a Mermaid diagram.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Show the catalogue: every tool with its contract.

    The tools are those that a worker with this configuration offers. With --json also the schemas of arguments and outputs,
    an example of a step, and what each agent may do: a model can plan against it.
    """
    configured = read_catalogue(config)
    catalogue = load_catalogue(Config()) if configured is None else configured[1]
    if graph:
        _show_graph(catalogue, as_json)
        return OK
    if as_json:
        policy = (Config() if configured is None else configured[0]).policy
        emit({"catalogue_hash": catalogue.digest(), **offers(catalogue, policy)})
        return OK
    table = Table()
    for column in ("tool", "risk", "reversibility", "permissions", "arguments", "dry run", "timeout"):
        table.add_column(column, overflow="fold")
    for name in catalogue.names:
        table.add_row(*_tool_row(catalogue, name))
    console().print(table)
    say(f"{count(len(catalogue.names), 'tool')}; catalogue {catalogue.digest()[:16]}; * marks required arguments")
    return OK


def _show_graph(catalogue: Catalogue, as_json: bool) -> None:
    """Print the prerequisites between tools. An arrow leads from a tool to one that needs it before."""
    edges = [(first, name) for name, needed in catalogue.prerequisites().items() for first in needed]
    if as_json:
        emit({"edges": [{"before": first, "tool": name} for first, name in edges]})
        return
    say("graph LR")
    number = {name: index for index, name in enumerate(sorted({name for edge in edges for name in edge}))}
    for name, index in number.items():
        say(f'    t{index}["{name.replace(chr(34), "#quot;")}"]')
    for first, name in edges:
        say(f"    t{number[first]} --> t{number[name]}")
    if not edges:
        say("    %% no tool of this catalogue names another in depends_on_tools")


def _tool_row(catalogue: Catalogue, name: str) -> tuple[str, ...]:
    contract: Contract = catalogue.contract(name)
    tool = catalogue.get(name)
    fields = tool.arguments.model_fields if tool else {}
    return (
        name,
        contract.risk.value,
        contract.reversibility.value,
        ", ".join(contract.permissions) or "-",
        ", ".join(f"{key_of(field, info)}{'*' if info.is_required() else ''}" for field, info in fields.items()) or "-",
        contract.fidelity.value if contract.has_dry_run else "no",
        f"{contract.timeout:g} s",
    )
