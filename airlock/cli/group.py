"""A group of commands whose modules are imported when one of them runs: `--help` costs none of them."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from airlock.usage import plainly

_MEANT = {"undo": "rollback", "status": "show", "submit": "start", "apply": "start", "plan": "check", "reject": "deny"}
"""Words that people try first, with the command that they mean; by its letters alone `undo` would suggest `unlock`."""


@dataclass(frozen=True)
class Home:
    """The place where a command is defined, and its line in the help of the group."""

    module: str
    function: str
    help: str
    """The first sentence of the function's docstring; a test compares them."""


class LazyGroup(TyperGroup):
    """A group of all commands of a table; with `--json` even bad usage is reported as JSON.

    The commands that the group lists, suggests and completes are names with a line of help. The command itself is loaded
    once it is chosen.
    """

    table: ClassVar[Mapping[str, Home]] = {}

    def __init__(self, **settings: Any) -> None:
        names = {name: TyperCommand(name, help=home.help, rich_markup_mode=None) for name, home in self.table.items()}
        super().__init__(**{**settings, "commands": names})

    def load(self, name: str) -> TyperCommand | TyperGroup:
        """Return a command, or a group of commands, with its options; imports its module."""
        home = self.table[name]
        found = getattr(import_module(home.module), home.function)
        if isinstance(found, typer.Typer):
            group = typer.main.get_group(found)
            group.name = name
            return group
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        alone.command(name)(found)
        command = typer.main.get_command(alone)
        assert isinstance(command, TyperCommand)
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that was chosen, loaded, with the arguments left for it."""
        if args[0] not in self.table and (meant := _MEANT.get(args[0])) in self.table:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {meant!r}?")
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if command is None or name is None else self.load(name), rest

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command; a wrong value is told in plain words."""
        with plainly():
            return super().invoke(ctx)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line; exits like every command of Airlock."""
        given = sys.argv[1:] if args is None else list(args)
        if not standalone_mode or "--json" not in given:
            return super().main(args, prog_name, complete_var, standalone_mode, windows_expand_args, **extra)
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except typer.TyperException as error:
            print(json.dumps({"error": error.format_message(), "problems": []}, indent=2))
            code = error.exit_code
        sys.exit(code if isinstance(code, int) else 0)
