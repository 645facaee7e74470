"""Real processes for the tests: Temporal servers with a database file, and workers; all of them are killed in the end.

A scene is one namespace of its own with its own folder, database and workers, so that many can be played at the same time.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
from temporalio.client import Client

from airlock.client import Airlock, PlanHandle
from airlock.plans.state import State
from airlock.run.presentation.views import PlanResult, StatusView
from airlock.temporal.connection import connect_to
from sandbox.database import create_database
from sandbox.processes import SandboxProcess
from sandbox.smtp import read_mailbox
from tests.forks import WORKER, Forked

ROOT = Path(__file__).resolve().parents[2]
READY = "airlock worker ready"
_MEMORY = "/dev/shm"
TOKEN = "crm-token-for-tests"
# a child that is killed when we are, however we end; Linux only, elsewhere the clean-up of the fixtures has to do
_LEASH = (
    "import ctypes,os,sys\n"
    "try: ctypes.CDLL(None).prctl(1, 9)\n"
    "except AttributeError: pass\n"
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


async def until(condition: Callable[[], Any], what: str, within: float = 180.0) -> Any:
    """Poll until a condition, plain or async, holds; returns what it returned."""
    deadline = time.monotonic() + within
    while True:
        found = condition()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, f"after {within:g} s: {what}"
        await asyncio.sleep(0.05)


class Process:
    """One child with its output in a file. Airlock's worker is forked, anything else is started as it is."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str], cwd: Path = ROOT) -> None:
        self.log = log
        self._process: Forked | subprocess.Popen[bytes]
        with log.open("wb") as file:
            if command[0] == WORKER:
                with open(os.devnull, "rb") as nothing:
                    self._process = Forked(command, environment, cwd, [nothing, file, file])
                return
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-E", "-c", _LEASH, *command],
                cwd=cwd, env=dict(environment), stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    async def says(self, text: str, within: float = 180.0) -> None:
        def heard() -> bool:
            assert text in self.said() or self.running, f"it ended with {self._process.poll()}:\n{self.said()[-3000:]}"
            return text in self.said()

        await until(heard, f"{self.log.name} does not say {text!r}", within)

    def kill(self) -> None:
        """`kill -9`; safe to repeat."""
        self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    async def code(self, within: float = 180.0) -> int:
        """Return the exit code, once it has ended."""
        await until(lambda: not self.running, f"{self.log.name} has not ended:\n{self.said()[-2000:]}", within)
        return self._process.wait()


