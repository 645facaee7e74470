import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from airlock.client import live_gate, plan_handle
from sandbox.processes import start
from tests.processes.harness import TOKEN, Outside, Server
from tests.processes.registry import SCENARIOS, Stage

AT_ONCE = 8
"""Scenarios at the same time; more would only wait for the processor."""


@pytest.fixture(scope="session", autouse=True)
def patience() -> Iterator[None]:
    """A decision waits until a busy machine has come to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_gate, "DECISION_TIMEOUT", 120.0)
        patch.setattr(plan_handle, "DECISION_TIMEOUT", 120.0)
        yield


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    mailbox = tmp_path_factory.mktemp("mailbox")
    with start("crm", token=TOKEN) as crm, start("smtp", mailbox=mailbox) as smtp:
        yield Outside(crm, smtp, mailbox)


@pytest.fixture(scope="session")
async def playing(
    request: pytest.FixtureRequest, outside: Outside, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, "asyncio.Task[None]"]]:
    """Yield every chosen scenario, under way."""
    folder = tmp_path_factory.mktemp("processes")
    callspecs = [getattr(item, "callspec", None) for item in request.session.items]
    chosen = [spec.params["scenario"] for spec in callspecs if spec is not None and "scenario" in spec.params]
    server = Server(folder / "server", chosen)
    few = asyncio.Semaphore(AT_ONCE)
    tasks: dict[str, asyncio.Task[None]] = {}
    try:
        await server.start()
        tasks = {name: asyncio.create_task(_play(name, folder, server, outside, few)) for name in chosen}
        yield tasks
    finally:
        for task in tasks.values():
            task.cancel()
        if tasks:
            await asyncio.wait(tasks.values(), timeout=150)
        server.close()


async def _play(name: str, folder: Path, server: Server, outside: Outside, few: asyncio.Semaphore) -> None:
    async with few:
        stage = Stage(name, folder / name, server, outside)
        try:
            await SCENARIOS[name](stage)
        except Exception as error:
            error.add_note(server.health())
            raise
        finally:
            stage.close()
