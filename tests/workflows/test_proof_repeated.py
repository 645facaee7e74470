"""Calls that a client commands again in a history, so that a run after a reset believes that nothing was made."""

import itertools
import json
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.history.v1 import HistoryEvent

from airlock.base import names
from airlock.plans.state import State
from tests.workflows.attacker import JUNK, plain, wrapped
from tests.workflows.attacker_starts import finished_tasks, set_back
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)
_QUEUE = "mallory"


def is_call(event: HistoryEvent) -> bool:
    return event.activity_task_scheduled_event_attributes.activity_type.name == "call"


async def asked(where: Place, workflow_id: str) -> list[HistoryEvent]:
    return [event for event in await where.attacker.events(workflow_id) if is_call(event)]


async def stale_once(where: Place, document: dict[str, Any]) -> tuple[Any, Payloads, Payloads]:
    """A plan that waits again after its call was stale, with the question and the answer of that call."""
    workflow_id = names.plan_workflow_id(document["plan_id"])
    WORLD.trouble[(document["plan_id"], "a")] = ["stale"]
    async with where.working():
        handle = await where.airlock.submit(document)
        await approved(handle)
        (first,) = await until(lambda: asked(where, workflow_id))
        await until(lambda: _waits(handle))
    (answer,) = await where.attacker.answers(workflow_id, "call")
    return handle, first.activity_task_scheduled_event_attributes.input, wrapped(answer)


async def _waits(handle: Any) -> bool:
    return (await handle.status()).state is State.AWAITING_APPROVAL


def invented(question: Payloads) -> Payloads:
    """The question about a call that only reads, whose loss would leave no doubt."""
    chain = json.loads(question.payloads[0].data)
    for call in chain["calls"]:
        call["contract"] |= {"reversibility": "read_only", "risk": "LOW", "has_compensate": False}
    return wrapped(plain(chain))


@pytest.mark.parametrize("how", ["nothing", "copied", "invented"])
async def test_a_call_commanded_by_a_client_does_not_hide_the_one_that_was_made(dev_server, plan, how):
    where = await place(dev_server.client, f"repeated{next(_NUMBERS)}", keyring("k"))
    document = plan(step("a", "once", key="a", value=1))
    plan_id, workflow_id = document["plan_id"], names.plan_workflow_id(document["plan_id"])
    handle, question, answer = await stale_once(where, document)
    async with where.working("orchestrate", "rehearse", "entries"):
        await approved(handle)
        await until(lambda: _asked_three_times(where, workflow_id))
    hold = WORLD.hold(plan_id, "a")
    async with where.working("live"):
        await until(lambda: (plan_id, "a") in WORLD.running)
        await where.attacker.complete_by_id(workflow_id, "a:live", JUNK)
        if how != "nothing":
            told = question if how == "copied" else invented(question)
            await where.attacker.command(names.WORKFLOW_QUEUE, "a:live", "call", told, _QUEUE, of=workflow_id)
            said: Payload = answer.payloads[0]
            await where.attacker.complete(await where.attacker.take(_QUEUE, "call"), said)
        hold.set()
        await until(lambda: not WORLD.running)
    made = WORLD.attempts[f"{plan_id}/a"]
    found = await where.attacker.events(workflow_id)
    await set_back(where.attacker.client, workflow_id, finished_tasks(found)[0], forget=True)
    async with where.working():
        await awaiting(handle)
        await approved(handle)
        status = await handle.wait_for(State.LOCKED)
        assert status.parked == ("a",), status
    assert WORLD.attempts[f"{plan_id}/a"] == made == 2, "the stale attempt and the one that was made"


async def _asked_three_times(where: Place, workflow_id: str) -> bool:
    """Return True if a run was let into LIVE after no worker took the call that was to enter by itself."""
    return len(await asked(where, workflow_id)) == 3
