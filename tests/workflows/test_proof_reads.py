"""Reads before a preview, commanded again by a client without keys: the world shows what is read."""

import itertools

from airlock.base import names
from airlock.plans.state import State
from tests.workflows.conftest import awaiting, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.test_read_lane import LANE, calls_of, read_then_put
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)


async def answers(where: Place, workflow_id: str, more_than: int) -> list:
    found = await where.attacker.answers(workflow_id, "read")
    return found if len(found) > more_than else []


async def test_a_locked_plan_reads_nothing_by_a_copy_of_its_command(dev_server, plan):
    where = await place(dev_server.client, f"reads{next(_NUMBERS)}", keyring("k"), **LANE)
    document = read_then_put(plan)
    workflow_id = names.plan_workflow_id(document["plan_id"])
    async with where.working():
        handle = await where.airlock.submit(document)
        await awaiting(handle)
        assert (await handle.decide("lock", by="olga", reason="stop")).accepted
        await handle.wait_for(State.LOCKED)
    scheduled = [event.activity_task_scheduled_event_attributes for event in await where.attacker.events(workflow_id)]
    (question,) = [each.input for each in scheduled if each.activity_type.name == "read"]
    run = where.attacker.client.get_workflow_handle(workflow_id)
    await run.signal("lock", {"by": "mallory", "reason": "wake up"})
    await where.attacker.command(names.WORKFLOW_QUEUE, "read:1", "read", question, names.LIVE_QUEUE, of=workflow_id)
    async with where.working("live", "orchestrate"):  # the gates answer; the history of this run fits no worker any more
        said = await until(lambda: answers(where, workflow_id, 1))
    await run.terminate()
    assert calls_of(document, "see") == 1, said[-1].data
    assert WORLD.state[document["plan_id"]].get("copy") is None


async def test_a_budget_counts_each_time_that_a_client_lets_a_read_be_made(dev_server, plan):
    """Temporal gives a read whose attempt failed to a worker again, and believes any client that says it failed."""
    agents = {"*": {"permissions": ["*"], "budget": {"live_calls": 2, "per": "24h"}}}
    where = await place(dev_server.client, f"reads{next(_NUMBERS)}", keyring("k"), agents=agents, **LANE)
    document = plan(step("see", "look", key="k"))
    place_of_call, workflow_id = (document["plan_id"], "see"), names.plan_workflow_id(document["plan_id"])
    hold = WORLD.hold(*place_of_call)
    async with where.working():
        handle = await where.airlock.submit(document)
        for times in (1, 2):
            await until(lambda times=times: calls_of(document, "see") == times)
            await where.attacker.fail_by_id(workflow_id, "read:1")

        async def refused_or_read_again():
            entries = (await handle.audit()).entries
            return calls_of(document, "see") > 2 or [entry.reason for entry in entries if entry.what == "not_read"]

        said = await until(refused_or_read_again)
        hold.set()
        await handle.workflow.terminate()
    assert calls_of(document, "see") == 2, said
    assert "3 live calls within 24h, 2 are allowed" in said[0]
