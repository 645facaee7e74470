"""A worker process from connection to shutdown, which lets running calls finish."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from temporalio.client import Client
from temporalio.runtime import Runtime
from temporalio.service import RPCError
from temporalio.worker import Worker

from airlock.activities.calls.call_metrics import serve_zero_counters
from airlock.activities.functions.secrets import Secrets
from airlock.activities.monitor import start_monitors
from airlock.activities.opened import Opened, opened
from airlock.activities.toolbox import Toolbox
from airlock.admission.needed_secrets import secrets_of_tools, variable
from airlock.base import names
from airlock.base.keyring import Keyring
from airlock.base.text import count
from airlock.temporal.connection import address, connect_patiently, ensure_search_attributes, learn_of_server, refusal_of
from airlock.temporal.history import Unreadable
from airlock.temporal.live_gate import start_live_gate
from airlock.worker.keys import described, unprotected
from airlock.worker.role_loop import RoleLoop
from airlock.worker.roles import ORCHESTRATIONS, SHUTDOWN_MARGIN, Limits, build_workers, grace_of, parts_of
from airlock.worker.sampler import Sampler

HANGING = 71
"""Exit code of a worker that was told to stop while a tool did not give back its event loop."""


def missing_secrets(toolbox: Toolbox) -> tuple[str, ...]:
    """Return one sentence for each secret that a tool of this worker needs for live calls and that is not there."""
    has = Secrets().has
    needed = secrets_of_tools(toolbox.catalogue) if toolbox.live else {}
    return tuple(
        f"no secret {secret!r}, which {', '.join(tools)} needs: set {variable(secret)}, or its calls will fail"
        for secret, tools in needed.items()
        if not has(secret)
    )


def calm_collector() -> None:
    """Reduce the frequency of garbage collection; call it once all modules are loaded.

    Parsing a plan of thousands of steps allocates a hundred thousand objects, none of which is garbage. With Python's
    defaults two thirds of that time went into scanning them, and all loaded modules, repeatedly.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def serve(
    toolbox: Toolbox, role: str, limits: Limits, sample_every: float | None = None, keyring: Keyring | None = None
) -> None:
    """Connect, register missing search attributes, and work until SIGTERM or SIGINT. Running calls finish first.

    Args:
        toolbox: The operator's catalogue and policy.
        role: One of `ROLES`.
        limits: The number of calls, rehearsals and workflow tasks at the same time.
        sample_every: Seconds between two samples of the gauges; None for no gauges.
        keyring: The keys of this worker.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    keys = keyring or Keyring()
    for left_open in unprotected(keys, role):
        print(f"airlock worker: NOT PROTECTED: {left_open}", flush=True)
    for missing in missing_secrets(toolbox):
        print(f"airlock worker: NOT READY: {missing}", flush=True)
    connecting = asyncio.create_task(_connected(stop, keys))
    client = await connecting
    if client is None:
        return
    parts = {part: _loop_for(part, client, toolbox, limits) for part in parts_of(role)}
    try:
        if not await _started(parts, stop):
            return
        if "orchestrate" in parts:
            await _start_permanent_workflows(client, toolbox)
        print(f"{_health_line(client, toolbox, role)}, {described(keys)}", flush=True)
        if sample_every is not None and "live" in parts:
            serve_zero_counters(Runtime.default().metric_meter, client.namespace, toolbox.catalogue.names)
        sampling = _sampling(client, role, sample_every)
        await _first(stop, *(part.ended for part in parts.values()))
        if sampling is not None:
            sampling.cancel()
    finally:
        await _stopped(parts, grace_of(toolbox) + SHUTDOWN_MARGIN)
    print("airlock worker stopped", flush=True)


async def _started(parts: Mapping[str, RoleLoop], stop: asyncio.Event) -> bool:
    """Start every role. Return False if the worker is told to stop first.

    Raises:
        BaseException: What kept a role from starting.
    """
    for part in parts.values():
        starting = asyncio.create_task(part.start())
        await _first(stop, task=starting)
        if not starting.done():
            starting.cancel()
            return False
        starting.result()
    return not stop.is_set()


async def _stopped(parts: Mapping[str, RoleLoop], within: float) -> None:
    """Stop every role, at the same time.

    Raises:
        BaseException: What ended a role before.
    """
    print("airlock worker stopping: running calls are finished first", flush=True)
    stopped = await asyncio.gather(*(part.stop(within) for part in parts.values()))
    hanging = [part for part, has_stopped in zip(parts, stopped, strict=True) if not has_stopped]
    if hanging:
        # a tool has not given back its loop; nothing in this process can make it
        print(f"airlock worker: tools hang in {', '.join(hanging)}; it ends without them", flush=True)
        os._exit(HANGING)
    for part in parts.values():
        if part.error is not None:
            raise part.error


def _loop_for(part: str, client: Client, toolbox: Toolbox, limits: Limits) -> RoleLoop:
    threads = {"orchestrate": ORCHESTRATIONS, "rehearse": limits.rehearsals, "live": 2 * limits.calls}[part]
    return RoleLoop(part, lambda: _equipped(client, toolbox, part, limits), threads)


@asynccontextmanager
async def _equipped(
    client: Client, toolbox: Toolbox, part: str, limits: Limits
) -> AsyncIterator[tuple[Sequence[Worker], Opened]]:
    async with opened(toolbox, parts_of(part)) as (equipped, found):
        yield build_workers(client, equipped, part, limits), found


async def _first(*events: asyncio.Event, task: asyncio.Task[None] | None = None) -> None:
    """Return when one of some events is set, or a task is done."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait([*waiting, *([task] if task else [])], return_when=asyncio.FIRST_COMPLETED)
    for each in waiting:
        each.cancel()


