"""The command line of the worker: settings, catalogue, role."""

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from airlock.activities.toolbox import Toolbox
from airlock.admission.configuration.config import parse_config
from airlock.base.errors import AirlockError, ConfigError
from airlock.program import installed_as, version
from airlock.temporal.connection import SearchAttributeConflict
from airlock.temporal.keyring import find_keyring, keys_file
from airlock.temporal.telemetry import metrics_address, serve_metrics
from airlock.tools.config_warnings import config_warnings
from airlock.tools.loader import load_configured
from airlock.tools.operator_file import find_config, read_config
from airlock.tools.web import log_no_addresses
from airlock.usage import PlainCommand
from airlock.worker.keys import require_usable
from airlock.worker.roles import Limits
from airlock.worker.sampler import EVERY
from airlock.worker.service import calm_collector, serve
from airlock.worker.watchdog import start_watchdog

PROGRAM = "airlock-worker"
Role = Literal["all", "orchestrate", "rehearse", "live"]
"""The values of `--role`: those of `ROLES`. A type checker wants them written out; a test compares both."""

app = typer.Typer(
    add_completion=installed_as(PROGRAM), pretty_exceptions_enable=False, rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


def _address(text: str) -> str:
    try:
        return metrics_address(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"{PROGRAM} {version()}")
        raise typer.Exit


@app.command(cls=PlainCommand)
def work(
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The operator's airlock.toml; unless given, $AIRLOCK_CONFIG or ./airlock.toml."),
    ] = None,
    role: Annotated[Role, typer.Option(help="The part of the work that this process does.")] = "all",
    max_calls: Annotated[int, typer.Option(min=1, metavar="N", help="Live calls at the same time.")] = Limits.calls,
    max_rehearsals: Annotated[
        int, typer.Option(min=1, metavar="N", help="Rehearsals at the same time.")
    ] = Limits.rehearsals,
    max_workflow_tasks: Annotated[
        int, typer.Option(min=1, metavar="N", help="Workflow tasks at the same time.")
    ] = Limits.workflow_tasks,
    max_cached_workflows: Annotated[
        int, typer.Option(min=1, metavar="N", help="Runs that are kept in memory between their tasks.")
    ] = Limits.cached_workflows,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics-address",
            metavar="HOST:PORT",
            parser=_address,
            help="Serve Prometheus metrics there; unless given, nowhere.",
        ),
    ] = None,
    metrics_every: Annotated[
        int, typer.Option(min=1, metavar="SECONDS", help="The time between two looks at the gauges.")
    ] = int(EVERY),
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], typer.Option(help="The least severe message that is logged.")
    ] = "WARNING",
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Run Airlock's workflows and tool calls, until SIGTERM or SIGINT. Connects with Temporal's own settings.

    Exits 0 when it was told to stop, 1 when its settings or the namespace cannot be used, 70 when it was frozen for so long
    that Temporal may have given its calls to another worker, and 71 when it was told to stop and a tool hangs.
    """  # fmt: skip
    logging.basicConfig(level=log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    log_no_addresses()
    start_watchdog()
    limits = Limits(max_calls, max_rehearsals, max_workflow_tasks, max_cached_workflows)
    try:
        path = find_config(config)
        found, catalogue = load_configured(lambda: read_config(path) if path else parse_config("", os.environ), path)
        for warning in config_warnings(found, catalogue, os.environ):
            logging.getLogger("airlock.worker").warning("%s", warning)
        toolbox = Toolbox(catalogue, found.policy, os.environ.get("AIRLOCK_INDEX_KEY", ""), live=role in ("all", "live"))
        keyring = find_keyring(keys_file(found, path))
        require_usable(keyring, role)
        if metrics:
            serve_metrics(metrics)
        calm_collector()
        asyncio.run(serve(toolbox, role, limits, metrics_every if metrics else None, keyring))
    except (ConfigError, SearchAttributeConflict) as error:
        file = getattr(error, "file", "")
        print(f"airlock worker cannot start:\n{f'{file}:{chr(10)}' if file else ''}{error}", file=sys.stderr)
        raise typer.Exit(1) from error
    except AirlockError as error:
        print(f"airlock worker failed: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
