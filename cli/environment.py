"""Everything Airlock needs to run, as real processes on loopback: Temporal, a CRM, a mail server, a database, a worker.

async with environment(Path(".airlock/try")) as env:
    run = await Airlock(env.client).submit("examples/onboard_customer.json")
"""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from airlock.errors import AirlockError
from airlock_client.connection import connect_to
from cli.locks import held
from cli.ports import Ports, free_ports, usual_or_free
from cli.processes import ROOT, Child, ChildFailed
from sandbox import processes as sandbox
from sandbox.database import create_database

TOKEN = "sandbox-token"
WORKER_READY = "airlock worker ready"
_TEMPORAL_WITHIN = 30.0
_WORKER_WITHIN = 30.0


@dataclass
class Environment:
    """The running services and where they keep their things. Made by `environment`."""

    folder: Path
    client: Client
    ports: Ports
    temporal: Child
    crm: sandbox.SandboxProcess
    smtp: sandbox.SandboxProcess
    config: Path
    more: Mapping[str, str] = field(default_factory=dict)
    worker: Child | None = None

    @property
    def temporal_address(self) -> str:
        """Host and port of the Temporal server."""
        return self.ports.address

    @property
    def ui_url(self) -> str:
        """The Temporal UI."""
        return f"http://127.0.0.1:{self.ports.ui}"

    @property
    def crm_url(self) -> str:
        """The CRM and billing service, without a slash at the end."""
        return self.crm.url

    @property
    def mailbox(self) -> Path:
        """The folder into which mail is delivered; `sandbox.smtp.read_mailbox` reads it."""
        return self.folder / "mailbox"

    @property
    def database_path(self) -> Path:
        """The SQLite database of the database tools."""
        return self.folder / "accounts.db"

    @property
    def work_folder(self) -> Path:
        """The folder of the file tools."""
        return self.folder / "work"

    @property
    def cli_environment(self) -> dict[str, str]:
        """Environment variables for the Temporal CLI, the starter and anything else that connects to this server."""
        kept = _clean_environment()
        path = os.pathsep.join([str(Path(temporal_binary()).parent), kept.get("PATH", "")])
        # an empty configuration file: the user's own profiles must not lead elsewhere
        profile = self.folder / "temporal.toml"
        return {**kept, "PATH": path, "TEMPORAL_ADDRESS": self.temporal_address, "TEMPORAL_CONFIG_FILE": str(profile)}

    @property
    def worker_environment(self) -> dict[str, str]:
        """Environment variables for a worker of this environment: `airlock.toml` with these services in it."""
        return {
            **self.cli_environment,
            "NO_PROXY": "127.0.0.1,localhost",
            "AIRLOCK_SECRET_GHL_TOKEN": TOKEN,
            "AIRLOCK_SETTINGS__GHL__BASE_URL": self.crm_url,
            "AIRLOCK_SETTINGS__SMTP__HOST": "127.0.0.1",
            "AIRLOCK_SETTINGS__SMTP__PORT": str(self.smtp.port),
            "AIRLOCK_SETTINGS__DATABASE__URL": f"sqlite:///{self.database_path}",
            "AIRLOCK_SETTINGS__FILES__ROOT": str(self.work_folder),
            "AIRLOCK_SETTINGS__MEMORY__PATH": str(self.folder / "memory"),
            "AIRLOCK_SETTINGS__HTTP__ALLOW_HOSTS": self.crm_url.removeprefix("http://"),
            "BILLING_URL": self.crm_url,
            **self.more,
        }

    async def start_worker(self) -> Child:
        """Start the worker and return once it serves.

        Raises:
            ChildFailed: If it ends first or stays silent; with the end of its log.
        """
        command = [sys.executable, "worker.py", "--config", str(self.config)]
        worker = Child("the worker", command, self.folder / "logs" / "worker.log", self.worker_environment)
        self.worker = worker
        await worker.wait_until(lambda: WORKER_READY in worker.said(), _WORKER_WITHIN)
        return worker

    async def stop_worker(self, within: float = 8.0) -> None:
        """Stop the worker as an operator would; it finishes its running calls if they end in time."""
        if self.worker is not None:
            await self.worker.stop(within)

    async def restart_worker(self) -> Child:
        """Stop the worker and start another."""
        await self.stop_worker()
        return await self.start_worker()

    def kill_worker(self) -> None:
        """Kill the worker without warning, as a crash would."""
        if self.worker is not None:
            self.worker.kill()

    def check(self) -> None:
        """Raise when a service has ended.

        Raises:
            ChildFailed: With the end of its log.
        """
        for child in (self.temporal, self.worker):
            if child is not None and not child.running:
                raise child.failure("has ended")
        for service in (self.crm, self.smtp):
            if not service.running:
                raise ChildFailed(f"the sandbox service {service.service} has ended")


