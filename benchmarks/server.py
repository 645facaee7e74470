"""A Temporal server and Airlock's workers in this process, for the benchmarks that need their own tools and policy."""

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import AgentPolicy, Policy
from airlock.cli.servers.processes import Child
from airlock.client import Airlock
from airlock.plans.catalogue import Catalogue
from airlock.plans.tool import Tool
from airlock.temporal.connection import DATA_CONVERTER, connect_to, ensure_search_attributes, learn_of_server
from airlock.worker.roles import Limits, build_workers


@asynccontextmanager
async def serving(
    tools: Sequence[Tool], client_of: Callable[[Client], Client] = lambda client: client, **policy: Any
) -> AsyncIterator[Airlock]:
    """An Airlock that offers these tools; plans of MEDIUM risk need no human, unless the policy says otherwise.

    Args:
        tools: What it offers.
        client_of: Makes the client of its workers from that of the server.
        policy: Settings of the policy.
    """
    temporal = shutil.which("temporal") or str(Path(sys.executable).with_name("temporal"))
    settings = {"agents": {"*": AgentPolicy(permissions=("*",))}, "approval_waived_for": ("MEDIUM",), **policy}
    toolbox = Toolbox(Catalogue(list(tools)), Policy.model_validate(settings))
    async with AsyncExitStack() as stack:
        env = await stack.enter_async_context(
            await WorkflowEnvironment.start_local(
                dev_server_existing_path=temporal, ip="127.0.0.1", data_converter=DATA_CONVERTER,
                dev_server_log_level="error",
            )
        )  # fmt: skip
        await ensure_search_attributes(env.client)
        await learn_of_server(env.client)
        for worker in build_workers(client_of(env.client), toolbox, limits=Limits(calls=100)):
            await stack.enter_async_context(worker)
        yield Airlock(env.client)


@dataclass(frozen=True)
class Temporal:
    """A Temporal server in memory, as a process of its own."""

    client: Client
    address: str
    pid: int


@asynccontextmanager
async def temporal_process(folder: Path) -> AsyncIterator[Temporal]:
    """Yield a server whose CPU can be told from that of the workers; its log is in the folder."""
    program = shutil.which("temporal") or str(Path(sys.executable).with_name("temporal"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [program, "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", port, "--log-level", "error"]
    server = Child("the Temporal server", command, folder / "temporal.log", dict(os.environ))
    try:
        yield Temporal(await _connected(f"127.0.0.1:{port}"), f"127.0.0.1:{port}", server.pid)
    finally:
        server.kill()


async def _connected(address: str) -> Client:
    for _ in range(300):
        try:
            client = await connect_to(address)
            async for _found in client.list_workflows(page_size=1):
                pass
        except Exception:  # noqa: BLE001  # the server is not up yet
            await asyncio.sleep(0.1)
        else:
            return client
    raise SystemExit("the Temporal server does not answer")
