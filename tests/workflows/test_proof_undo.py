"""Compensations that a client without keys commands by a workflow task that it takes: the world shows what was undone."""

import itertools
import json

import pytest

from airlock.base import names
from airlock.base.keyring import Keyring
from airlock.plans.state import State
from tests.workflows.attacker import plain, wrapped
from tests.workflows.conftest import approved, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)


def undone(plan_id: str, step_id: str) -> int:
    return WORLD.log.count(("undo", plan_id, step_id))


async def half_rolled_back(where: Place, document: dict) -> dict:
    """Return the inputs of all activities by id, of a plan that undid `a` and waits because `x` cannot be undone."""
    plan_id, workflow_id = document["plan_id"], names.plan_workflow_id(document["plan_id"])
    WORLD.undo_trouble[(plan_id, "x")] = 1_000
    hold = WORLD.hold(plan_id, "z")
    async with where.working():
        handle = await where.airlock.submit(document)
        await approved(handle)
        await until(lambda: (plan_id, "z") in WORLD.running)
        assert (await handle.decide("rollback", by="olga", reason="wrong customer")).accepted
        hold.set()
        await handle.wait_for(State.LOCKED)
        await until(lambda: undone(plan_id, "a") == 1)
        status = await until(lambda: _parked(handle))
        assert status.parked == ("x",)
    events = await where.attacker.events(workflow_id)
    asked = [event.activity_task_scheduled_event_attributes for event in events]
    return {each.activity_id: each.input for each in asked if each.activity_id}


async def _parked(handle):
    status = await handle.status()
    return status if status.state is State.LOCKED and status.parked and not status.in_flight else None


@pytest.mark.parametrize(
    ("keys", "kind", "times"),
    [
        (keyring("k"), "copied", 1),
        (keyring("k"), "invented", 1),
        (keyring("k"), "left behind", 1),
        (Keyring(), "invented", 2),  # what the keys are for
    ],
    ids=["copied, keys", "invented, keys", "invented with a genuine question as heartbeat, keys", "invented, no keys"],
)
async def test_an_undo_that_no_run_asked_for_is_not_made(dev_server, plan, keys, kind, times):
    where = await place(dev_server.client, f"undo-guard-{next(_NUMBERS)}", keys)
    document = plan(
        step("a", "once", key="a", value=1), step("x", "put", key="x", value=1), step("z", "linger", ("a", "x"), key="z")
    )
    plan_id, workflow_id = document["plan_id"], names.plan_workflow_id(document["plan_id"])
    inputs = await half_rolled_back(where, document)
    (activity_id,) = [each for each in inputs if (each.startswith("a:") and "undo" in each) or each == "a:compensate"]
    genuine = question = inputs[activity_id]
    if kind != "copied":
        question = wrapped(plain(json.loads(question.payloads[0].data)))
    run = where.attacker.client.get_workflow_handle(workflow_id)
    await run.signal("lock", {"by": "mallory", "reason": "wake up"})
    await where.attacker.command(
        names.WORKFLOW_QUEUE, activity_id, "compensate", question, names.UNDO_QUEUE, of=workflow_id, attempts=3
    )
    if kind == "left behind":
        await where.attacker.leave_behind(await where.attacker.take(names.UNDO_QUEUE, "compensate"), genuine)
    async with where.working("live"):
        answers = await until(lambda: _answers(where, workflow_id, 2))
        said = json.loads(answers[-1].data)
        assert undone(plan_id, "a") == times, said
        if times == 1:
            expected = "asked before" if kind == "copied" else "carries no proof"
            assert said["kind"] == "undo_failed", said
            assert expected in said["error"]
    await run.terminate()


async def _answers(where: Place, workflow_id: str, number: int):
    found = [each for each in await where.attacker.answers(workflow_id, "compensate") if b'"step":"a"' in each.data]
    return found if len(found) >= number else []
