"""Activities that no workflow asked for: Temporal lets any client start one on a queue of Airlock's workers."""

import itertools
from datetime import timedelta
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.client import ActivityFailureError, Client
from temporalio.common import RawValue, RetryPolicy

from airlock.base import names
from airlock.temporal.connection import learn_of_server
from tests.workflows.attacker import plain
from tests.workflows.conftest import approved, step
from tests.workflows.protected import Place, keyring, place
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)


async def alone(client: Client, kind: str, activity_id: str, queue: str, given: Payload) -> RawValue | str:
    """Let an honest worker carry out an activity without a workflow, and return its answer, or the type of its failure."""
    handle = await client.start_activity(
        kind, RawValue(given), id=activity_id, task_queue=queue, result_type=RawValue,
        start_to_close_timeout=timedelta(seconds=30), retry_policy=RetryPolicy(maximum_attempts=1),
    )  # fmt: skip
    try:
        return await handle.result()
    except ActivityFailureError as error:
        return getattr(error.cause, "type", "") or type(error.cause).__name__


async def questions(where: Place, workflow_id: str) -> list[Any]:
    """The genuine questions of a run."""
    scheduled = [event.activity_task_scheduled_event_attributes for event in await where.attacker.events(workflow_id)]
    return [each for each in scheduled if each.activity_id]


async def test_no_worker_calls_or_answers_for_an_activity_without_a_workflow(dev_server, plan):
    where = await place(dev_server.client, f"strangers{next(_NUMBERS)}", keyring("k"))
    document = plan(step("mail", "send", to="x"))
    workflow_id = names.plan_workflow_id(document["plan_id"])
    await learn_of_server(where.workers)  # its workers name their setup, so that `prepare` is asked
    async with where.working():
        handle = await where.airlock.submit(document)
        await approved(handle)
        assert (await handle.result()).outcome == "completed"
        asked_before = await questions(where, workflow_id)
        assert {each.activity_type.name for each in asked_before} == {"prepare", "call", "leave"}
        for each in asked_before:
            kind, given = each.activity_type.name, each.input.payloads[0]
            answer = await alone(where.attacker.client, kind, each.activity_id, each.task_queue.name, given)
            assert answer == "NotThePlan", (kind, answer)
        asked = {"holders": [workflow_id], "runs": {}}
        seen = await alone(where.attacker.client, "look", "look:1", names.WORKFLOW_QUEUE, plain(asked))
        assert isinstance(seen, RawValue), seen
        assert "airlock-proof" not in seen.payload.metadata, "a worker vouches for what no run of Airlock asked"
    assert WORLD.attempts[f"{document['plan_id']}/mail"] == 1
