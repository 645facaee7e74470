"""The operator's file, `airlock.toml`: the modules with tools, the policy, and the settings of the tools."""

import copy
import re
import tomllib
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError

from airlock.admission.configuration.console_config import ConsoleConfig, console_problems
from airlock.admission.configuration.contradictions import contradictions
from airlock.admission.configuration.mcp_config import McpServer
from airlock.admission.configuration.notify_config import Receiver, receiver_problems
from airlock.admission.configuration.openapi_config import OpenApiService
from airlock.admission.policy import Policy
from airlock.base.canonical import require_bounded
from airlock.base.errors import ConfigError, Problem
from airlock.base.likely import likely_fix
from airlock.base.model import FileModel
from airlock.base.text import shorten
from airlock.base.wrong_value import TABLE, wrong_value

_ROUNDS = 10
"""Rounds of leaving out what is wrong; a table that becomes empty may be wrong again."""
_DURATIONS = (
    "approval_timeout", "approval_valid_for", "per", "after", "every", "warn_before", "pause", "idle", "longest",
)  # fmt: skip
"""The keys that hold a duration."""
_LONGEST_ID = 64
_NAMED_ELSEWHERE = {"policy.authorized_keys", "policy.passkeys", "policy.approvers", "policy.roles"}
"""The keys whose people and keys other ones count on."""
_NAMED = ("mcp", "notify", "openapi")
"""The sections that are written once for each name, such as `[notify.oncall]`."""
_WRONG_KEY = "wrong_key"
"""The type of an error about the name of a key, which pydantic puts behind the key itself."""
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
    console: ConsoleConfig = ConsoleConfig()
    mcp: dict[str, McpServer] = Field(default_factory=dict)
    """MCP servers whose tools are offered, by name."""
    notify: dict[str, Receiver] = Field(default_factory=dict)
    """The receivers of messages about plans, by name."""
    openapi: dict[str, OpenApiService] = Field(default_factory=dict)
    """HTTP services whose operations are offered, by name."""
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
        problem = Problem(where=file, message=f"is not TOML: {shorten(str(error))}", fix=_TOML)
        raise ConfigError([problem], file=file) from error
    config, problems = _validated(document)
    if config is not None:
        problems += _of_the_whole(config, problems)
        config = config.model_copy(update={"settings": _overridden(config.settings, environment or {})})
    if problems or config is None:
        # without the modules that the file names, each of their settings would look like a mistake
        named = any(problem.where.partition(".")[0] == "catalogue" for problem in problems)
        raise ConfigError(problems, None if named else config, file)
    return config


def _of_the_whole(config: Config, problems: Sequence[Problem]) -> list[Problem]:
    """Return what is wrong between keys; a key that was left out as wrong contradicts no other one."""
    wrong = {".".join(problem.where.split(".")[:2]) for problem in problems}
    found = [*contradictions(config.policy, incomplete=bool(wrong & _NAMED_ELSEWHERE))]
    if "policy.roles" not in wrong and not any(place.startswith("notify") for place in wrong):
        # what escalates to a receiver that was left out as wrong is no mistake of its own
        found += receiver_problems(config.notify, config.policy.roles)
    if "policy.roles" not in wrong:
        found += console_problems(config.console, config.policy.roles)
    return [problem for problem in found if problem.where not in wrong]


def _validated(document: dict[str, Any]) -> tuple[Config | None, list[Problem]]:
    """Return the configuration without the keys that are wrong, and a problem for each of these."""
    problems: list[Problem] = []
    original = document
    for _ in range(_ROUNDS):
        try:
            return Config.model_validate(document), problems
        except ValidationError as error:
            wrong = [_at_its_key(item) for item in error.errors(include_url=False)]
            # what is left out of a list or a table may be named again by the rule over the rest
            known = {problem.where for problem in problems}
            problems += [problem for item in wrong if (problem := _problem(item, original)).where not in known]
            document = _without(document, [item["loc"] for item in wrong])
    return None, problems


