"""`python -m devtools.dev`: Temporal, the sandbox services and a worker, on loopback, up until Ctrl-C."""

import asyncio
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from airlock.cli.output import AsJson, command, emit_line, say
from airlock.cli.servers.stopping import until_stopped
from airlock.program import run_and_leave
from devtools.environment import ROOT, Environment, environment
from devtools.programs import alone

STATE = ROOT / ".airlock" / "dev"
_LOOK = 0.5
_PASSED_ON = ("AIRLOCK_SECRET", "AIRLOCK_SETTINGS__", "AIRLOCK_INDEX_KEY")
"""The variables that are passed to the worker. They win over the sandbox's: the real CRM, for example."""


@command
async def dev(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="The operator's file for the worker; the project's airlock.toml unless given."
        ),
    ] = None,
    folder: Annotated[
        Path, typer.Option("--folder", metavar="FOLDER", help="The folder of all state and logs.", show_default=False)
    ] = STATE,
    as_json: AsJson = False,
) -> int:
    """Start a Temporal server, the sandbox services and a worker.

    They stay up until Ctrl-C. The server takes Temporal's usual ports 7233 and 8233 where they are free. With --json the
    command prints one line when everything is up.
    """

    async def run(is_up: Callable[[], None]) -> None:
        await _run(folder, config, is_up, as_json=as_json)

    return await until_stopped(run, as_json=as_json)


async def _run(folder: Path, config: Path | None, is_up: Callable[[], None], *, as_json: bool) -> None:
    if not as_json:
        say("starting Temporal, the sandbox services and a worker ...")
    own = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    async with environment(folder, usual_ports=True, config=config, more=own) as env:
        is_up()
        emit_line(_as_document(env)) if as_json else _say_what_to_try(env)
        while True:
            env.check()
            await asyncio.sleep(_LOOK)


def _as_document(env: Environment) -> dict[str, str]:
    return {
        "temporal_address": env.temporal_address,
        "ui": env.ui_url,
        "crm": env.crm_url,
        "mailbox": str(env.mailbox),
        "database": str(env.database_path),
        "work_folder": str(env.work_folder),
        "logs": str(env.folder / "logs"),
    }


def _say_what_to_try(env: Environment) -> None:
    say(f"Airlock is up. Temporal UI: {env.ui_url}")
    if not env.ports.usual:
        say("Port 7233 was taken. In every other terminal:")
        say(f"  export TEMPORAL_ADDRESS={env.temporal_address}")
    say()
    say("What to try, in another terminal:")
    starter = f"{_typed(Path(sys.executable))} {_typed(ROOT / 'starter.py')}"
    example = _typed(ROOT / "examples" / "onboard_customer.json")
    # the file of this folder is found without being named
    config = "" if env.config.resolve() == Path("airlock.toml").resolve() else f" --config {_typed(env.config)}"
    for line in (
        f"tools{config}",
        f"start {example}{config}",
        "show onboard-acme-001",
        "approve onboard-acme-001 --by alice",
        "watch",
        "list",
    ):
        say(f"  {starter} {line}")
    say()
    say(f"Sandbox: CRM {env.crm_url}/_sandbox/contacts, mail in {_near(env.mailbox)}, database {_near(env.database_path)},")
    say(f"         files in {_near(env.work_folder)}; logs in {_near(env.folder / 'logs')}")
    say("Ctrl-C stops everything.")


def _typed(path: Path) -> str:
    return shlex.quote(_near(path))


def _near(path: Path) -> str:
    """Return a path as short as it can be written from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


if __name__ == "__main__":
    run_and_leave(alone(dev))