@asynccontextmanager
async def environment(
    folder: Path,
    *,
    usual_ports: bool = False,
    fresh: bool = False,
    worker: bool = True,
    config: Path | None = None,
    more: Mapping[str, str] | None = None,
) -> AsyncIterator[Environment]:
    """Start everything, and stop it in reverse order on leaving, whatever happens in between.

    Args:
        folder: Holds all state; two environments never share one.
        usual_ports: Take 7233 and 8233 where they are free.
        fresh: Begin with an empty folder.
        worker: Start a worker too.
        config: The operator's file; the project's `airlock.toml` unless given.
        more: Further environment variables for workers.

    Raises:
        AlreadyRunning: If another process uses the folder.
        ChildFailed: If a service does not start; with the end of its log.
    """
    folder = _absolute(folder)
    async with AsyncExitStack() as stack:
        note = stack.enter_context(held(folder.with_name(f"{folder.name}.lock")))
        _prepare(folder, fresh=fresh)
        temporal, ports, client = await _start_temporal(stack, folder, usual_ports=usual_ports)
        note(f"TEMPORAL_ADDRESS={ports.address}")
        crm = await asyncio.to_thread(sandbox.start, "crm", state=folder / "crm.db", token=TOKEN)
        stack.callback(crm.stop)
        smtp = await asyncio.to_thread(sandbox.start, "smtp", mailbox=folder / "mailbox")
        stack.callback(smtp.stop)
        env = Environment(folder, client, ports, temporal, crm, smtp, config or ROOT / "airlock.toml", more or {})
        stack.push_async_callback(env.stop_worker)
        if worker:
            await env.start_worker()
        yield env


def _absolute(folder: Path) -> Path:
    return folder.resolve()


def _prepare(folder: Path, *, fresh: bool) -> None:
    if fresh and folder.exists():
        shutil.rmtree(folder)
    for name in ("logs", "work", "mailbox", "memory"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "temporal.toml").touch()
    create_database(folder / "accounts.db")
    for note in sorted((ROOT / "examples" / "memory").iterdir()):
        target = folder / "memory" / note.name
        if not target.exists():
            shutil.copyfile(note, target)


async def _start_temporal(stack: AsyncExitStack, folder: Path, *, usual_ports: bool) -> tuple[Child, Ports, Client]:
    """A server that answers."""
    # ports are chosen before the server binds them, so somebody else may be faster: then others are tried
    for attempt in (1, 2, 3):
        ports = usual_or_free() if usual_ports and attempt == 1 else free_ports()
        child = Child(
            "the Temporal server", _temporal_command(folder, ports), folder / "logs" / "temporal.log", _clean_environment()
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
        "--db-filename", str(folder / "temporal.db"), "--log-level", "error",
    ]  # fmt: skip


async def _answering(child: Child, ports: Ports) -> Client:
    deadline = asyncio.get_running_loop().time() + _TEMPORAL_WITHIN
    while True:
        if not child.running:
            raise child.failure("ended")
        with suppress(AirlockError, RPCError):
            client = await connect_to(ports.address)
            await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
            return client
        if asyncio.get_running_loop().time() > deadline:
            raise child.failure(f"did not answer within {_TEMPORAL_WITHIN:g} s")
        await asyncio.sleep(0.1)


def _clean_environment() -> dict[str, str]:
    # what the user has set for another server or another Airlock must not lead elsewhere
    return {name: value for name, value in os.environ.items() if not name.startswith(("TEMPORAL_", "AIRLOCK_"))}


def temporal_binary() -> str:
    """The Temporal CLI: the one on PATH, else the one that was installed beside this Python.

    Raises:
        AirlockError: If there is neither.
    """
    beside = Path(sys.executable).parent / "temporal"
    found = shutil.which("temporal") or (str(beside) if beside.is_file() else None)
    if found is None:
        raise AirlockError("there is no `temporal` on PATH: run `make setup`, or install the Temporal CLI")
    return found
