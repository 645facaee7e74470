"""The operator's file, `airlock.toml`, for the worker and for commands that need no worker."""

import os
from pathlib import Path
from zoneinfo import available_timezones

from airlock.admission.configuration.config import Config, parse_config
from airlock.alerts.calendar import zone_problems
from airlock.base.errors import ConfigError, Problem

DEFAULT_CONFIG = Path("airlock.toml")
CONFIG_VARIABLE = "AIRLOCK_CONFIG"


def find_config(given: Path | None) -> Path | None:
    """Return the file to use: the given one, else that of `AIRLOCK_CONFIG`, else `./airlock.toml` if it exists."""
    if given is not None:
        return given
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    return DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() else None


def read_config(path: Path) -> Config:
    """Read the configuration in a file, with the overrides of the environment.

    Raises:
        ConfigError: If the file cannot be read or used; every problem names its key and the fix.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        said = (error.strerror or str(error)) if isinstance(error, OSError) else "is not UTF-8"
        fix = "check --config and AIRLOCK_CONFIG" if isinstance(error, OSError) else "save it as UTF-8"
        raise ConfigError([Problem(where=str(path), message=said, fix=fix)], file=str(path)) from error
    try:
        config = parse_config(text, os.environ, str(path))
    except ConfigError as error:
        raise ConfigError([*error.problems, *_of_this_machine(error.rest)], error.rest, error.file) from error
    if problems := _of_this_machine(config):
        raise ConfigError(problems, config, str(path))
    return config


def _of_this_machine(config: object) -> tuple[Problem, ...]:
    """Return the time zones that there are not. A machine that knows none cannot tell; `airlock notify` asks for them."""
    problems = zone_problems(config.notify) if isinstance(config, Config) else ()
    return problems if problems and available_timezones() else ()
