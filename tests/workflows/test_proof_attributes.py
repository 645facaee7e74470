"""Search attributes that a client removes and registers again: they are an index, and no lock is lifted by what it lacks."""

import itertools
from contextlib import suppress

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, RemoveSearchAttributesRequest

from airlock.base import names
from airlock.client.live_gate import LiveGate
from airlock.gates.view import GateView
from airlock.plans.state import State
from airlock.temporal import earlier_calls
from airlock.temporal.live_gate import start_live_gate
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.test_proof_calls import times
from tests.workflows.test_proof_deleted import completed, is_locked, listed, standing

_NUMBERS = itertools.count(1)


async def emptied(where: Place) -> None:
    """Register state and outcome again until they read nothing of before: they may get the columns that they had."""
    client, kept = where.attacker.client, [names.ATTRIBUTE_STATE, names.ATTRIBUTE_OUTCOME]
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    for _ in range(8):
        await client.operator_service.remove_search_attributes(
            RemoveSearchAttributesRequest(namespace=client.namespace, search_attributes=kept)
        )
        for name in reversed(kept):
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(namespace=client.namespace, search_attributes={name: keyword})
            )
        with suppress(TimeoutError):
            return await until(lambda: unlisted(where), 15.0)
    pytest.fail("Temporal gave the search attributes the columns that they had, every time")


async def unlisted(where: Place) -> bool:
    """Return True once visibility reads the attributes where they are registered now."""
    return not await listed(where)


async def test_a_deleted_live_gate_does_not_begin_open_although_the_attributes_of_plans_are_gone(dev_server, plan):
    where = await place(dev_server.client, f"attributes{next(_NUMBERS)}", keyring("k"))
    async with where.working():
        await completed(where, plan(step("a", "once", key="a", value=1)))
        document, gate = plan(step("a", "once", key="a", value=1)), LiveGate(where.airlock.client)
        handle = await where.airlock.submit(document)
        status = await awaiting(handle)
        assert (await gate.lock("olga", "stop")).accepted
        await until(lambda: listed(where))
        await emptied(where)
        await where.attacker.delete(names.LIVE_GATE)
        await handle.decide("approve", by="alice", digest=status.digest)
        status = await until(lambda: standing(handle))
        assert status.state is State.LOCKED, status
        assert times(document, "a") == 0


async def test_a_live_gate_begins_locked_where_there_are_more_plans_than_are_read(dev_server, plan, monkeypatch):
    monkeypatch.setattr(earlier_calls, "MAX_READ", 0)
    where = await place(dev_server.client, f"attributes{next(_NUMBERS)}", keyring("k"))
    async with where.working():
        await awaiting(await where.airlock.submit(plan(step("a", "once", key="a", value=1))))
        await until(lambda: started(where))
        await start_live_gate(where.workers, where.policy)
        gate = LiveGate(where.airlock.client)
        await until(lambda: is_locked(gate))
        view = await gate.status()
        assert view is not None
        assert "too many plans" in view.locks[0].reason, view


async def started(where: Place) -> bool:
    """Return True once visibility shows the plan."""
    return (await where.attacker.client.count_workflows(f"WorkflowType = '{names.PLAN_WORKFLOW}'")).count > 0


async def test_a_live_gate_begins_open_after_a_call_that_no_worker_began_in_time(dev_server, plan):
    where = await place(dev_server.client, f"attributes{next(_NUMBERS)}", keyring("k"))
    async with where.working("orchestrate", "rehearse", "entries"):
        handle, gate = await where.airlock.submit(plan(step("a", "once", key="a", value=1))), LiveGate(where.airlock.client)
        await approved(handle)
        view = await until(lambda: ready(gate))
        assert view.locks == (), view
        await handle.workflow.terminate()


async def ready(gate: LiveGate) -> GateView | None:
    view = await gate.status()
    return view if view is not None and view.ready else None
