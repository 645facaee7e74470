"""The question of a tool whether its attempt is still its worker's, on a real server."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from airlock.activities.toolbox import Toolbox
from airlock.client import Airlock
from airlock.plans.catalogue import Catalogue
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.worker.roles import build_workers
from tests.running import running
from tests.workflows.conftest import POLICY, approved, namespace, step, until
from tests.workflows.world import Put

ASKED: dict[str, list[bool]] = {}
FENCES: dict[str, list[int]] = {}
GO_ON: dict[str, asyncio.Event] = {}


async def _ask_twice(call: ToolCall) -> dict[str, Any]:
    FENCES.setdefault(call.plan_id, []).append(call.fence)
    said = ASKED.setdefault(call.plan_id, [])
    said.append(await call.still_mine())
    said.append(await asyncio.to_thread(call.still_mine_sync))
    await GO_ON[call.plan_id].wait()
    said.append(await call.still_mine())
    said.append(await asyncio.to_thread(call.still_mine_sync))
    return {}


@tool(name="ask", risk="MEDIUM", reversibility="compensable", timeout=60)
async def ask(args: Put, call: ToolCall) -> dict[str, Any]:
    """Ask before and after something has happened."""
    return await _ask_twice(call)


@ask.dry_run
async def _look(args: Put, call: ToolCall) -> Preview:
    assert await call.still_mine()
    assert call.fence == 0
    return Preview(effect="ask")


@ask.compensate
async def _undo(args: Put, call: ToolCall) -> None:
    FENCES[call.plan_id].append(call.fence)
    ASKED[call.plan_id].append(await call.still_mine())


@pytest.mark.parametrize("happens", ["nothing", "lock", "terminate", "start again"])
async def test_an_attempt_is_its_worker_s_until_temporal_gives_it_up(dev_server, plan, happens):
    client = await namespace(dev_server.client, f"mine-{uuid4().hex[:8]}")
    document = plan(step("a", "ask", key="a"))
    name = document["plan_id"]
    GO_ON[name] = asyncio.Event()
    async with running(build_workers(client, Toolbox(Catalogue([ask]), POLICY))):
        try:
            handle = await Airlock(client).submit(document)
            await approved(handle)
            await until(lambda: len(ASKED.get(name, ())) == 2)
            assert ASKED[name] == [True, True]
            if happens == "lock":
                assert (await handle.decide("lock", by="olga", reason="stop")).accepted
            if happens == "terminate":
                await handle.workflow.terminate("gone")
            if happens == "start again":
                await handle.workflow.terminate("gone")
                again = await Airlock(client).submit(document)
                assert again.workflow.id == handle.workflow.id
            GO_ON[name].set()
            await until(lambda: len(ASKED[name]) == 4)
            mine = happens in ("nothing", "lock")  # a stop waits for the call in flight, and does not take it away
            assert ASKED[name][2:] == [mine, mine]
            if happens == "lock":
                await until(_locked(handle))
                assert (await handle.decide("rollback", by="olga", reason="back")).accepted
                assert (await handle.result()).undone == ("a",)
                assert ASKED[name][4:] == [True]
                assert FENCES[name] == sorted(set(FENCES[name]))
                assert FENCES[name][0] > 0
            if happens == "nothing":
                assert (await handle.result()).outcome == "completed"
        finally:
            GO_ON[name].set()


def _locked(handle):
    async def locked():
        return not (await handle.status()).in_flight

    return locked
