"""The `--config` option and the catalogue it names, for the commands that work without a worker."""

from pathlib import Path
from typing import Annotated

import typer

from airlock.admission.configuration.config import Config
from airlock.base.errors import ConfigError
from airlock.plans.catalogue import Catalogue
from airlock.signing.passkey import Passkey
from airlock.tools.loader import load_configured
from airlock.tools.operator_file import CONFIG_VARIABLE, DEFAULT_CONFIG, find_config, read_config

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help=f"The operator's file; unless given, that of ${CONFIG_VARIABLE}, or ./{DEFAULT_CONFIG} if it exists.",
    ),
]


def read_catalogue(given: Path | None) -> tuple[Config, Catalogue] | None:
    """Read the configuration and the catalogue it names; None where there is no configuration.

    Raises:
        ConfigError: If either cannot be used.
    """
    path = find_config(given)
    if path is None:
        return None
    return load_configured(lambda: read_config(path), path)


def labelled_passkeys() -> tuple[Passkey, ...]:
    """Return the passkeys of the operator's file, for their labels; none without a file that can be read."""
    path = find_config(None)
    try:
        return () if path is None else read_config(path).policy.passkeys
    except ConfigError:
        return ()
