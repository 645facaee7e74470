"""The worker: settings, catalogue, roles, client. Runs for months; stops when it is told, after its running calls."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from temporalio.client import Client
from temporalio.runtime import Runtime
from temporalio.service import RPCError
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import SandboxImportNotificationPolicy

from activities.admit import AdmitActivities
from activities.call import CallActivities
from activities.compensate import CompensateActivities
from activities.gates import GateActivities, start_live_gate
from activities.history import Unreadable
from activities.look_at_undo import UndoLookActivities
from activities.metered import begin_at_zero
from activities.monitor import MonitorActivities, start_monitors
from activities.preview import PreviewActivities
from activities.recover import RecoverActivities
from activities.rehearse import RehearseActivities
from activities.toolbox import Toolbox
from airlock import names
from airlock.config import parse_config
from airlock.errors import AirlockError, ConfigError
from airlock_client.connection import SearchAttributeConflict, address, connect_patiently, ensure_search_attributes
from airlock_client.sampler import EVERY, Sampler
from airlock_client.telemetry import metrics_address, serve_metrics
from airlock_client.tracing import send_last_traces, traced
from tools.loader import load_catalogue
from tools.operator_file import find_config, read_config
from workflows.metered import Metered
from workflows.registry import WORKFLOWS
from workflows.safe_signals import SafeSignals

ROLES = ("all", "orchestrate", "rehearse", "live")
HEARTBEAT_THROTTLE = timedelta(seconds=1)
"""Heartbeats reach Temporal at least this often, so that a stop reaches a running call as fast."""
STICKY_TIMEOUT = timedelta(seconds=5)
"""How long a run waits for the worker that has it in its cache, before any other takes it over."""
ORCHESTRATIONS = 32
"""Admissions and visits to gates that one worker process does at the same time; they wait more than they work."""
SHUTDOWN_MARGIN = 15.0
"""Seconds a worker waits for running calls beyond the longest that the catalogue allows."""


@dataclass(frozen=True)
class Limits:
    """How much one worker process does at the same time."""

    calls: int = 50
    rehearsals: int = 20
    workflow_tasks: int = 50
    cached_workflows: int = 500


def runner() -> SandboxedWorkflowRunner:
    """The sandbox for workflows; a module that is imported twice, once in and once outside of it, is an error."""
    policy = (
        SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
        | SandboxImportNotificationPolicy.WARN_ON_DYNAMIC_IMPORT
    )
    # cryptography imports its exceptions at the moment it raises them; refused, that aborts the whole process
    restrictions = SandboxRestrictions.default.with_passthrough_modules("cryptography")
    if traced():
        restrictions = restrictions.with_passthrough_modules("opentelemetry")
    return SandboxedWorkflowRunner(restrictions=restrictions.with_import_notification_policy(policy))


def build_workers(client: Client, toolbox: Toolbox, role: str = "all", limits: Limits | None = None) -> list[Worker]:
    """The Temporal workers of one process.

    Args:
        client: A client made by `airlock_client.connection`.
        toolbox: The operator's catalogue and policy.
        role: One of `ROLES`: `orchestrate` runs workflows and admission, `rehearse` mocks and dry runs, `live` live calls
            and compensations.
        limits: How much to do at the same time.
    """
    allowed = limits or Limits()
    grace = timedelta(seconds=toolbox.catalogue.longest_timeout() + SHUTDOWN_MARGIN)
    workers: list[Worker] = []
    if role in ("all", "orchestrate"):
        gates, monitors = GateActivities(toolbox), MonitorActivities(toolbox)
        workers.append(
            Worker(
                client,
                task_queue=names.WORKFLOW_QUEUE,
                workflows=list(WORKFLOWS),
                activities=[
                    RecoverActivities(toolbox).recover,
                    AdmitActivities(toolbox).admit,
                    gates.acquire,
                    gates.leave,
                    gates.look,
                    gates.recall,
                    monitors.alarm,
                    monitors.lock_wish,
                ],
                max_concurrent_activities=ORCHESTRATIONS,
                max_concurrent_workflow_tasks=allowed.workflow_tasks,
                max_cached_workflows=allowed.cached_workflows,
                sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
                workflow_runner=runner(),
                interceptors=[SafeSignals(), Metered()],
                graceful_shutdown_timeout=timedelta(seconds=SHUTDOWN_MARGIN),
            )
        )
    if role in ("all", "rehearse"):
        activities = [
            RehearseActivities(toolbox).rehearse,
            PreviewActivities(toolbox).preview,
            UndoLookActivities(toolbox).look_at_undo,
        ]
        workers.append(_activity_worker(client, names.REHEARSE_QUEUE, activities, allowed.rehearsals, grace))
    if role in ("all", "live"):
        compensations = CompensateActivities(toolbox)
        workers.append(_activity_worker(client, names.LIVE_QUEUE, [CallActivities(toolbox).call], allowed.calls, grace))
        undo = [compensations.compensate, compensations.probe]
        workers.append(_activity_worker(client, names.UNDO_QUEUE, undo, allowed.calls, grace))
    return workers


def _activity_worker(client: Client, queue: str, activities: Sequence[object], slots: int, grace: timedelta) -> Worker:
    return Worker(
        client,
        task_queue=queue,
        activities=list(activities),  # type: ignore[arg-type]  # bound methods with @activity.defn
        max_concurrent_activities=slots,
        max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        default_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        graceful_shutdown_timeout=grace,
    )


async def serve(toolbox: Toolbox, role: str, limits: Limits, sample_every: float | None = None) -> None:
    """Connect, register what is missing, and work until SIGTERM or SIGINT; running calls are finished first.

    Args:
        toolbox: The operator's catalogue and policy.
        role: One of `ROLES`.
        limits: How much to do at the same time.
        sample_every: Seconds between two looks at what the gauges of the metrics show; None looks at nothing.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # tools that are plain functions run in threads: enough that one slow tool does not hold up the others
    loop.set_default_executor(ThreadPoolExecutor(max_workers=2 * limits.calls + limits.rehearsals))
    connecting = asyncio.create_task(_connected(stop))
    client = await connecting
    if client is None:
        return
    workers = build_workers(client, toolbox, role, limits)
    async with AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(worker)
        if role in ("all", "orchestrate"):
            await _start_what_runs_for_ever(client, toolbox)
        print(_health_line(client, toolbox, role), flush=True)
        if sample_every is not None and role in ("all", "live"):
            begin_at_zero(Runtime.default().metric_meter, client.namespace, toolbox.catalogue.names)
        sampling = _sampling(client, role, sample_every)
        await stop.wait()
        if sampling is not None:
            sampling.cancel()
        print("airlock worker stopping: running calls are finished first", flush=True)
        # all at once: one after the other, those that wait their turn would go on taking new work
        await asyncio.gather(*(worker.shutdown() for worker in workers))
    # a thread whose call timed out cannot be stopped: the loop would wait for it when it closes
    loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
    print("airlock worker stopped", flush=True)


