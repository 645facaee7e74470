"""`dev`: a Temporal server and a worker for this folder, on loopback, up until Ctrl-C."""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer

from airlock.cli.output import AsJson, command, emit_line, say
from airlock.cli.servers.dev_server import clean_environment, start_temporal
from airlock.cli.servers.file_lock import held
from airlock.cli.servers.ports import Ports
from airlock.cli.servers.processes import Child
from airlock.cli.servers.stopping import until_stopped
from airlock.cli.settings import ConfigOption
from airlock.program import program
from airlock.temporal.keyring import KEYS_FILE_VARIABLE, KEYS_VARIABLE, ensure_keys
from airlock.tools.operator_file import find_config, read_config

STATE = Path(".airlock") / "server"
WORKER_READY = "airlock worker ready"
_WORKER_WITHIN = 60.0
"""Seconds until a worker is ready, beside those that MCP servers take to tell their tools."""
_LOOK = 0.5


@command
async def dev(
    config: ConfigOption = None,
    folder: Annotated[
        Path, typer.Option("--folder", metavar="FOLDER", help="Where the server keeps its database and the logs.")
    ] = STATE,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Run a worker beside the server.")] = True,
    as_json: AsJson = False,
) -> int:
    """Start a Temporal development server and a worker.

    They stay up until Ctrl-C or SIGTERM, the usual way to end them: the command then exits 0, or 130 before everything is
    up. The server takes Temporal's usual ports 7233 and 8233 where they are free. With --json the command prints one line
    when everything is up.
    The server is for development: it has one node and a SQLite database.
    """
    found = find_config(config)

    async def run(is_up: Callable[[], None]) -> None:
        await _run(folder.resolve(), found, is_up, worker=worker, as_json=as_json)

    return await until_stopped(run, as_json=as_json)


async def _run(folder: Path, config: Path | None, is_up: Callable[[], None], *, worker: bool, as_json: bool) -> None:
    if not as_json:
        say(f"starting Temporal{' and a worker' if worker else ''} ...")
    async with AsyncExitStack() as stack:
        note = stack.enter_context(held(folder.with_name(f"{folder.name}.lock")))
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        temporal, ports, _ = await start_temporal(stack, folder, usual_ports=True)
        note(f"TEMPORAL_ADDRESS={ports.address}")
        children = [temporal]
        if worker:
            children.append(await _start_worker(stack, folder, config, ports))
        is_up()
        emit_line(_as_document(folder, ports)) if as_json else _say_what_to_try(folder, config, ports, worker=worker)
        await _until_one_ends(children)


async def _until_one_ends(children: list[Child]) -> None:
    while True:
        for child in children:
            if not child.running:
                raise child.failure("has ended")
        await asyncio.sleep(_LOOK)


async def _start_worker(stack: AsyncExitStack, folder: Path, config: Path | None, ports: Ports) -> Child:
    own = {name: value for name, value in os.environ.items() if name.startswith("AIRLOCK_")}
    environment = {**clean_environment(), **own, **_checkout_on_path(), "TEMPORAL_ADDRESS": ports.address}
    named = {KEYS_VARIABLE, KEYS_FILE_VARIABLE}.intersection(own) or (config and read_config(config).keys.file)
    if not named:
        environment[KEYS_FILE_VARIABLE] = str(ensure_keys(folder / "keys"))
    # -P: a module of the user's own in this folder, such as types.py, must not take the place of a library's
    command_line = [sys.executable, "-P", "-m", "airlock.worker", *(["--config", str(config)] if config else [])]
    child = Child("the worker", command_line, folder / "logs" / "worker.log", environment)
    stack.push_async_callback(child.stop)
    await child.wait_until(lambda: WORKER_READY in child.said(), ready_within(config))
    return child


def ready_within(config: Path | None) -> float:
    """Return the seconds that a worker may take: it asks MCP servers for their tools, all at once, before it is ready."""
    servers = read_config(config).mcp.values() if config else ()
    return _WORKER_WITHIN + max((each.connect_timeout for each in servers if each.definitions is None), default=0.0)


def _checkout_on_path() -> dict[str, str]:
    """Return what lets a child find this Airlock: nothing where it is installed, the checkout where it is not."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / "starter.py").is_file():
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(checkout), os.environ.get("PYTHONPATH"))))}


def _as_document(folder: Path, ports: Ports) -> dict[str, str]:
    return {
        "temporal_address": ports.address,
        "ui": f"http://127.0.0.1:{ports.ui}",
        "logs": str(folder / "logs"),
    }


def _say_what_to_try(folder: Path, config: Path | None, ports: Ports, *, worker: bool) -> None:
    say(f"Airlock is up. Temporal UI: http://127.0.0.1:{ports.ui}")
    if not ports.usual:
        say("Port 7233 was taken. In every other terminal:")
        say(f"  export TEMPORAL_ADDRESS={ports.address}")
    if config is None and worker:
        say(f"There is no airlock.toml here: the worker serves the built-in tools. To write one: {program()} init")
    say(f"What to try, in another terminal: {program()} tools")
    say(f"Logs are in {folder / 'logs'}. Ctrl-C stops everything.")
