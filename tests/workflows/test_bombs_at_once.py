"""Thousands of small signals that become large ones, in one workflow task: the run reads a few of them, and goes on."""

import asyncio
import json
import zlib
from collections.abc import Sequence
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RawValue

from airlock.activities.monitor import start_monitors
from airlock.admission.policy import Policy
from airlock.base import names
from airlock.base.incoming import TOO_MUCH
from airlock.client.live_gate import LiveGate
from airlock.client.monitors import Monitors
from airlock.plans.state import State
from airlock.temporal.live_gate import start_live_gate
from airlock.temporal.message_load import FLAG
from devtools.replayer import replay_everything
from tests.workflows.conftest import awaiting, namespace, step, until, working

TIMES = 2_000
"""Of these signals; a task that decoded them all took longer than the half minute after which a worker gives it up."""


def bomb(**fields: Any) -> RawValue:
    """Return a payload of half a kilobyte that becomes 60,000 lists."""
    inner = Payload(metadata={"encoding": b"json/plain"}, data=json.dumps({**fields, "more": [[]] * 60_000}).encode())
    return RawValue(Payload(metadata={"encoding": b"binary/airlock-zlib"}, data=zlib.compress(inner.SerializeToString(), 9)))


async def flood(run: WorkflowHandle[Any, Any], signal: str, arguments: Sequence[Any], times: int = TIMES) -> None:
    """Send the same signal many times, while no worker runs: all of them come in one workflow task."""
    few = asyncio.Semaphore(50)

    async def send() -> None:
        async with few:
            await run.signal(signal, args=arguments)

    await asyncio.gather(*(send() for _ in range(times)))


async def replayed_with_the_mark(client: Client) -> None:
    """Replay all histories, as a worker without a cache does; one of them says that signals were left undecoded."""
    flags: set[int] = set()
    async for run in client.list_workflows():
        history = await client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()
        for event in history.events:
            flags.update(event.workflow_task_completed_event_attributes.sdk_metadata.lang_used_flags)
    assert FLAG in flags
    assert not any((await replay_everything(client)).values())


async def test_a_plan_locks_and_goes_on_after_thousands_of_bombs(dev_server: Any, plan: Any) -> None:
    own = await namespace(dev_server.client, "bombsplan")
    async with working(own) as airlock:
        handle = await airlock.submit(plan(step("a", "put", key="k")))
        await awaiting(handle)
    await flood(handle.workflow, "resolve", [bomb(by="mallory", reason="r", step="a", outcome="happened")])
    await handle.workflow.signal("lock", {"by": "op", "reason": "a flood"})
    async with working(own):
        status = await until(lambda: handle.status())
        assert status.refused == TIMES
        assert status.state is State.LOCKED
        assert status.refusals[-1].reason == f"resolve: {TOO_MUCH}", status.refusals
        assert (await handle.decide("unlock", by="op", reason="over")).accepted
        status = await awaiting(handle)
        assert (await handle.decide("deny", by="alice", reason="enough", digest=status.digest)).accepted
        assert (await handle.result()).outcome == "denied"
    await replayed_with_the_mark(own)


@pytest.mark.parametrize("signal", ["release", "lock", "auto_lock", "hold_off"])
async def test_the_live_gate_answers_after_thousands_of_bombs(dev_server: Any, signal: str) -> None:
    own = await namespace(dev_server.client, f"bombs{signal.replace('_', '')}")
    await start_live_gate(own, Policy())
    gate = own.get_workflow_handle(names.LIVE_GATE)
    await flood(gate, signal, [bomb(by="mallory", reason="r", holder="h", request="r")])
    async with working(own):
        assert (await LiveGate(own).lock(by="op", reason="stop")).accepted
        status = await LiveGate(own).status()
        assert [lock.reason for lock in status.locks] == ["stop"]
    await replayed_with_the_mark(own)


async def test_a_monitor_answers_after_thousands_of_bombs(dev_server: Any) -> None:
    own = await namespace(dev_server.client, "bombsmonitor")
    await start_monitors(own, Policy())
    run = own.get_workflow_handle(names.monitor_id(0))
    await flood(run, "report", [bomb(reports=[])])
    async with working(own):
        assert await Monitors(own).health()
    await replayed_with_the_mark(own)
