"""The systems that are measured next to each other, with the servers that they need, and their processes."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.effects import Log, effects
from benchmarks.lines import Settings, arguments
from benchmarks.server import temporal_process
from devtools import peers, postgresql
from devtools.environment import ROOT

_READY_WITHIN = 90.0
_ANSWERS_WITHIN = 600.0


@dataclass(frozen=True)
class System:
    """One way to do the work, and the words for it in a table."""

    name: str
    module: str
    variant: str = ""
    peer: bool = False
    """True if it runs in the environment of the other systems."""
    store: str = ""
    """`temporal` or `postgresql`; empty for one that needs no server."""

    @property
    def missing(self) -> str:
        """The reason why it cannot run here, empty if it can."""
        if self.peer and peers.python() is None:
            return "its packages are not here: make peers"
        if self.store == "postgresql" and postgresql.programs() is None:
            return "there is no PostgreSQL here: make postgresql"
        return ""


LOOP = System("a loop in a process", "in_process")
FLOOR = System("floor: bare Temporal", "bare_temporal", store="temporal")
AIRLOCK = System("Airlock", "airlock_plans", store="temporal")
LANGGRAPH_SQLITE = System("LangGraph, SQLite", "langgraph_tasks", peer=True)
LANGGRAPH_POSTGRESQL = System("LangGraph, PostgreSQL", "langgraph_tasks", peer=True, store="postgresql")
DBOS_SQLITE = System("DBOS, SQLite", "dbos_steps", peer=True)
DBOS_POSTGRESQL = System("DBOS, PostgreSQL", "dbos_steps", peer=True, store="postgresql")
HARNESS = System("temporal-agent-harness", "harness_turns", peer=True, store="temporal")
SYSTEMS = (FLOOR, AIRLOCK, HARNESS, DBOS_POSTGRESQL, DBOS_SQLITE, LANGGRAPH_POSTGRESQL, LANGGRAPH_SQLITE, LOOP)
PACKAGES = (
    "temporalio", "temporal-agent-harness", "dbos", "langgraph", "langgraph-checkpoint-postgres",
    "langgraph-checkpoint-sqlite",
)  # fmt: skip
"""The packages of the other systems that a result names."""


@dataclass
class Place:
    """The servers that all of them share, and the log of the effects."""

    log: Log
    folder: Path
    temporal: str = ""
    temporal_pid: int = 0
    database: str = ""
    database_pid: int = 0
    databases: set[str] = field(default_factory=set)

    def settings(self, system: System, folder: Path, of: str) -> Settings:
        """Return the surroundings of one process; `of` names the database that it uses."""
        servers = {"temporal": self.temporal_pid, "postgresql": self.database_pid}.get(system.store)
        return Settings(
            effects=self.log.port,
            folder=str(folder),
            temporal=self.temporal,
            database=self._database(of) if system.store == "postgresql" else "",
            variant=system.variant,
            servers=(servers,) if servers else (),
        )

    def _database(self, name: str) -> str:
        import psycopg

        if name not in self.databases:
            with psycopg.connect(self.database, autocommit=True) as connection:
                connection.execute(f'CREATE DATABASE "{name}"'.encode())
            self.databases.add(name)
        return self.database.rpartition("/")[0] + f"/{name}"


@asynccontextmanager
async def place(systems: tuple[System, ...]) -> AsyncIterator[Place]:
    """Yield the servers that some systems need."""
    stores = {system.store for system in systems}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="airlock-bench-")))
        found = Place(await stack.enter_async_context(effects()), folder)
        if "temporal" in stores:
            server = await stack.enter_async_context(temporal_process(folder))
            found.temporal, found.temporal_pid = server.address, server.pid
        if "postgresql" in stores:
            url, pid = stack.enter_context(postgresql.server_process())
            found.database, found.database_pid = url.replace("postgresql+psycopg", "postgresql"), pid
        yield found


class Contestant:
    """The process of one system. Each order is one line, and so is each answer."""

    def __init__(self, system: System, process: asyncio.subprocess.Process, log: Path) -> None:
        self.system = system
        self.process = process
        self._log = log

    @classmethod
    async def start(cls, system: System, settings: Settings) -> "Contestant":
        """Start the process, and return it when it is ready."""
        python = peers.python() if system.peer else Path(sys.executable)
        log = Path(settings.folder) / f"{system.module}.log"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "LANGSMITH_TRACING": "false"}
        with log.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                str(python), "-m", f"benchmarks.systems.{system.module}", arguments(settings),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=file, cwd=ROOT, env=environment,
            )  # fmt: skip
        found = cls(system, process, log)
        try:
            await found._answer(_READY_WITHIN)
        except BaseException:
            found.kill()
            raise
        return found

    async def order(self, within: float = _ANSWERS_WITHIN, **order: Any) -> Mapping[str, Any]:
        """Send an order and return the answer."""
        self.send(**order)
        return await self._answer(within)

    def send(self, **order: Any) -> None:
        """Send an order."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")

    async def _answer(self, within: float) -> Mapping[str, Any]:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), within)
        if not line:
            said = self._log.read_text(errors="replace")[-3_000:]
            raise SystemExit(f"{self.system.name} ended instead of an answer. The end of its log:\n{said}")
        answer: Mapping[str, Any] = json.loads(line)
        return answer

    async def stop(self, within: float = 20.0) -> None:
        """Let the process end by itself: its input ends."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), within)
        except TimeoutError:
            self.kill()
            await self.process.wait()

    def kill(self) -> None:
        """Send SIGKILL."""
        if self.process.returncode is None:
            self.process.kill()
