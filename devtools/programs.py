"""Programs of one command, for the development tools."""

from collections.abc import Callable
from typing import Any

import typer

from airlock.usage import PlainCommand


def alone(function: Callable[..., Any]) -> typer.Typer:
    """Return a command line that is one command."""
    program = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    program.command(cls=PlainCommand)(function)
    return program
