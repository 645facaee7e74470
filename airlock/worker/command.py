"""The command line of the worker: settings, catalogue, role."""

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import NoReturn

from airlock.activities.toolbox import Toolbox
from airlock.admission.config import parse_config
from airlock.base.errors import AirlockError, ConfigError
from airlock.temporal.connection import SearchAttributeConflict
from airlock.temporal.keyring import find_keyring, keys_file
from airlock.temporal.telemetry import metrics_address, serve_metrics
from airlock.temporal.tracing import send_last_traces
from airlock.tools.loader import load_catalogue
from airlock.tools.operator_file import find_config, read_config
from airlock.worker.keys import require_usable
from airlock.worker.roles import ROLES, Limits
from airlock.worker.sampler import EVERY
from airlock.worker.service import serve


def argument_parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = argparse.ArgumentParser(
        description="Runs Airlock's workflows and tool calls. Connects with Temporal's own settings."
    )
    parser.add_argument("--config", type=Path, help="the operator's airlock.toml (default: $AIRLOCK_CONFIG, ./airlock.toml)")
    parser.add_argument("--role", choices=ROLES, default="all", help="what this process does (default: all)")
    parser.add_argument("--max-calls", type=_positive, default=Limits.calls, help="live calls at the same time")
    parser.add_argument("--max-rehearsals", type=_positive, default=Limits.rehearsals, help="rehearsals at the same time")
    parser.add_argument("--max-workflow-tasks", type=_positive, default=Limits.workflow_tasks)
    parser.add_argument("--max-cached-workflows", type=_positive, default=Limits.cached_workflows)
    parser.add_argument(
        "--metrics-address", type=_address, metavar="HOST:PORT", help="serve Prometheus metrics there (default: nowhere)"
    )
    parser.add_argument(
        "--metrics-every", type=_positive, default=int(EVERY), metavar="SECONDS", help="between two looks at the gauges"
    )
    parser.add_argument("--log-level", default="WARNING", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _address(text: str) -> str:
    try:
        return metrics_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def main() -> int:
    """Run the worker; 0 when it was told to stop, 1 when its settings or the namespace cannot be used."""
    given = argument_parser().parse_args()
    logging.basicConfig(level=given.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    limits = Limits(given.max_calls, given.max_rehearsals, given.max_workflow_tasks, given.max_cached_workflows)
    try:
        path = find_config(given.config)
        config = read_config(path) if path else parse_config("", os.environ)
        toolbox = Toolbox(load_catalogue(config), config.policy, os.environ.get("AIRLOCK_INDEX_KEY", ""))
        keyring = find_keyring(keys_file(config, path))
        require_usable(keyring, given.role)
        if given.metrics_address:
            serve_metrics(given.metrics_address)
        asyncio.run(serve(toolbox, given.role, limits, given.metrics_every if given.metrics_address else None, keyring))
    except (ConfigError, SearchAttributeConflict) as error:
        print(f"airlock worker cannot start:\n{error}", file=sys.stderr)
        return 1
    except AirlockError as error:
        print(f"airlock worker failed: {error}", file=sys.stderr)
        return 1
    return 0


def run_and_leave() -> NoReturn:
    """Run the worker and end the process with its exit code, at once."""
    code = main()
    send_last_traces()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # not sys.exit: threads of tools that never return would hold up the interpreter's end, and the SDK's own threads
    # abort it now and then (sdk-python issue 300), which turns a clean stop into exit code 134
    os._exit(code)
