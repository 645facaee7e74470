"""Files that are made from the code: written, or compared with what is there."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from airlock.cli.output import OK, REFUSED, command, say, warn
from devtools.programs import alone


def application(make: Callable[[], Mapping[Path, str]], remedy: str) -> typer.Typer:
    """Return a command line that writes files, or with --check names those that are out of date.

    Args:
        make: Returns the content of every file, by path.
        remedy: The command that writes them.
    """

    @command
    def run(
        check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 when a file is out of date.")] = False,
    ) -> int:
        """Write the files that are made from the code."""
        files = make()
        stale = [path for path, text in files.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
        if check:
            for path in stale:
                warn(f"{path.name} is out of date: run {remedy}")
            return REFUSED if stale else OK
        for path in stale:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[path], encoding="utf-8")
        say(f"{len(files)} files are current, {len(stale)} of them written")
        return OK

    return alone(run)
