"""Runs that an attacker begins with a copied or an invented state: none of them calls anything. Effects are counted."""

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic_core import from_json
from temporalio.api.common.v1 import Payload

from airlock.base import names
from airlock.base.keyring import Keyring
from airlock.plans.state import State
from airlock.workflows import plan_stages
from airlock.workflows.history_budget import HistoryBudget
from airlock.workflows.origin import NO_CRON
from tests.workflows.attacker import plain
from tests.workflows.attacker_starts import (
    STARTS,
    by_a_changeling,
    ended,
    finished_tasks,
    history,
    latest_run,
    set_back,
    with_a_cron_schedule,
    with_a_retry_policy,
)
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)
SHORT = HistoryBudget(events=13)
"""A plan that is approved continues as new in LIVE, before it makes its first call."""


@pytest.fixture
async def made_place(dev_server) -> Callable[..., Awaitable[Place]]:
    async def make(keys: Keyring, **policy: object) -> Place:
        return await place(dev_server.client, f"origin{next(_NUMBERS)}", keys, **policy)

    return make


def made(document: dict[str, Any], step_id: str = "a") -> int:
    return WORLD.attempts[f"{document['plan_id']}/{step_id}"]


async def carried_live(where: Place, document: dict[str, Any]) -> Payload:
    """Carry out a plan whose run continues as new in LIVE, and return what it carried there."""
    handle = await where.airlock.submit(document)
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    client, run_id = where.attacker.client, await latest_run(where.attacker.client, handle.workflow.id)
    while run_id:
        events = await history(client, handle.workflow.id, run_id)
        started = events[0].workflow_execution_started_event_attributes
        (payload,) = started.input.payloads
        run = from_json(payload.data).get("run") or {}
        if run.get("state") == "LIVE" and not run["calls"]:
            return payload
        run_id = started.continued_execution_run_id
    raise AssertionError("no run went on in LIVE before its first call")


async def failures(where: Place, workflow_id: str) -> list[str]:
    """Return why the runs failed that were begun under an id, or under ids that begin with it."""
    client, found = where.attacker.client, []
    async for run in client.list_workflows(f"WorkflowId STARTS_WITH '{workflow_id}'"):
        events = await history(client, run.id, run.run_id)
        found.append(events[-1].workflow_execution_failed_event_attributes.failure.message)
    return [message for message in found if message]


@pytest.mark.parametrize("kind", STARTS)
async def test_a_copied_live_run_makes_no_call_however_it_is_started(made_place, plan, monkeypatch, kind):
    monkeypatch.setattr(plan_stages, "HISTORY", SHORT)
    where = await made_place(keyring("k"))
    document = plan(step("a", "once", key="a", value=1))
    workflow_id, client = names.plan_workflow_id(document["plan_id"]), where.attacker.client
    async with where.working():
        payload = await carried_live(where, document)
        assert payload.metadata["airlock-proof"]
        assert made(document) == 1
        await STARTS[kind](client, names.PLAN_WORKFLOW, workflow_id, payload)
        why = NO_CRON if kind in ("cron", "retry policy") else "run: "
        found = await until(lambda: failures(where, workflow_id))
        assert len(found) >= (3 if kind == "cron" else 1)
        assert all(why in message for message in found), found
        await ended(client, workflow_id)
        # a plan of its own afterwards shows that the workers had the time to call
        await carried_live(where, plan(step("b", "once", key="b", value=1)))
    assert made(document) == 1


async def test_without_keys_an_attackers_own_worker_hands_a_live_run_in_which_is_what_the_keys_are_for(
    made_place, plan, monkeypatch
):
    monkeypatch.setattr(plan_stages, "HISTORY", SHORT)
    where = await made_place(Keyring())
    document = plan(step("a", "once", key="a", value=1))
    workflow_id = names.plan_workflow_id(document["plan_id"])
    async with where.working():
        payload = await carried_live(where, document)
        await by_a_changeling(where.attacker.client, names.PLAN_WORKFLOW, workflow_id, payload)
        await until(lambda: made(document) == 2)


@pytest.mark.parametrize("keys", [keyring("k"), Keyring()], ids=["keys", "no keys"])
@pytest.mark.parametrize("start", [with_a_cron_schedule, with_a_retry_policy])
async def test_a_plan_takes_no_cron_schedule_and_no_retry_policy(made_place, plan, keys, start):
    where = await made_place(keys)
    document = plan(step("a", "once", key="a", value=1))
    workflow_id, client = names.plan_workflow_id(document["plan_id"]), where.attacker.client
    async with where.working():
        await start(client, names.PLAN_WORKFLOW, workflow_id, plain({"plan": document}))
        found = await until(lambda: failures(where, workflow_id))
        assert all(NO_CRON in message for message in found), found
        await ended(client, workflow_id)
        for run in [run async for run in client.list_workflows(f"WorkflowId = '{workflow_id}'")]:
            events = await history(client, workflow_id, run.run_id)
            assert not any(event.HasField("activity_task_scheduled_event_attributes") for event in events)


@pytest.mark.parametrize("keys", [keyring("k"), Keyring()], ids=["keys", "no keys"])
@pytest.mark.parametrize("point", [0, -1], ids=["first task", "last task"])
async def test_a_continued_live_run_that_is_reset_asks_again_before_it_calls(made_place, plan, monkeypatch, keys, point):
    monkeypatch.setattr(plan_stages, "HISTORY", SHORT)
    where = await made_place(keys)
    document = plan(step("a", "put", key="a", value=1))
    workflow_id, client = names.plan_workflow_id(document["plan_id"]), where.attacker.client
    async with where.working("orchestrate", "rehearse", "entries"):  # nothing makes live calls: the call waits
        handle = await where.airlock.submit(document)
        await approved(handle)
        await until(lambda: _call_waits(where, workflow_id))
        events = await history(client, workflow_id)
        assert events[0].workflow_execution_started_event_attributes.continued_execution_run_id
        await set_back(client, workflow_id, finished_tasks(events)[point], forget=True)
        status = await awaiting(handle)
        assert status.state is State.AWAITING_APPROVAL
        assert not await _call_waits(where, workflow_id)
    assert made(document) == 0
    async with where.working():
        # a plan of its own shows that the live worker had the time to call
        await carried_live(where, plan(step("b", "once", key="b", value=1)))
        assert (await handle.status()).state is State.AWAITING_APPROVAL
    assert made(document) == 0


async def _call_waits(where: Place, workflow_id: str) -> bool:
    found = await where.attacker.client.get_workflow_handle(workflow_id).describe()
    return any(each.activity_type.name == "call" for each in found.raw_description.pending_activities)
