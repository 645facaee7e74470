"""Everything Airlock needs to run, as real processes on loopback: Temporal, a CRM, a mail server, a database, a worker.

async with environment(Path(".airlock/try")) as env:
    run = await Airlock(env.client).submit("examples/onboard_customer.json")
"""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from temporalio.client import Client

from airlock.cli.servers.dev_server import clean_environment, start_temporal, temporal_binary
from airlock.cli.servers.file_lock import held
from airlock.cli.servers.ports import Ports
from airlock.cli.servers.processes import Child, ChildFailed
from airlock.temporal.keyring import KEYS_FILE_VARIABLE, ensure_keys
from sandbox import processes as sandbox
from sandbox.database import create_database

ROOT = Path(__file__).resolve().parents[1]
"""The checkout."""
TOKEN = "sandbox-token"
WORKER_READY = "airlock worker ready"
_WORKER_WITHIN = 120.0


@dataclass
class Environment:
    """The running services, with their folders and addresses. Made by `environment`."""

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
        kept = clean_environment()
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
            KEYS_FILE_VARIABLE: str(self.folder / "keys"),
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
        command = [sys.executable, str(ROOT / "worker.py"), "--config", str(self.config)]
        worker = Child("the worker", command, self.folder / "logs" / "worker.log", self.worker_environment, ROOT)
        self.worker = worker
        await worker.wait_until(lambda: WORKER_READY in worker.said(), _WORKER_WITHIN)
        return worker

    async def stop_worker(self, within: float = 8.0) -> None:
        """Stop the worker as an operator would; it finishes its running calls if they end in time."""
        if self.worker is not None:
            await self.worker.stop(within)

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
        temporal, ports, client = await start_temporal(stack, folder, usual_ports=usual_ports)
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
    ensure_keys(folder / "keys")
    create_database(folder / "accounts.db")
    for note in sorted((ROOT / "examples" / "memory").iterdir()):
        target = folder / "memory" / note.name
        if not target.exists():
            shutil.copyfile(note, target)