def _without(document: dict[str, Any], places: list[tuple[int | str, ...]]) -> dict[str, Any]:
    """Return a document without some keys, and without some entries of lists: what is wrong in one hides no other one."""
    rest = copy.deepcopy(document)
    # the last entry of a list first, so that the others keep their positions
    for *names, last in sorted({_removable(place) for place in places if place}, key=_position, reverse=True):
        table: Any = rest
        for name in names:
            table = table.get(name) if isinstance(table, dict) else None
        if isinstance(table, dict):
            table.pop(last, None)
        elif isinstance(table, list) and isinstance(last, int):
            del table[last]
    return rest


def _position(place: tuple[int | str, ...]) -> int:
    last = place[-1]
    return last if isinstance(last, int) else -1


def _removable(place: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Return a place as far as the first position in a list: an entry goes as a whole."""
    names = tuple(takewhile(lambda part: isinstance(part, str), place))
    return place[: len(names) + 1]


def _overridden(settings: Mapping[str, Mapping[str, Any]], environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    merged = {section: dict(values) for section, values in settings.items()}
    for name, value in sorted(environment.items()):
        section, separator, key = name.removeprefix(SETTINGS_PREFIX).lower().partition("__")
        if name.startswith(SETTINGS_PREFIX) and separator and key:
            merged.setdefault(section, {})[key] = value
    return merged


def _at_its_key(item: Any) -> Any:
    """Return an error about a key of a table with the place of that key, as every other error has it."""
    return {**item, "loc": item["loc"][:-1], "type": _WRONG_KEY} if item["loc"][-1:] == ("[key]",) else item


def _problem(item: Any, document: Mapping[str, Any]) -> Problem:
    key = _place(item["loc"], document)
    message, fix = wrong_value(item, TABLE)
    if fix == f"write {TABLE}":
        fix = f"write a section: [{key}]"
    if (wanted := _wanted(item)) is not None:
        fix = wanted
    if item["type"] == "extra_forbidden":
        fix = likely_fix(str(item["loc"][-1]), _fields(item["loc"][:-1]), "remove it, or correct its spelling")
    if item["type"] == _WRONG_KEY:
        return Problem(where=key, message="is unknown here", fix=_known_keys(item))
    return Problem(where=key, message=message, fix=fix or f"correct the value of {key}")


def _wanted(item: Any) -> str | None:
    """Return the fix where the kind of value is not all that there is to say of a key; None elsewhere."""
    place, given = item["loc"], item.get("input")
    name, key = str(place[-1]), ".".join(map(str, place))
    if item["type"] == "missing":
        return f"add the key {name} to [{'.'.join(map(str, place[:-1]))}]"
    if name in _DURATIONS:
        return 'write a duration in quotes: "90s", "30m", "24h" or "7d"'
    if name == "not_after":
        return 'write decisions, such as ["unlock"]: it is no time; approval_valid_for limits the age of an approval'
    if place[:2] == ("policy", "authorized_keys") and len(place) == 3:
        return 'paste the line of the .pub file, and end it with the name of its person: "ssh-ed25519 AAAA... alice"'
    if item["type"] == "tuple_type" and isinstance(given, Mapping):
        return f"write [[{key}]] in the place of [{key}]: there may be several"
    if item["type"] == "model_type" and len(place) == 2 and place[0] in _NAMED and name in _fields((place[0], "any")):
        return f"give the section a name, such as [{place[0]}.name], and write {name} there"
    return None


def _place(place: tuple[int | str, ...], document: Mapping[str, Any]) -> str:
    """Return the place of a key; an entry of a list that has an id goes by that in the place of its position."""
    names: list[str] = []
    here: Any = document
    for part in place:
        known = isinstance(here, Mapping | list) and (part in here if isinstance(here, Mapping) else int(part) < len(here))
        here = here[part] if known else None
        id = here.get("id") if isinstance(part, int) and isinstance(here, Mapping) else None
        named = isinstance(id, str) and id.isascii() and id.isprintable() and 0 < len(id) <= _LONGEST_ID
        names.append(str(id) if named else str(part))
    return ".".join(names)


def _known_keys(item: Any) -> str:
    """Return the fix of a key that is none of those that the table may have."""
    expected = str(item.get("ctx", {}).get("expected", "another name"))
    return likely_fix(str(item["loc"][-1]), re.findall("'([^']+)'", expected), f"write {expected}")


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
        if get_origin(annotation) in (dict, tuple):
            next(names, None)  # the name of an agent, the position of a rule
    return tuple(field.alias or name for name, field in model.model_fields.items())
