"""The command lines of the programs, read as the programs read them, without running anything."""

from collections.abc import Sequence
from typing import Any

import typer

from airlock.cli.app import Commands, app
from airlock.worker.command import PROGRAM
from airlock.worker.command import app as worker_app


def starter_commands() -> Commands:
    """Return the group of all commands."""
    group: Any = typer.main.get_command(app)
    assert isinstance(group, Commands)
    return group


def worker_command() -> Any:
    """Return the one command of the worker."""
    return typer.main.get_command(worker_app)


def worker_settings(arguments: Sequence[str]) -> dict[str, Any]:
    """Return the worker's settings by name; an option that it does not take is an error."""
    settings: dict[str, Any] = worker_command().make_context(PROGRAM, list(arguments)).params
    return settings
