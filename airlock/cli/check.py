"""`check` and `tools`: findings about a plan, and the catalogue, without a server."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from airlock.admission.configuration.config import Config
from airlock.admission.examination import Examination, examine
from airlock.admission.needed_secrets import secrets_of_plan
from airlock.admission.offers import offers
from airlock.admission.readable import further_problems
from airlock.alerts.asked import asked, asks
from airlock.base.errors import ConfigError, PlanError, Problem
from airlock.base.text import count
from airlock.cli.display.findings import grants_of, print_findings
from airlock.cli.output import OK, REFUSED, AsJson, Refusal, command, console, emit, print_problem, safe, say
from airlock.cli.settings import ConfigOption, read_catalogue
from airlock.client.documents import read_document
from airlock.plans.applied_rule import AppliedRule
from airlock.plans.arguments.canonical_field import key_of
from airlock.plans.assignments import read_plan
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Contract
from airlock.plans.plan import Plan
from airlock.temporal.keyring import find_keyring, keys_file
from airlock.tools.config_warnings import config_warnings
from airlock.tools.loader import load_catalogue
from airlock.tools.operator_file import DEFAULT_CONFIG, find_config

PlanFile = Annotated[Path, typer.Argument(metavar="PLAN.json", help="The plan, in either format.")]
PlanIfAny = Annotated[
    Path | None,
    typer.Argument(metavar="[PLAN.json]", help="The plan, in either format; unless given, the operator's file is checked."),
]
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
            raise Refusal(message, both, config=error.file) from error
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
    plan_file: PlanIfAny = None,
    validation: ValidationOption = None,
    config: ConfigOption = None,
    no_catalogue: NoCatalogue = False,
    as_json: AsJson = False,
) -> int:
    """Lint a plan offline.

    Checks the operator's file alone if no plan is named. Prints every finding with its place and its fix, every conflict,
    and the ceiling of each step. Exits 1 when there are errors; warnings alone exit 0.
    """
    if plan_file is None:
        if validation is not None or no_catalogue:
            raise typer.BadParameter(
                "is missing: --validation and --no-catalogue are about a plan", param_hint="'PLAN.json'"
            )
        return _check_configuration(config, as_json)
    findings, configured = examine_files(plan_file, validation, config, no_catalogue=no_catalogue)
    warnings = () if configured is None else config_warnings(*configured, os.environ)
    if as_json:
        unasked = _receivers_not_asked(findings.plan, configured)
        more = {"receivers": unasked, "config_advice": list(warnings)}
        emit(_as_document(findings, None if no_catalogue else find_config(config)) | more)
    else:
        for problem in warnings:
            print_problem("warning: ", problem, console(), "yellow")
        print_findings(findings, catalogue=configured is not None)
        for line in _receivers_not_asked(findings.plan, configured):
            say(safe(line), style="yellow")
    return REFUSED if findings.problems else OK


def _check_configuration(given: Path | None, as_json: bool) -> int:
    """Print what is suspicious in the operator's file, which can be used.

    Raises:
        ConfigError: If it cannot be used, with every problem.
        Refusal: If there is no file.
    """
    path, configured = find_config(given), read_catalogue(given)
    if configured is None:
        raise Refusal(f"there is no {DEFAULT_CONFIG} here: name a plan, or the operator's file with --config")
    tools = configured[1].names
    warnings = (*config_warnings(*configured, os.environ), *_unusable_keys(configured[0], path))
    if as_json:
        emit({"config": str(path), "problems": [], "config_advice": list(warnings), "tools": list(tools)})
        return OK
    for problem in warnings:
        print_problem("warning: ", problem, console(), "yellow")
    say(f"{path}: {count(len(tools), 'tool')}, 0 errors, {count(len(warnings), 'warning')}")
    return OK


def _unusable_keys(config: Config, path: Path | None) -> tuple[Problem, ...]:
    """Return a warning for the keys of workers that cannot be used here: a file for other machines may name them."""
    try:
        find_keyring(keys_file(config, path))
    except ConfigError as error:
        said = "; a worker would not start here"
        return tuple(each.model_copy(update={"message": f"{each.message}{said}"}) for each in error.problems)
    return ()


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
            {
                "id": step.id,
                "tool": step.tool,
                "ceiling": ceiling.mode.value,
                "reasons": list(ceiling.reasons),
                **({"rules": list(rules)} if (rules := _rules_of(findings, step.id)) else {}),
            }
            for step in findings.plan.steps
            if (ceiling := findings.ceilings.get(step.id)) is not None
        ],
        "conflicts": list(findings.admitted.conflicts) if findings.admitted else [],
        "grants": grants_of(findings),
        "secrets": list(secrets_of_plan(findings.plan, findings.contracts)),
    }


def _rules_of(findings: Examination, step: str) -> tuple[AppliedRule, ...]:
    return findings.admitted.steps[step].rules if findings.admitted else ()


def _receivers_not_asked(plan: Plan, configured: tuple[Config, Catalogue] | None) -> list[str]:
    """Return a sentence for each receiver that is told of plans that wait, but whose people may not approve this one."""
    if configured is None:
        return []
    config, barred = configured[0], (plan.requested_by, *(step.agent for step in plan.steps))
    told = {name: each for name, each in config.notify.items() if asks(each)}
    silent = [name for name, receiver in told.items() if not asked(receiver, config.policy, barred)]
    return [f"receiver {name} is not asked about this plan: none of its people may approve it" for name in silent]


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
