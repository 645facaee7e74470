"""One server and one worker for all adapters, with real files; agents in this process and in others."""

import asyncio
import itertools
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from airlock.activities.toolbox import Toolbox
from airlock.adapters.agent_tools import AgentTools
from airlock.adapters.turns import Turns
from airlock.admission.policy import Policy
from airlock.client import Airlock, PlanHandle
from airlock.plans.catalogue import Catalogue
from airlock.plans.state import State
from airlock.worker.roles import build_workers
from tests import running
from tests.adapters.notes import add_note, read_notes
from tests.processes.harness import Process, until
from tests.workflows.conftest import patience  # noqa: F401  # workers in this process answer late when it is busy

_NUMBERS = itertools.count(1)
AGENT = "clerk"
DONE = [(True, {"lines": []}), (True, {"number": 1})]
"""The answers to a turn that reads and adds, once it was approved."""
DENIED = [
    (True, {"lines": []}),
    (False, 'Not in effect (denied). The plan ended denied: "we have milk". Do not repeat the call unless the user asks.'),
]


@dataclass
class Office:
    """A worker, the folder that its tools write to, and the approver."""

    airlock: Airlock
    folder: Path
    address: str
    catalogue: Catalogue

    def book(self) -> str:
        """Return the name of a book that no other test writes to."""
        return f"book{next(_NUMBERS)}"

    def lines(self, book: str) -> list[str]:
        path = self.folder / f"{book}.txt"
        return path.read_text().splitlines() if path.exists() else []

    def tools(self, **more: Any) -> AgentTools:
        return AgentTools(self.catalogue, agent=AGENT, requested_by="rita", **more)

    def turns(self, book: str, **more: Any) -> Turns:
        """Return the turns of an agent whose plans name a book."""
        return Turns(self.airlock, self.tools(goal=f"Notes in {book}"), **more)

    async def waiting(self, book: str) -> PlanHandle:
        """Wait for the plan about a book to wait for its approval, and return it."""

        async def found() -> PlanHandle | None:
            for plan in await self.airlock.plans(open_only=True):
                handle = self.airlock.plan(plan.plan_id)
                if plan.state == State.AWAITING_APPROVAL and book in (await handle.status()).goal:
                    return handle
            return None

        return await until(found, f"no plan about {book} waits for approval")

    async def decide(self, book: str, decision: str, **more: Any) -> str:
        """Decide about the plan of a book as an approver, and return its id."""
        handle = await self.waiting(book)
        status = await handle.status()
        verdict = await handle.decide(decision, by="alice", digest=status.digest, **more)
        assert verdict.accepted, verdict
        return handle.plan_id

    async def plans_of(self, book: str) -> list[str]:
        """Return the ids of all plans about a book, open or not."""
        plans = await self.airlock.plans(limit=1_000)
        return [plan.plan_id for plan in plans if book in str((await self.airlock.plan(plan.plan_id).facts()).goal)]

    def agent_process(self, module: str, *arguments: str, log: Path) -> Process:
        """Start an agent as a process of its own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRLOCK_", "TEMPORAL_"))}
        return Process([sys.executable, "-m", module, *arguments], log, {**kept, "TEMPORAL_ADDRESS": self.address})


async def together(*awaited: Any) -> list[Any]:
    """Wait for an agent and its approver; the failure of either ends the test at once."""
    async with asyncio.timeout(240), asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in awaited]
    return [task.result() for task in tasks]


@asynccontextmanager
async def office(env: WorkflowEnvironment, folder: Path, address: str) -> AsyncIterator[Office]:
    catalogue = Catalogue([read_notes, add_note], settings={"notes": {"folder": str(folder)}})
    policy = Policy.model_validate({"agents": {AGENT: {"permissions": ["*"]}}, "read_lane": True})
    async with running.running(build_workers(env.client, Toolbox(catalogue, policy))):
        yield Office(Airlock(env.client), folder, address, catalogue)


@pytest.fixture(scope="session")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    async with running.dev_server(tmp_path_factory.mktemp("server")) as env:
        address = env.client.service_client.config.target_host
        async with office(env, tmp_path_factory.mktemp("notes"), address) as opened:
            yield opened


@pytest.fixture(autouse=True)
def server_lives() -> None:
    running.fail_if_a_server_died()
