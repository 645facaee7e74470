"""The activity that admits and rehearses a plan at once: an answer that a client gives in its place is not believed."""

import itertools

import pytest

from airlock.base import names
from airlock.run.audit import AuditKind
from airlock.temporal.connection import learn_of_server
from tests.workflows.attacker import JUNK, made_checked
from tests.workflows.conftest import approved, awaiting, step
from tests.workflows.protected import keyring, place
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)


@pytest.mark.parametrize("lie", ["nothing", "junk", "copied", "copied and marked"])
async def test_an_admission_and_a_preview_that_a_client_answers_are_asked_for_again(dev_server, plan, lie):
    where = await place(dev_server.client, f"prepare{next(_NUMBERS)}", keyring("k"))
    await learn_of_server(where.workers)  # its workers name their setup, so that new plans take the short path
    other, document = plan(step("a", "put", key="other", value=1)), plan(step("a", "once", key="mine", value=1))
    workflow_id = names.plan_workflow_id(document["plan_id"])
    async with where.working():
        await awaiting(await where.airlock.submit(other))
        genuine = (await where.attacker.answers(names.plan_workflow_id(other["plan_id"]), "prepare"))[0]
        where.holding.hold("prepare")
        handle = await where.airlock.submit(document)
        await where.holding.begun("prepare")
        (question,) = [
            event.activity_task_scheduled_event_attributes.input.payloads[0]
            for event in await where.attacker.events(workflow_id)
            if event.HasField("activity_task_scheduled_event_attributes")
        ]
        answers = {"nothing": None, "junk": JUNK, "copied": genuine, "copied and marked": made_checked(genuine, question)}
        await where.answered_for("prepare", answers[lie])
        await awaiting(handle)
        (sealed,) = (await handle.preview()).sealed.steps
        assert (sealed.tool, sealed.args["key"], sealed.preview.effect) == ("once", "mine", "set mine once")
        refused = [entry.what for entry in (await handle.audit()).entries if entry.kind is AuditKind.REFUSED]
        assert refused == ["forged answer"]
        await approved(handle)
        assert (await handle.result()).outcome == "completed"
    assert WORLD.attempts[f"{document['plan_id']}/a"] == 1
