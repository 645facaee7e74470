"""The operator's file, `airlock.toml`: the modules with tools, the policy, and the settings of the tools."""

import tomllib
from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from airlock.admission.policy import Policy, contradictions
from airlock.base.canonical import require_bounded
from airlock.base.errors import ConfigError, Problem, plain_message
from airlock.base.model import FileModel
from airlock.base.text import shorten

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
    contracts: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """The operator's corrections to contracts, by tool."""
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """The settings of the tools, by section."""


def parse_config(text: str, environment: Mapping[str, str] | None = None) -> Config:
    """Parse the text of `airlock.toml`.

    Args:
        text: TOML.
        environment: Environment variables; `AIRLOCK_SETTINGS__<SECTION>__<KEY>` overrides `[settings.<section>] <key>`.

    Raises:
        ConfigError: If a key is wrong; it names each of them and the fix.
    """
    try:
        document = tomllib.loads(text)
        require_bounded(document)
    except (ValueError, RecursionError) as error:  # a TOMLDecodeError, or what tomllib leaves to Python
        raise ConfigError(
            [Problem(where="airlock.toml", message=f"is not TOML: {shorten(str(error))}", fix="correct the syntax")]
        ) from error
    try:
        config = Config.model_validate(document)
    except ValidationError as error:
        raise ConfigError([_problem(item) for item in error.errors(include_url=False)]) from error
    if problems := contradictions(config.policy):
        raise ConfigError(problems)
    return config.model_copy(update={"settings": _overridden(config.settings, environment or {})})


def _overridden(settings: Mapping[str, Mapping[str, Any]], environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    merged = {section: dict(values) for section, values in settings.items()}
    for name, value in sorted(environment.items()):
        section, separator, key = name.removeprefix(SETTINGS_PREFIX).lower().partition("__")
        if name.startswith(SETTINGS_PREFIX) and separator and key:
            merged.setdefault(section, {})[key] = value
    return merged


def _problem(item: Any) -> Problem:
    key = ".".join(str(part) for part in item["loc"])
    fix = "remove it, or correct its spelling" if item["type"] == "extra_forbidden" else f"correct the value of {key}"
    return Problem(where=key, message=plain_message(item), fix=fix)
