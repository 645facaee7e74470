"""Thousands of small signals that become large ones, in one workflow task: the run reads a few of them, and goes on."""

from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.common import RawValue

from airlock.activities.monitor import start_monitors
from airlock.admission.policy import Policy
from airlock.base import names
from airlock.base.incoming import TOO_MUCH
from airlock.client.live_gate import LiveGate
from airlock.client.monitors import CountedTotals, Monitors
from airlock.gates.view import GateView
from airlock.plans.state import State
from airlock.temporal.live_gate import start_live_gate
from airlock.temporal.message_load import FLAG
from devtools.replayer import replay_everything
from tests.workflows.bombs import FEW, bomb, flood, padded, small
from tests.workflows.conftest import awaiting, namespace, step, until, working

TIMES = 200
"""Of these signals. Of 2,000, a task that decoded them all took longer than the half minute after which it is given up."""


def protobuf(values: int) -> Payload:
    data = b'{"payloads":[' + b",".join([b"{}"] * values) + b"]}"
    return Payload(metadata={"encoding": b"json/protobuf", "messageType": b"temporal.api.common.v1.Payloads"}, data=data)


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
        digest = (await awaiting(handle)).digest
    await flood(handle.workflow, "resolve", bomb(by="mallory", reason="r", step="a", outcome="happened"), TIMES)
    # a replay that read it would end the plan
    await handle.workflow.signal("deny", padded(by="op", reason="no", digest=digest))
    await handle.workflow.signal("lock", {"by": "op", "reason": "a flood"})
    async with working(own):
        status = await until(lambda: handle.status())
        assert status.refused == TIMES + 1
        assert status.state is State.LOCKED
        assert {refusal.reason for refusal in status.refusals[-2:]} == {f"resolve: {TOO_MUCH}", f"deny: {TOO_MUCH}"}
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
    await flood(gate, signal, bomb(by="mallory", reason="r", holder="h", request="r"), TIMES)
    await gate.signal("lock", padded(by="mallory", reason="too long"))
    await gate.signal("lock", {"by": "op", "reason": "stop"})
    async with working(own):
        status = await until(lambda: settled(own))
        assert [lock.reason for lock in status.locks] == ["stop"]
        assert (await LiveGate(own).unlock(by="op", reason="over")).accepted
    await replayed_with_the_mark(own)


async def settled(client: Client) -> GateView | None:
    """Return how the gate stands once it has looked at everything that was sent to it."""
    found = await LiveGate(client).status()
    return found if found is not None and found.ready and found.locks and found.refused > TIMES - FEW else None


async def test_a_monitor_answers_after_thousands_of_bombs(dev_server: Any) -> None:
    own = await namespace(dev_server.client, "bombsmonitor")
    await start_monitors(own, Policy())
    await flood(own.get_workflow_handle(names.monitor_id(0)), "report", bomb(reports=[]), TIMES)
    async with working(own):
        assert (await until(lambda: counted(own))).refused == TIMES
    await replayed_with_the_mark(own)


async def counted(client: Client) -> CountedTotals | None:
    found = await Monitors(client).counted()
    return found if found.refused >= TIMES else None


@pytest.mark.parametrize("kind", ["large", "small"])
async def test_a_plan_reads_no_protobuf(dev_server: Any, plan: Any, kind: str) -> None:
    """A second of computing for half a megabyte; a worker's SDK would decode it although no message is protobuf."""
    own = await namespace(dev_server.client, f"protobuf{kind}")
    async with working(own) as airlock:
        handle = await airlock.submit(plan(step("a", "put", key="k")))
        await awaiting(handle)
    said, times = (small(protobuf(170_000)), 30) if kind == "large" else (RawValue(protobuf(1_300)), TIMES)
    await flood(handle.workflow, "resolve", said, times)
    async with working(own):
        status = await until(lambda: handle.status())
        assert status.refused == times
        refused = [entry.reason for entry in (await handle.audit()).entries if entry.kind == "refused"]
        assert refused[0] == "resolve: it is protobuf; a message is a JSON object"
        assert (await handle.decide("deny", by="alice", reason="enough")).accepted
