"""The processes of the chaos run: a Temporal server with a database file, workers, a mail sink; all can be killed."""

import asyncio
import os
import random
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

from temporalio.client import Client
from temporalio.service import RPCError

from airlock.base.errors import AirlockError
from airlock.cli.servers.dev_server import temporal_binary
from airlock.cli.servers.processes import Child
from airlock.temporal.connection import connect_to
from devtools.environment import ROOT, WORKER_READY
from sandbox import processes as sandbox
from sandbox.chaos_store import ChaosStore
from sandbox.smtp import read_mailbox

_READY_WITHIN = 60.0
_LOOK = 0.1
_MEMORY = "/dev/shm"


class ChaosWorld:
    """All processes of a chaos run. `chaos_world` makes it, and stops all of them in the end."""

    def __init__(self, folder: Path, database: Path, smtp: sandbox.SandboxProcess) -> None:
        self.folder = folder
        self.deaths: dict[int, float] = {}
        """The time from which a killed worker was certainly dead, in seconds since the epoch, by its process id."""
        self.server_restarts = 0
        self._database = database
        self._smtp = smtp
        self._port = _quiet_port()
        self._server: Child | None = None
        self._workers: dict[int, Child] = {}
        self._started = 0
        ChaosStore.create(self.store_path).close()

    @property
    def store_path(self) -> Path:
        """The file that all tools share."""
        return self.folder / "store.sqlite"

    @property
    def address(self) -> str:
        """Host and port of the Temporal server; the same after a restart."""
        return f"127.0.0.1:{self._port}"

    def mails(self) -> list[dict[str, object]]:
        """Return all mails that were accepted, oldest first."""
        return read_mailbox(self.folder / "mailbox")

    async def client(self) -> Client:
        """Return a client of the server."""
        return await connect_to(self.address)

    async def start_server(self) -> None:
        """Start the server on its database, and return once it answers.

        Raises:
            ChildFailed: If it does not; with the end of its log.
        """
        command = [
            temporal_binary(), "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(self._port),
            "--db-filename", str(self._database), "--log-level", "error",
        ]  # fmt: skip
        self._server = Child("the Temporal server", command, self.folder / "logs" / "temporal.log", self._environment())
        deadline = time.monotonic() + _READY_WITHIN
        while not await self._answers():
            if not self._server.running or time.monotonic() > deadline:
                raise self._server.failure("does not answer")
            await asyncio.sleep(_LOOK)

    async def _answers(self) -> bool:
        with suppress(AirlockError, RPCError):
            async for _ in (await self.client()).list_workflows(page_size=1):
                pass
            return True
        return False

    async def restart_server(self) -> None:
        """Kill the server without warning, and start it again on the same port and database."""
        assert self._server is not None
        self._server.kill()
        await self.start_server()
        self.server_restarts += 1

    async def start_worker(self, place: int) -> None:
        """Start the worker of a place, and return once it serves.

        Raises:
            ChildFailed: If it ends first or stays silent; with the end of its log.
        """
        self._started += 1
        command = [sys.executable, str(ROOT / "worker.py"), "--config", str(ROOT / "sandbox" / "chaos" / "airlock.toml")]
        log = self.folder / "logs" / f"worker-{self._started}.log"
        worker = Child(f"worker {place}", command, log, self._environment(), ROOT)
        self._workers[place] = worker
        await worker.wait_until(lambda: WORKER_READY in worker.said(), _READY_WITHIN)

    def kill_worker(self, place: int) -> None:
        """Kill the worker of a place with SIGKILL."""
        worker = self._workers[place]
        worker.kill()
        self.deaths[worker.pid] = time.time()

    def place_of(self, pid: int) -> int | None:
        """Return the place of the worker with that process id; None if it does not run."""
        return next((place for place, worker in self._workers.items() if worker.pid == pid and worker.running), None)

    def unwell(self) -> list[str]:
        """Return the workers that have ended by themselves, with the end of their logs."""
        return [
            str(worker.failure("has ended by itself"))
            for worker in self._workers.values()
            if not worker.running and worker.pid not in self.deaths
        ]

    def stop(self) -> None:
        """Kill everything; safe to repeat."""
        for worker in self._workers.values():
            worker.kill()
        if self._server is not None:
            self._server.kill()

    def _environment(self) -> dict[str, str]:
        # settings of the user for another server or another Airlock must not lead elsewhere
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TEMPORAL_", "AIRLOCK_"))}
        return {
            **kept,
            "TEMPORAL_ADDRESS": self.address,
            "TEMPORAL_CONFIG_FILE": str(self.folder / "temporal.toml"),
            "AIRLOCK_INDEX_KEY": "chaos",
            "AIRLOCK_SETTINGS__CHAOS__STORE": str(self.store_path),
            "AIRLOCK_SETTINGS__CHAOS__SMTP_PORT": str(self._smtp.port),
        }


@asynccontextmanager
async def chaos_world(folder: Path, workers: int) -> AsyncIterator[ChaosWorld]:
    """Run a world in a folder that is emptied first. Everything is stopped on leaving, after an error too.

    Raises:
        ChildFailed: If a process does not start.
    """
    await asyncio.to_thread(_prepare, folder)
    # in memory where there is such a place: a disk that is busy makes the server lose tasks it has handed out
    place = tempfile.TemporaryDirectory(prefix="airlock-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None)
    smtp = await asyncio.to_thread(sandbox.start, "smtp", mailbox=folder / "mailbox")
    world = ChaosWorld(folder, Path(place.name) / "temporal.sqlite", smtp)
    try:
        await world.start_server()
        await asyncio.gather(*(world.start_worker(number) for number in range(workers)))
        yield world
    finally:
        world.stop()
        smtp.stop()
        place.cleanup()


def _prepare(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    (folder / "logs").mkdir(parents=True)
    (folder / "temporal.toml").touch()


def _quiet_port() -> int:
    """Return a port below those that the system gives to connections: it is still free when the server comes back."""
    while True:
        port = random.randrange(20_000, 32_000)
        with closing(socket.socket()) as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
