"""Programs of one command, for the development tools."""

from collections.abc import Callable
from typing import Any

import typer


def alone(function: Callable[..., Any]) -> typer.Typer:
    """Return a command line that is one command."""
    program = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    program.command()(function)
    return program
