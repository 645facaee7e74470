"""`init`: an example to begin with, written into a folder of the user's own."""

import shlex
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from airlock.base.errors import AirlockError, Problem
from airlock.base.person import OWN_NAME
from airlock.cli.output import OK, AsJson, Refusal, command, emit, say
from airlock.program import as_started, program
from airlock.temporal.keyring import DEFAULT_FILE, ensure_keys

EXAMPLE = ("airlock.toml", "my_tools.py", "plan.json")
"""The files of the example, in the order in which to read them."""
PLAN = "first-plan"


@command
def init(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="Where the files go; this folder unless given.")
    ] = Path(),
    as_json: AsJson = False,
) -> int:
    """Write an example: airlock.toml, a tool of your own, a plan.

    The keys by which workers prove their answers are made too, in .airlock/keys, unless they are there.
    A file that is already there is never overwritten: then nothing is written at all.
    """
    there = [folder / name for name in EXAMPLE if (folder / name).exists()]
    if there:
        fix = f"move it away, or name a folder: {program()} init FOLDER"
        problems = [Problem(where=str(path), message="is there already", fix=fix) for path in there]
        raise Refusal("init overwrites nothing, so nothing was written", problems)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in EXAMPLE:
            text = (files("airlock.cli") / "example" / name).read_text(encoding="utf-8")
            with (folder / name).open("x", encoding="utf-8") as file:
                file.write(as_started(text) if name == "airlock.toml" else text)
        keys = ensure_keys(folder / DEFAULT_FILE)
        ignored = keys.with_name(".gitignore")
        if not ignored.exists():
            ignored.write_text("*\n", encoding="utf-8")  # as virtual environments have it: nothing here is for Git
    except OSError as error:
        raise AirlockError(f"cannot write {error.filename or folder}: {error.strerror}") from error
    emit({"folder": str(folder), "files": list(EXAMPLE), "plan_id": PLAN}) if as_json else _say_next(folder)
    return OK


def _say_next(folder: Path) -> None:
    say(f"Written: {', '.join(str(folder / name) for name in (*EXAMPLE, DEFAULT_FILE))}")
    say(f"{folder / DEFAULT_FILE} is secret. Git leaves it out: the folder has a .gitignore of its own.")
    if folder != Path():
        say(f"Go there:  cd {shlex.quote(str(folder))}")
    say("A Temporal server and a worker, in a terminal of their own:")
    say(f"  {program()} dev")
    say("The plan, from its file to live calls:")
    for line in ("check plan.json", "start plan.json", f"show {PLAN}", f"approve {PLAN} --by {OWN_NAME}", f"watch {PLAN}"):
        say(f"  {program()} {line}")
    say("The two notes are in the folder notes/ then. To take them back, once another person approves that:")
    say(f"  {program()} rollback {PLAN} --reason 'only an example'")
