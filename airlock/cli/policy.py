"""`policy test` and `policy explain`: the rules of the policy, tried on imagined steps and on the steps of a plan."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from airlock.admission.configuration.config import Config
from airlock.admission.rules.condition import FIELDS
from airlock.admission.rules.fixtures import FixtureFile, FixtureResult, tried, uncovered
from airlock.base.canonical import require_bounded
from airlock.base.errors import Problem
from airlock.base.json_text import JsonFault, parse_json
from airlock.base.text import count, listed, shorten
from airlock.base.wrong_value import wrong_value
from airlock.cli.output import OK, REFUSED, AsJson, Refusal, command, emit, safe, say
from airlock.cli.policy_explanation import StepExplanation, explain_file, explain_sealed
from airlock.cli.settings import ConfigOption, read_catalogue
from airlock.plans.catalogue import Catalogue
from airlock.program import program
from airlock.tools.operator_file import DEFAULT_CONFIG, find_config

FOLDER = "policy-tests"
"""The folder beside airlock.toml whose files are the fixtures, unless some are named."""
_SUFFIXES = (".json", ".toml")

policy = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Test the rules of the policy, and explain what they do to a plan.",
    epilog=f"A condition reads step ({', '.join(FIELDS['step'])}) and plan ({', '.join(FIELDS['plan'])}).",
)


@policy.command("test")
@command
def run_fixtures(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILES]", help=f"Fixtures, TOML or JSON; unless given, all in {FOLDER}/ beside airlock.toml."
        ),
    ] = None,
    config: ConfigOption = None,
    require_coverage: Annotated[
        bool, typer.Option("--require-coverage", help="Fail if a rule applies to the step of no fixture.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Run fixtures: steps, each with the answer that the rules must give.

    Exits 1 when one fails, and with --require-coverage when a rule applies to none of them.
    """
    configured, catalogue = _configured(config)
    chosen = files or _in_folder(config)
    results = {path: _results(path, configured, catalogue) for path in chosen}
    flat = [result for found in results.values() for result in found]
    bare = uncovered(configured.policy, flat)
    failed = [result for result in flat if result.problem]
    if as_json:
        tests = [_as_document(path, result) for path, found in results.items() for result in found]
        emit({"tests": tests, "failed": len(failed), "rules": len(configured.policy.rule), "uncovered": bare})
    else:
        _print_results(results)
        rules = count(len(configured.policy.rule), "rule")
        say(f"{count(len(flat), 'test')}, {len(failed)} failed; {rules}, {len(bare)} without a test")
        for rule in bare:
            say(f"  no test covers the rule {rule}")
    return REFUSED if failed or (bare and require_coverage) else OK


@policy.command("explain")
@command
async def explain(
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="A plan file, or the id of a submitted plan.")],
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> int:
    """Say which rule applies to which step, which does not, and what follows.

    For a file: as admission would decide. For a submitted plan: what its preview says, and what the rules of airlock.toml
    say of it today.
    """
    configured, catalogue = _configured(config)
    if (file := _file(plan)) is not None:
        found = explain_file(file, configured.policy, catalogue)
    else:
        from airlock.client import Airlock  # only now: a file needs no server

        handle = (await Airlock.connect()).plan(plan)
        sealed = (await handle.preview()).sealed
        if sealed is None:
            raise Refusal(f"plan {shorten(plan, 100)!r} has no preview yet: see {program()} show")
        if sealed.undo is not None:
            raise Refusal(f"{shorten(plan, 100)!r} is an undo: no rule looks at one, it takes back what was allowed")
        found = explain_sealed(sealed, configured.policy, catalogue)
    if as_json:
        emit({"plan": plan, "steps": [each.document for each in found]})
        return OK
    for each in found:
        _print_step(each)
    return OK


def _configured(config: Path | None) -> tuple[Config, Catalogue]:
    found = read_catalogue(config)
    if found is None:
        raise Refusal(f"there is no {DEFAULT_CONFIG} here, and so no policy: name one with --config")
    if not found[0].policy.rule:
        raise Refusal(f"{find_config(config)} has no [[policy.rule]]")
    return found


def _file(plan: str) -> Path | None:
    return Path(plan) if Path(plan).is_file() else None


def _in_folder(config: Path | None) -> list[Path]:
    folder = (find_config(config) or DEFAULT_CONFIG).parent / FOLDER
    found = sorted(path for path in folder.glob("*") if path.suffix in _SUFFIXES) if folder.is_dir() else []
    if not found:
        raise Refusal(f"there are no fixtures: name files, or write some in {folder}{'/'}")
    return found


def _results(path: Path, configured: Config, catalogue: Catalogue) -> list[FixtureResult]:
    return [tried(fixture, configured.policy, catalogue) for fixture in _read(path).test]


def _read(path: Path) -> FixtureFile:
    try:
        data = path.read_bytes()
        document: Any = parse_json(data) if path.suffix == ".json" else tomllib.loads(data.decode("utf-8-sig"))
        require_bounded(document)
        return FixtureFile.model_validate(document)
    except JsonFault as fault:
        raise _refused(path, [Problem(where=str(path), message=fault.message, fix=fault.fix)]) from fault
    except ValidationError as error:
        raise _refused(path, list(_problems(path, error))) from error
    except (ValueError, RecursionError) as error:
        fix = "correct that line: each fixture begins with [[test]]"
        problem = Problem(where=str(path), message=f"is not TOML: {shorten(str(error))}", fix=fix)
        raise _refused(path, [problem]) from error


def _problems(path: Path, error: ValidationError) -> Iterator[Problem]:
    for item in error.errors(include_url=False)[:20]:
        message, fix = wrong_value(item)
        where = ".".join((str(path), *map(str, item["loc"])))
        yield Problem(where=shorten(where, 300), message=message, fix=fix or "see the guide about policy rules")


def _refused(path: Path, problems: list[Problem]) -> Refusal:
    return Refusal(f"the fixtures in {path} cannot be used: {count(len(problems), 'problem')}", problems)


def _as_document(path: Path, result: FixtureResult) -> dict[str, Any]:
    return {
        "file": str(path),
        "name": result.name,
        "passed": not result.problem,
        "answer": result.answer,
        "rules": [rule.model_dump(mode="json") for rule in result.applied],
        "problem": result.problem,
    }


def _print_results(results: dict[Path, list[FixtureResult]]) -> None:
    for path, found in results.items():
        for result in found:
            if result.problem:
                say(f"FAILED  {path}: {safe(result.name)}: {safe(result.problem)}", "red")
            else:
                by = listed([rule.rule for rule in result.applied])
                say(f"ok      {path}: {safe(result.name)}: {' and '.join(result.answer)}{f' by {by}' if by else ''}")


def _print_step(found: StepExplanation) -> None:
    say(f"{safe(found.step)}  {safe(found.tool)}: {safe(found.outcome)}")
    for line in found.lines:
        say(f"  {safe(line)}")