class Server:
    """A Temporal dev server on a port that stays its own.

    Args:
        folder: The place of its log.
        namespaces: The namespaces that it has from its start, besides `default`.
        metrics_port: The port of its counters, if it counts.
        limits: Values of its dynamic configuration: limits that a test reaches sooner than those of every server.
        lasting: True for a database in a file, so that what it knows is there when it starts again; False for one in memory.
    """

    def __init__(
        self,
        folder: Path,
        namespaces: Sequence[str] = (),
        metrics_port: int | None = None,
        limits: Mapping[str, int] | None = None,
        lasting: bool = True,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        # in memory where there is such a place: a disk that is busy makes the server lose tasks it has handed out
        self._place = tempfile.TemporaryDirectory(prefix="airlock-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None)
        self.database = Path(self._place.name) / "temporal.sqlite"
        self.address = f"127.0.0.1:{free_port()}"
        self.namespaces = ("default", *namespaces)
        self.metrics_port = metrics_port
        self.limits = dict(limits or {})
        self.lasting = lasting
        self.process: Process | None = None
        self._starts = 0

    async def start(self) -> None:
        self._starts += 1
        named = [part for name in self.namespaces for part in ("--namespace", name)]
        if self.metrics_port is not None:
            named += ["--metrics-port", str(self.metrics_port)]
        if self.lasting:
            named += ["--db-filename", str(self.database)]
        named += [part for name, value in self.limits.items() for part in ("--dynamic-config-value", f"{name}={value}")]
        self.process = Process(
            [
                temporal(), "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", self.address.split(":")[1],
                "--log-level", "error", *named,
            ],
            self.folder / f"server-{self._starts}.log",
            os.environ,
        )  # fmt: skip
        await until(self._answers, f"the server does not answer: {self.process.said()[-2000:]}")

    async def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.running, self.process.said()[-2000:]
        try:
            # in a namespace that only this server has: another one may answer at a port both of them chose
            client = await connect_to(self.address, self.namespaces[-1])
            async for _ in client.list_workflows(page_size=1):
                pass
        except Exception:  # noqa: BLE001  whatever it is: not ready yet
            return False
        return True

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    def health(self) -> str:
        """Return a line for the report of a failure."""
        if self.process is None:
            return f"server {self.address} was never started"
        return f"server {self.address} {'runs' if self.process.running else 'has ended'}: {self.process.said()[-2000:]}"

    def close(self) -> None:
        self.kill()
        self._place.cleanup()


class Outside:
    """The systems that tools act on, shared by all scenes: each plan has an email address of its own."""

    def __init__(self, crm: SandboxProcess, smtp: SandboxProcess, mailbox: Path) -> None:
        self.crm, self.smtp, self.mailbox = crm, smtp, mailbox

    def mails(self, address: str) -> list[dict[str, Any]]:
        return [mail for mail in read_mailbox(self.mailbox) if mail["to"] == [address]]

    def contacts(self, email: str) -> list[dict[str, Any]]:
        found = httpx.get(f"{self.crm.url}/_sandbox/contacts", trust_env=False).json()["contacts"]
        return [contact for contact in found if contact["email"] == email]

    def crm_log(self, key: str) -> list[dict[str, Any]]:
        """Return the requests under one idempotency key, oldest first."""
        requests = httpx.get(f"{self.crm.url}/_sandbox/log", trust_env=False).json()["requests"]
        return [request for request in requests if request.get("idempotency_key") == key]


class Scene:
    """One namespace with its workers, and the folder, database and switches of their tools."""

    def __init__(self, name: str, folder: Path, server: Server, outside: Outside) -> None:
        self.name, self.folder, self.server, self.outside = name, folder, server, outside
        self.files, self.control = folder / "files", folder / "control"
        self.database = folder / "demo.sqlite"
        self.workers: list[Process] = []
        for made in (self.files, *(self.control / kind for kind in ("hold", "fail"))):
            made.mkdir(parents=True)
        create_database(self.database)
        self.config = folder / "airlock.toml"
        self.configure('modules = ["tests.processes.held_tools"]')
        self._airlock: Airlock | None = None

    def configure(self, catalogue: str, more: str = "") -> None:
        text = f'[catalogue]\n{catalogue}\n[policy.agents."*"]\npermissions = ["*"]\nsecrets = ["VAULT-PASSWORD"]\n{more}\n'
        self.config.write_text(text, encoding="utf-8")

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRLOCK_", "TEMPORAL_"))}
        return {
            **kept,
            "TEMPORAL_ADDRESS": self.server.address,
            "TEMPORAL_NAMESPACE": self.name,
            "AIRLOCK_TEST_CONTROL": str(self.control),
            "AIRLOCK_SETTINGS__FILES__ROOT": str(self.files),
            "AIRLOCK_SETTINGS__DATABASE__URL": f"sqlite:///{self.database}",
            "AIRLOCK_SETTINGS__GHL__BASE_URL": self.outside.crm.url,
            "AIRLOCK_SETTINGS__GHL__LOCATION_ID": "here",
            "AIRLOCK_SETTINGS__SMTP__HOST": "127.0.0.1",
            "AIRLOCK_SETTINGS__SMTP__PORT": str(self.outside.smtp.port),
            "AIRLOCK_SETTINGS__SMTP__SENDER": "airlock@acme.test",
            "AIRLOCK_SETTINGS__SMTP__STARTTLS": "false",
            "AIRLOCK_SECRET_GHL_TOKEN": TOKEN,
            **more,
        }

    def launch(self, role: str = "all", *options: str, **environment: str) -> Process:
        """Return a worker that is perhaps not ready yet; it runs in the scene's folder."""
        command = [WORKER, "--config", self.config.name, "--role", role, *options]
        log = self.folder / f"worker-{len(self.workers) + 1}-{role}.log"
        worker = Process(command, log, self.environment(**environment), cwd=self.folder)
        self.workers.append(worker)
        return worker

    async def worker(self, role: str = "all", **environment: str) -> Process:
        worker = self.launch(role, **environment)
        await worker.says(READY)
        return worker

    async def client(self) -> Client:
        return (await self.airlock()).client

    async def airlock(self) -> Airlock:
        if self._airlock is None:
            self._airlock = Airlock(await connect_to(self.server.address, self.name))
        return self._airlock

    async def submit(self, plan: Mapping[str, Any]) -> PlanHandle:
        return await (await self.airlock()).submit(plan)

    async def status(self, handle: PlanHandle, *states: State) -> StatusView:
        async with asyncio.timeout(240):
            status = await handle.wait_for(*states)
        assert status.state in states, status
        return status

    async def result(self, handle: PlanHandle) -> PlanResult:
        async with asyncio.timeout(240):
            return await handle.result()

    async def approve(self, handle: PlanHandle) -> None:
        status = await self.status(handle, State.AWAITING_APPROVAL)
        assert all(step.ceiling == "LIVE" for step in status.steps), status.steps
        await self.signal(handle, "approve", digest=status.digest)

    async def signal(self, handle: PlanHandle, name: str, **fields: Any) -> None:
        """Say something with the Temporal CLI, as a person would."""
        message = json.dumps({"by": "alice", **fields})
        command = [
            temporal(), "workflow", "signal", "--address", self.server.address, "--namespace", self.name,
            "--workflow-id", handle.workflow.id, "--name", name, "--input", message,
        ]  # fmt: skip
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr

    def hold(self, plan: str, step: str, moment: str) -> None:
        """Make a tool wait at a moment: mock, dry, live_before, live_after, undo_before, undo_after."""
        (self.control / "hold" / f"{plan}.{step}.{moment}").touch()

    def release(self, plan: str = "*") -> None:
        """Let the held tools of one plan, or of all, go on."""
        for held in (self.control / "hold").glob(f"{plan}.*"):
            held.unlink()

    def fail(self, plan: str, step: str, text: str = "told to fail") -> None:
        """Make a live call fail before its effect."""
        (self.control / "fail" / f"{plan}.{step}").write_text(text)

    def log(self) -> list[dict[str, Any]]:
        """Return the journal of the tools: `plan`, `step`, `moment`, `attempt`, `pid`, `key`."""
        path = self.control / "log.jsonl"
        lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
        return [json.loads(line) for line in lines]

    def times(self, plan: str, step: str, moment: str) -> int:
        """Return how often a tool came to a moment."""
        return sum((line["plan"], line["step"], line["moment"]) == (plan, step, moment) for line in self.log())

    async def reached(self, plan: str, step: str, moment: str) -> None:
        await until(lambda: self.times(plan, step, moment), f"{plan}/{step} does not come to {moment}: {self._words()}")

    def _words(self) -> str:
        return "\n".join(f"{worker.log.name}: {worker.said()[-1500:]}" for worker in self.workers)

    def rows(self, email: str) -> list[dict[str, Any]]:
        """Return the accounts of one plan."""
        with closing(sqlite3.connect(self.database)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute("SELECT * FROM accounts WHERE email = ?", (email,))]

    def written(self, plan: str) -> dict[str, str]:
        """Return every file of one plan's folder; empty, too, when there is no folder."""
        return {path.name: path.read_text() for path in (self.files / plan).rglob("*") if path.is_file()}

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()


def temporal() -> str:
    found = shutil.which("temporal") or shutil.which("temporal", path=str(Path(sys.executable).parent))
    assert found, "temporal is not installed; run `make setup`"
    return found


def free_port() -> int:
    """Below the ports that the system gives to connections, so that it is still free when the server comes back."""
    while True:
        port = random.randrange(20_000, 32_000)
        with closing(socket.socket()) as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
