"""A Temporal server and workers in processes of their own, whose CPU time and memory are told apart from the benchmark's."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from temporalio.client import Client

from airlock.cli.servers.ports import free_ports
from airlock.cli.servers.processes import Child
from airlock.temporal.connection import connect_to, ensure_search_attributes, learn_of_server

_CLOCK = os.sysconf("SC_CLK_TCK")
_UP_WITHIN = 600.0


def cpu_of(*processes: int) -> float:
    """Return the seconds of CPU that some processes have used."""
    return sum(_cpu(process) for process in processes)


def _cpu(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK


def resident(process: int) -> float:
    """Return the memory that a process has resident, in megabytes."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1_000
    raise ValueError(f"process {process} has no VmRSS")


@asynccontextmanager
async def server(folder: Path) -> AsyncIterator[tuple[str, int, Client]]:
    """Yield the address, the process id and a client of a server in memory."""
    temporal = shutil.which("temporal") or str(Path(sys.executable).with_name("temporal"))
    port = free_ports().temporal
    address = f"127.0.0.1:{port}"
    command = [temporal, "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port)]
    child = Child("the Temporal server", [*command, "--log-level", "error"], folder / "temporal.log", dict(os.environ))
    try:
        yield address, child.pid, await _connected(address)
    finally:
        child.kill()


async def _connected(address: str) -> Client:
    for _ in range(int(_UP_WITHIN / 0.1)):
        try:
            client = await connect_to(address)
            await ensure_search_attributes(client)
            await learn_of_server(client)
        except Exception:  # noqa: BLE001  # the server is not up yet
            await asyncio.sleep(0.1)
        else:
            return client
    raise SystemExit("the Temporal server does not answer")


@asynccontextmanager
async def process(name: str, command: Sequence[str], folder: Path, ready: str, **environment: str) -> AsyncIterator[Child]:
    """Yield a Python process once it has printed `ready`; its log is `folder/name.log`."""
    child = Child(name, [sys.executable, *command], folder / f"{name}.log", {**os.environ, **environment})
    try:
        await child.wait_until(lambda: ready in child.said(), _UP_WITHIN)
        yield child
    finally:
        child.kill()
