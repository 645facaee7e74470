"""The operator's file, `airlock.toml`: the modules with tools, the policy, and the settings of the tools."""

import copy
import tomllib
from collections.abc import Mapping
from itertools import takewhile
from typing import Any, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError

from airlock.admission.mcp_config import McpServer
from airlock.admission.policy import Policy, contradictions
from airlock.base.canonical import require_bounded
from airlock.base.errors import ConfigError, Problem
from airlock.base.likely import likely_fix
from airlock.base.model import FileModel
from airlock.base.text import shorten
from airlock.base.wrong_value import TABLE, wrong_value

_ROUNDS = 10
"""Rounds of leaving out what is wrong; a table that becomes empty may be wrong again."""
_DURATIONS = ("approval_timeout", "approval_valid_for", "per")
"""The keys that hold a duration."""
SETTINGS_PREFIX = "AIRLOCK_SETTINGS__"
BUILT_IN_TOOLS = "airlock.tools"


class CatalogueConfig(FileModel):
    """The section `[catalogue]`."""

    modules: tuple[str, ...] = (BUILT_IN_TOOLS,)
    """The Python modules that hold tools. The worker offers every `Tool` in their namespaces."""


class KeysConfig(FileModel):
    """The file of the workers' keys."""

    file: str | None = None
    """A file made by `airlock keys new`, relative to the folder of airlock.toml."""


class Config(FileModel):
    """A whole `airlock.toml`. An empty file is valid: the built-in tools under the careful default policy."""

    catalogue: CatalogueConfig = CatalogueConfig()
    policy: Policy = Policy()
    keys: KeysConfig = KeysConfig()
    mcp: dict[str, McpServer] = Field(default_factory=dict)
    """MCP servers whose tools are offered, by name."""
    contracts: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """The operator's corrections to contracts, by tool."""
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """The settings of the tools, by section."""


_TOML = 'correct that line: a section is [policy], a key is name = "text", name = 5, name = true or name = ["a", "b"]'


def parse_config(text: str, environment: Mapping[str, str] | None = None, file: str = "airlock.toml") -> Config:
    """Parse the text of `airlock.toml`.

    Args:
        text: TOML.
        environment: Environment variables; `AIRLOCK_SETTINGS__<SECTION>__<KEY>` overrides `[settings.<section>] <key>`.
        file: The name of the file, for errors.

    Raises:
        ConfigError: If a key is wrong; it names each of them and the fix.
    """
    try:
        document = tomllib.loads(text)
        require_bounded(document)
    except (ValueError, RecursionError) as error:  # a TOMLDecodeError, or what tomllib leaves to Python
        raise ConfigError([Problem(where=file, message=f"is not TOML: {shorten(str(error))}", fix=_TOML)]) from error
    config, problems = _validated(document)
    wrong = {".".join(problem.where.split(".")[:2]) for problem in problems}
    if config is not None:
        # a key that was left out as wrong does not contradict another one
        contradicting = () if "policy.authorized_keys" in wrong else contradictions(config.policy)
        problems += [problem for problem in contradicting if problem.where not in wrong]
        config = config.model_copy(update={"settings": _overridden(config.settings, environment or {})})
    if problems or config is None:
        # without the modules that the file names, each of their settings would look like a mistake
        named = any(problem.where.partition(".")[0] == "catalogue" for problem in problems)
        raise ConfigError(problems, None if named else config)
    return config


def _validated(document: dict[str, Any]) -> tuple[Config | None, list[Problem]]:
    """Return the configuration without the keys that are wrong, and a problem for each of these."""
    problems: list[Problem] = []
    for _ in range(_ROUNDS):
        try:
            return Config.model_validate(document), problems
        except ValidationError as error:
            wrong = error.errors(include_url=False)
            # what is left out of a list or a table may be named again by the rule over the rest
            known = {problem.where for problem in problems}
            problems += [problem for item in wrong if (problem := _problem(item)).where not in known]
            document = _without(document, [item["loc"] for item in wrong])
    return None, problems


def _without(document: dict[str, Any], places: list[tuple[int | str, ...]]) -> dict[str, Any]:
    """Return a document without some keys; for an entry of a list, the whole list goes."""
    rest = copy.deepcopy(document)
    for place in places:
        names = list(takewhile(lambda part: isinstance(part, str), place))
        table: Any = rest
        for name in names[:-1]:
            table = table.get(name) if isinstance(table, dict) else None
        if isinstance(table, dict) and names:
            table.pop(names[-1], None)
    return rest


def _overridden(settings: Mapping[str, Mapping[str, Any]], environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    merged = {section: dict(values) for section, values in settings.items()}
    for name, value in sorted(environment.items()):
        section, separator, key = name.removeprefix(SETTINGS_PREFIX).lower().partition("__")
        if name.startswith(SETTINGS_PREFIX) and separator and key:
            merged.setdefault(section, {})[key] = value
    return merged


def _problem(item: Any) -> Problem:
    key = ".".join(str(part) for part in item["loc"])
    message, fix = wrong_value(item, TABLE)
    if fix == f"write {TABLE}":
        fix = f"write a section: [{key}]"
    if item["loc"][-1] in _DURATIONS:
        fix = 'write a duration in quotes: "90s", "30m", "24h" or "7d"'
    if item["type"] == "extra_forbidden":
        fix = likely_fix(str(item["loc"][-1]), _fields(item["loc"][:-1]), "remove it, or correct its spelling")
    return Problem(where=key, message=message, fix=fix or f"correct the value of {key}")


def _fields(place: tuple[int | str, ...]) -> tuple[str, ...]:
    """Return the keys that a table of the file may hold."""
    model: type[BaseModel] = Config
    names = iter(place)
    for name in names:
        annotation = model.model_fields[str(name)].annotation
        kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
        inside = [kind for kind in kinds if issubclass(kind, BaseModel)]
        if not inside:
            return ()
        model = inside[0]
        if get_origin(annotation) is dict:
            next(names, None)  # the name of an agent
    return tuple(model.model_fields)
