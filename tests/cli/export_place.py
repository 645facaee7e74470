"""A namespace with workers of its own, and the starter that talks to it."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from typer.testing import CliRunner

from airlock.cli.app import app
from airlock.cli.records.export_files import export_files
from airlock.cli.records.verify_files import verify
from airlock.cli.records.verify_temporal import verify_against_temporal
from airlock.client import Airlock, exporting
from airlock.client import plan_history as history
from airlock.client.exporting import plans_of
from airlock.client.monitors import Monitors
from airlock.export.plan_lines import PlanRecord
from airlock.temporal.history import Unreadable
from tests.cli.conftest import Said
from tests.core.export_build import health
from tests.workflows.conftest import dev_server, events, namespace, renewed_server, until, working  # noqa: F401  dev_server is a fixture

_NUMBERS = itertools.count(1)


@dataclass
class Place:
    """A namespace with workers, and the starter that talks to it."""

    client: Client
    folder: Path
    workers: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def airlock(self) -> Airlock:
        return Airlock(self.client)

    @property
    def out(self) -> Path:
        return self.folder / "export"

    async def start_workers(self) -> None:
        await self.workers.enter_async_context(working(self.client))

    async def starter(self, *arguments: str) -> Said:
        """Run a command in a thread of its own, which has a loop of its own."""
        environment = {
            "TEMPORAL_ADDRESS": self.client.service_client.config.target_host,
            "TEMPORAL_NAMESPACE": self.client.namespace,
        }
        done = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Said(done.exit_code, done.stdout, done.stderr)

    async def listed(self, *ids: str) -> None:
        """Wait until visibility knows of these workflows, and that all but the open ones have ended."""
        query = "WorkflowType = 'PlanWorkflow' AND ExecutionStatus != 'ContinuedAsNew'"

        async def known() -> bool:
            runs = [run async for run in self.client.list_workflows(query)]
            open_now = [run.id for run in runs if run.close_time is None and "open" not in run.id]
            return {run.id for run in runs} >= set(ids) and not open_now

        await until(known)

    async def write(self, records: list[PlanRecord]) -> None:
        """Write an export of these records, as a forger would who can compute every hash again."""

        async def stream() -> AsyncIterator[PlanRecord]:
            for record in sorted(records, key=lambda record: record.order):
                yield record

        await export_files(self.out, stream(), pipeline_id=self.client.namespace, health=health())

    async def records(self) -> list[PlanRecord]:
        async with plans_of(self.client) as plans:
            return [record async for record in plans.records()]

    async def compare(self, after: timedelta = timedelta(0)) -> Any:
        assert verify(self.out) == []
        return await verify_against_temporal(self.out, self.client, datetime.now(UTC) + after)

    def forget(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let a workflow, or one of its runs, be as retention leaves it: not listed, not described, without a history."""
        real_list, real_read, real_described = exporting._listed, history.read_run, history.described

        async def listed(client: Client, since: datetime | None) -> AsyncIterator[tuple[str, str]]:
            async for found in real_list(client, since):
                if name not in found:
                    yield found

        async def read_run(client: Client, *which: str) -> Any:
            if name in which:
                raise Unreadable("not found")
            return await real_read(client, *which)

        async def described(client: Client, *which: str) -> Any:
            return None if name in which else await real_described(client, *which)

        monkeypatch.setattr(exporting, "_listed", listed)
        monkeypatch.setattr(history, "read_run", read_run)
        monkeypatch.setattr(history, "described", described)


@pytest.fixture(name="idle")
async def idle_place(dev_server: Any, tmp_path: Path) -> Place:  # noqa: F811
    """Return a namespace without workers."""
    return Place(await namespace(dev_server.client, f"export{next(_NUMBERS)}"), tmp_path)


@pytest.fixture(name="place")
async def place_at_work(idle: Place) -> AsyncIterator[Place]:
    async with idle.workers:
        await idle.start_workers()
        yield idle


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


async def heard(place: Place, ended: int) -> bool:
    """Return True if the monitor has heard of the ends of so many plans and undos."""
    total = (await Monitors(place.client).counted()).windows.total
    return sum(total.outcomes.values()) + total.undo_runs == ended


async def closed_runs(place: Place, workflow_id: str, count: int) -> bool:
    runs = [run async for run in place.client.list_workflows(f"WorkflowId = '{workflow_id}'")]
    return len(runs) == count and all(run.close_time for run in runs)
