"""Copies of genuine calls, commanded by a client without keys after the plan has left LIVE: the world shows what is made."""

import itertools
from typing import Any

import pytest
from temporalio.api.common.v1 import Payloads

from airlock.base import names
from airlock.plans.state import State
from tests.workflows.conftest import approved, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.test_proof_repeated import is_call
from tests.workflows.test_proof_undo import half_rolled_back
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)


async def asked(where: Place, workflow_id: str) -> dict[str, Payloads]:
    """The inputs of the calls of a run, by activity id."""
    events = await where.attacker.events(workflow_id)
    scheduled = [event.activity_task_scheduled_event_attributes for event in events]
    return {each.activity_id: each.input for each in scheduled if each.activity_type.name == "call"}


async def answers(where: Place, workflow_id: str, more_than: int) -> list[Any]:
    found = await where.attacker.answers(workflow_id, "call")
    return found if len(found) > more_than else []


async def commanded_again(where: Place, workflow_id: str, question: Payloads) -> bytes:
    """Command a copy of a call, let an honest live worker carry it out, and return its answer."""
    before = len(await where.attacker.answers(workflow_id, "call"))
    run = where.attacker.client.get_workflow_handle(workflow_id)
    await run.signal("lock", {"by": "mallory", "reason": "wake up"})
    await where.attacker.command(names.WORKFLOW_QUEUE, "a:live", "call", question, names.LIVE_QUEUE, of=workflow_id)
    async with where.working("live", "orchestrate"):  # the gates answer; the history of this run fits no worker any more
        said = await until(lambda: answers(where, workflow_id, before))
    await run.terminate()
    return said[-1].data


async def test_a_call_that_was_undone_is_not_made_again_by_a_copy_of_its_command(dev_server, plan):
    """`put` may be tried several times: a second command of it is no evidence of an attack, unless it was undone."""
    where = await place(dev_server.client, f"more{next(_NUMBERS)}", keyring("k"))
    document = plan(
        step("a", "put", key="a", value=1), step("x", "put", key="x", value=1), step("z", "linger", ("a", "x"), key="z")
    )
    plan_id, workflow_id = document["plan_id"], names.plan_workflow_id(document["plan_id"])
    question = (await half_rolled_back(where, document))["a:live"]
    made = WORLD.attempts[f"{plan_id}/a"]
    assert "a" not in WORLD.state[plan_id]
    said = await commanded_again(where, workflow_id, question)
    assert WORLD.attempts[f"{plan_id}/a"] == made == 1, said
    assert "a" not in WORLD.state[plan_id], said


@pytest.mark.parametrize("entered", [True, False])
async def test_a_call_that_a_lock_took_back_is_not_made_by_a_copy_of_its_command(dev_server, plan, entered):
    """No worker had begun it when the plan was locked, so that no earlier command may have made it."""
    where = await place(dev_server.client, f"more{next(_NUMBERS)}", keyring("k"))
    document = plan(step("a", "once", key="a", value=1))
    plan_id, workflow_id = document["plan_id"], names.plan_workflow_id(document["plan_id"])
    async with where.working("orchestrate", "rehearse", "entries"):
        handle = await where.airlock.submit(document)
        await approved(handle)
        if entered:  # no worker takes the call that is to enter by itself, so that the run enters alone
            await until(lambda: where.attacker.answers(workflow_id, "acquire"))
            await until(lambda: _asked_again(where, workflow_id))
        question = (await until(lambda: asked(where, workflow_id)))["a:live"]
        assert (await handle.decide("lock", by="olga", reason="stop")).accepted
        await handle.wait_for(State.LOCKED)
        if entered:
            await until(lambda: where.attacker.answers(workflow_id, "leave"))
    said = await commanded_again(where, workflow_id, question)
    assert WORLD.attempts[f"{plan_id}/a"] == 0, said


async def _asked_again(where: Place, workflow_id: str) -> bool:
    return sum(is_call(event) for event in await where.attacker.events(workflow_id)) == 2