def _sampling(client: Client, role: str, every: float | None) -> asyncio.Task[None] | None:
    if every is None or role not in ("all", "orchestrate"):
        return None
    return asyncio.create_task(Sampler(client, Runtime.default().metric_meter).run(every))


async def _start_what_runs_for_ever(client: Client, toolbox: Toolbox) -> None:
    """Plans would start them too; but the gate must be there to be locked, a monitor to be asked, before the first."""
    try:
        await start_live_gate(client, toolbox.policy)
        await start_monitors(client, toolbox.policy)
    except (RPCError, Unreadable) as error:
        print(f"the live gate and the monitors could not be started yet: {error}", file=sys.stderr, flush=True)


async def _connected(stop: asyncio.Event) -> Client | None:
    """A client of a server that is ready, or None when the worker is told to stop before there is one."""
    stopped = asyncio.create_task(stop.wait())
    ready = asyncio.create_task(_ready_client())
    await asyncio.wait({stopped, ready}, return_when=asyncio.FIRST_COMPLETED)
    for task in (stopped, ready):
        if not task.done():
            task.cancel()
    return ready.result() if ready.done() and not ready.cancelled() else None


async def _ready_client() -> Client:
    while True:
        client = await connect_patiently()
        try:
            added = await ensure_search_attributes(client)
        except RPCError as error:
            print(
                f"Temporal at {address()} is not ready yet: {error.message}. Trying again in 2 s.",
                file=sys.stderr,
                flush=True,
            )
            await asyncio.sleep(2)
            continue
        if added:
            print(f"airlock worker registered search attributes: {', '.join(added)}", flush=True)
        return client


def _health_line(client: Client, toolbox: Toolbox, role: str) -> str:
    queues = {
        "all": (names.WORKFLOW_QUEUE, names.REHEARSE_QUEUE, names.LIVE_QUEUE, names.UNDO_QUEUE),
        "orchestrate": (names.WORKFLOW_QUEUE,),
        "rehearse": (names.REHEARSE_QUEUE,),
        "live": (names.LIVE_QUEUE, names.UNDO_QUEUE),
    }[role]
    return (
        f"airlock worker ready: role {role}, serves {', '.join(queues)} in namespace {client.namespace} at {address()}; "
        f"{len(toolbox.catalogue.names)} tools, catalogue {toolbox.catalogue.digest()[:12]}, "
        f"policy {toolbox.policy.digest()[:12]}"
    )


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
        if given.metrics_address:
            serve_metrics(given.metrics_address)
        asyncio.run(serve(toolbox, given.role, limits, given.metrics_every if given.metrics_address else None))
    except (ConfigError, SearchAttributeConflict) as error:
        print(f"airlock worker cannot start:\n{error}", file=sys.stderr)
        return 1
    except AirlockError as error:
        print(f"airlock worker failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    send_last_traces()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # not sys.exit: threads of tools that never return would hold up the interpreter's end, and the SDK's own threads
    # abort it now and then (sdk-python issue 300), which turns a clean stop into exit code 134
    os._exit(code)
