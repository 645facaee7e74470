"""A cancelled workflow whose policy has rules about who rolls back: any client can cancel it, and it undoes nothing."""

import asyncio
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType

from airlock.client import Airlock, PlanHandle
from airlock.client.plan_history import read_plan
from airlock.export.authority_check import authority_faults
from airlock.plans.state import State
from airlock.run.audit import AuditKind
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.demanded_signatures import ALICE, BOB, KEYS, SIGNED, approve, replays, run_id_of, say
from tests.workflows.world import WORLD

_RULES: dict[str, dict[str, Any]] = {
    "evidence": {"evidence": "signed"},
    "role": {"roles": ["operator"]},
    "two people": {"people": 2},
    "not the requester": {"not_requester": True},
    "by risk": {"by_risk": {"MEDIUM": {"evidence": "ssh"}}},
}


def two_steps(plan: Any) -> dict[str, Any]:
    return plan(step("one", "put", key="a", value=1), step("two", "put", ("one",), key="b", value=2))


async def in_a_call(airlock: Airlock, plan: Any) -> tuple[PlanHandle, asyncio.Event]:
    """Return an approved plan whose second call runs and waits, and what lets it go on."""
    document = two_steps(plan)
    hold = WORLD.hold(document["plan_id"], "two")
    handle = await airlock.submit(document)
    assert (await approve(handle)).accepted
    await until(lambda: (handle.plan_id, "two") in WORLD.running)
    return handle, hold


async def cancelled_in_a_call(handle: PlanHandle) -> Any:
    """Cancel the workflow of a plan while its second call runs, and return the status in which it stops."""
    await until(lambda: (handle.plan_id, "two") in WORLD.running)
    await handle.workflow.cancel()
    await until(lambda: _heeded(handle))
    WORLD.release()
    return await until(lambda: _stopped(handle))


async def _heeded(handle: PlanHandle) -> bool:
    status = await handle.status()
    return status.refused > 0 or status.state in (State.ROLLBACK, State.ABORTED)


async def _stopped(handle: PlanHandle) -> Any:
    status = await handle.status()
    return status if not status.in_flight and (status.state is State.LOCKED or status.state.closed) else None


@pytest.mark.parametrize("then", ["rollback", "unlock"])
async def test_a_client_that_cancels_undoes_nothing_where_a_rollback_must_be_signed(airlock_with, plan, then):
    airlock = await airlock_with(**SIGNED)
    document = two_steps(plan)
    WORLD.hold(document["plan_id"], "two")
    handle = await airlock.submit(document)
    assert (await approve(handle)).accepted
    status = await cancelled_in_a_call(handle)
    assert status.state is State.LOCKED, status
    assert [each.status for each in status.steps] == ["live", "live"]
    assert WORLD.state[handle.plan_id] == {"a": 1, "b": 2}
    (refused,) = [entry for entry in (await handle.audit()).entries if entry.kind is AuditKind.REFUSED]
    assert (refused.what, refused.by) == ("rollback", "temporal")
    assert "a rollback needs a decision signed with an SSH key" in refused.reason
    # people with keys decide as ever
    assert (await say(handle, then, BOB)).accepted
    if then == "rollback":
        result = await asyncio.wait_for(handle.result(), 60)
        assert (result.outcome, result.undone) == ("aborted", ("one", "two"))
    else:
        result = await asyncio.wait_for(handle.result(), 60)
        assert (result.outcome, result.live) == ("completed", ("one", "two"))
    await replays(handle.workflow_client, handle.workflow.id)
    notes: list[str] = []
    record = (await read_plan(airlock.client, handle.workflow.id, await run_id_of(handle))).record
    assert list(authority_faults(record, notes)) == notes == []


async def test_calls_go_on_after_a_cancellation_that_people_overruled(airlock_with, plan):
    airlock = await airlock_with(**SIGNED)
    document = two_steps(plan)
    document["steps"].append(step("three", "put", ("two",), key="c", value=3))
    WORLD.hold(document["plan_id"], "two")
    handle = await airlock.submit(document)
    assert (await approve(handle)).accepted
    await cancelled_in_a_call(handle)
    assert (await say(handle, "unlock", BOB)).accepted
    assert (await approve(handle, ALICE)).accepted
    result = await asyncio.wait_for(handle.result(), 60)
    assert (result.outcome, result.live) == ("completed", ("one", "two", "three"))
    assert all(WORLD.effects[f"{handle.plan_id}/{name}"] == 1 for name in ("one", "two", "three"))


@pytest.mark.parametrize("rule", _RULES)
async def test_every_rule_about_a_rollback_keeps_a_cancellation_from_being_one(airlock_with, plan, rule):
    airlock = await airlock_with(**KEYS, roles={"operator": ["olga"]}, decisions={"rollback": _RULES[rule]})
    document = two_steps(plan)
    WORLD.hold(document["plan_id"], "two")
    handle = await airlock.submit(document)
    await approved(handle)
    status = await cancelled_in_a_call(handle)
    assert status.state is State.LOCKED, status
    assert WORLD.state[handle.plan_id] == {"a": 1, "b": 2}


async def test_a_cancellation_lifts_no_lock(airlock_with, plan):
    handle, hold = await in_a_call(await airlock_with(**SIGNED), plan)
    assert (await say(handle, "lock")).accepted
    hold.set()
    await until(lambda: _stopped(handle))
    await handle.workflow.cancel()
    await until(lambda: _heeded(handle))
    status = await handle.status()
    assert (status.state, WORLD.state[handle.plan_id]) == (State.LOCKED, {"a": 1, "b": 2})


async def test_a_cancellation_changes_nothing_while_people_roll_back(airlock_with, plan):
    handle, hold = await in_a_call(await airlock_with(**SIGNED), plan)
    assert (await say(handle, "rollback", BOB)).accepted
    await handle.workflow.cancel()
    await until(lambda: _answered(handle))
    hold.set()
    result = await asyncio.wait_for(handle.result(), 60)
    assert (result.outcome, result.undone) == ("aborted", ("one", "two"))
    assert [entry for entry in (await handle.audit()).entries if entry.kind is AuditKind.REFUSED] == []


async def _answered(handle: PlanHandle) -> bool:
    """Return True once a worker has carried out the workflow task that told of the cancellation."""
    kinds = [event.event_type async for event in handle.workflow.fetch_history_events()]
    asked = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED
    return asked in kinds and EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED in kinds[kinds.index(asked) :]


async def test_a_plan_of_which_nothing_is_live_is_still_ended_by_a_cancellation(airlock_with, plan):
    airlock = await airlock_with(**SIGNED)
    handle = await airlock.submit(two_steps(plan))
    await awaiting(handle)
    await handle.workflow.cancel()
    assert (await asyncio.wait_for(handle.result(), 60)).outcome == "aborted"
