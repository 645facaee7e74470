"""A gate whose history is full at the moment of a search for closed holders goes on, and no plan waits for ever."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus

from airlock.activities import gates as gate_activities
from airlock.workflows.gates import gate as gate_workflow
from airlock.workflows.history_budget import HistoryBudget
from tests.replay.replay import replayer
from tests.workflows.conftest import until
from tests.workflows.gate_visits import closed, gate_of, gates, inside, resource, visit, waiting


@pytest.fixture
async def shared(dev_server: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    monkeypatch.setattr(gate_workflow, "LOOK_EVERY", 1.0)
    async with gates(dev_server) as client:
        yield client


class FullRun:
    """The run of a gate whose history is full from its next workflow task on."""

    def __init__(self, client: Client, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._gate, self._client, self._patch = gate_of(client, name), client, monkeypatch
        self._run_id, self._usual = "", gate_workflow.HISTORY

    async def begin(self) -> None:
        found = await self._gate.describe()
        self._run_id = found.run_id
        self._patch.setattr(gate_workflow, "HISTORY", HistoryBudget(events=found.history_length + 1))

    async def is_followed(self) -> None:
        """Wait until another run has taken its place, whose history has room."""

        async def continued() -> bool:
            return (await self._gate.describe()).run_id != self._run_id

        await until(continued)
        self._patch.setattr(gate_workflow, "HISTORY", self._usual)

    async def replay(self) -> None:
        """Replay it, once the gate has ended."""
        assert await closed(self._gate) == "COMPLETED"
        run = self._client.get_workflow_handle(self._gate.id, run_id=self._run_id)
        assert (await run.describe()).status is WorkflowExecutionStatus.CONTINUED_AS_NEW
        history = await run.fetch_history()
        # what the run saw as full: its last task, also if another one came before the budget was set
        last = max(e.event_id for e in history.events if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED)
        self._patch.setattr(gate_workflow, "HISTORY", HistoryBudget(events=last))
        await replayer().replay_workflow(history)


async def test_a_gate_that_is_full_as_a_search_begins_goes_on(shared, monkeypatch):
    name = resource()
    first = await inside(shared, resources=(name,))
    second = await visit(shared, resources=(name,))
    await waiting(gate_of(shared, name), 1)
    full = FullRun(shared, name, monkeypatch)
    await full.begin()  # its next task is that of the timer before the search
    await full.is_followed()
    await first.leave()
    await until(second.inside)
    await second.leave()
    await full.replay()


async def test_a_gate_that_becomes_full_during_a_search_goes_on(shared, monkeypatch):
    searching, answer, found = asyncio.Event(), asyncio.Event(), gate_activities._closed

    async def slow(*asked: Any) -> Any:
        searching.set()
        await answer.wait()
        return await found(*asked)

    monkeypatch.setattr(gate_activities, "_closed", slow)
    name = resource()
    first = await inside(shared, resources=(name,))
    second = await visit(shared, resources=(name,))
    await asyncio.wait_for(searching.wait(), 60)
    full = FullRun(shared, name, monkeypatch)
    await full.begin()
    third = await visit(shared, resources=(name,))
    await full.is_followed()
    answer.set()
    for before, after in ((first, second), (second, third)):
        await before.leave()
        await until(after.inside)
    await third.leave()
    await full.replay()
