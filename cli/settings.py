"""Finds and reads the operator's file and the catalogue it names, for the commands that look without a worker."""

import os
from pathlib import Path
from typing import Annotated

import typer

from airlock.catalogue import Catalogue
from airlock.config import Config, parse_config
from airlock.errors import ConfigError, Problem
from tools.loader import load_catalogue

DEFAULT_CONFIG = Path("airlock.toml")
CONFIG_VARIABLE = "AIRLOCK_CONFIG"

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help=f"The operator's file; without it the one ${CONFIG_VARIABLE} names, or ./{DEFAULT_CONFIG} if there is one.",
    ),
]


def find_config(given: Path | None) -> Path | None:
    """The configuration to use: the one given, the one `AIRLOCK_CONFIG` names, `./airlock.toml` if it exists, or None."""
    if given is not None:
        return given
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    return DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() else None


def read_config(path: Path) -> Config:
    """The configuration in a file, with the environment's overrides.

    Raises:
        ConfigError: If it cannot be read or used; every problem names its key and the fix.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        problem = Problem(where=str(path), message=str(said or error), fix="check --config and AIRLOCK_CONFIG")
        raise ConfigError([problem]) from error
    return parse_config(text, os.environ)


def read_catalogue(given: Path | None) -> tuple[Config, Catalogue] | None:
    """The configuration and the catalogue it names, or None where there is no configuration.

    Raises:
        ConfigError: If either cannot be used.
    """
    path = find_config(given)
    if path is None:
        return None
    config = read_config(path)
    return config, load_catalogue(config)