def _sampling(client: Client, role: str, every: float | None) -> asyncio.Task[None] | None:
    if every is None or role not in ("all", "orchestrate"):
        return None
    return asyncio.create_task(Sampler(client, Runtime.default().metric_meter).run(every))


async def _start_permanent_workflows(client: Client, toolbox: Toolbox) -> None:
    """Start the live gate and the monitors. Plans start them too, but an operator may lock the gate before any plan."""
    try:
        await start_live_gate(client, toolbox.policy)
        await start_monitors(client, toolbox.policy)
    except (RPCError, Unreadable) as error:
        print(f"the live gate and the monitors could not be started yet: {error}", file=sys.stderr, flush=True)


async def _connected(stop: asyncio.Event, keyring: Keyring) -> Client | None:
    """Return a client of a ready server, or None if the worker is told to stop first."""
    stopped = asyncio.create_task(stop.wait())
    ready = asyncio.create_task(_ready_client(keyring))
    await asyncio.wait({stopped, ready}, return_when=asyncio.FIRST_COMPLETED)
    for task in (stopped, ready):
        if not task.done():
            task.cancel()
    return ready.result() if ready.done() and not ready.cancelled() else None


async def _ready_client(keyring: Keyring) -> Client:
    while True:
        client = await connect_patiently(keyring=keyring)
        try:
            added = await ensure_search_attributes(client)
            await learn_of_server(client)
        except RPCError as error:
            print(
                f"Temporal at {address()} is not ready yet. {refusal_of(error)}\nTrying again in 2 s.",
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
        "all": (names.WORKFLOW_QUEUE, names.REHEARSE_QUEUE, names.LIVE_QUEUE, names.UNDO_QUEUE, names.PERMIT_QUEUE),
        "orchestrate": (names.WORKFLOW_QUEUE,),
        "rehearse": (names.REHEARSE_QUEUE,),
        "live": (names.LIVE_QUEUE, names.UNDO_QUEUE, names.PERMIT_QUEUE),
    }[role]
    return (
        f"airlock worker ready: role {role}, serves {', '.join(queues)} in namespace {client.namespace} at {address()}; "
        f"{count(len(toolbox.catalogue.names), 'tool')}, catalogue {toolbox.catalogue.digest()[:12]}, "
        f"policy {toolbox.policy.digest()[:12]}"
    )
