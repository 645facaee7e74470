"""A worker that is lost while it asks the gates for a run that was stopped meanwhile."""

import asyncio
import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from airlock.activities import options
from airlock.base import names
from airlock.plans.state import State
from tests.replay.replay import replayer
from tests.workflows.conftest import approved, step
from tests.workflows.protected import keyring, place
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)


async def test_a_plan_that_is_locked_while_its_worker_is_lost_at_the_gates_goes_on(dev_server, plan):
    """Temporal makes no other attempt at an activity whose cancellation was asked for: the run asks once more."""
    where = await place(dev_server.client, f"entry{next(_NUMBERS)}", keyring("k"))
    # first calls side by side: the run asks the gates alone
    document = plan(step("a", "once", key="a", value=1), step("b", "once", key="b", value=2))
    async with where.working("orchestrate", "rehearse"):
        handle = await where.airlock.submit(document)
        await approved(handle)
        await where.attacker.take(names.PERMIT_QUEUE, "acquire")  # and then nothing is heard of that worker
        assert (await handle.decide("lock", by="olga", reason="stop")).accepted
        async with where.working("live"):
            await handle.wait_for(State.LOCKED)
            assert (await handle.decide("unlock", by="olga", reason="go on")).accepted
            await approved(handle)
            assert (await handle.result()).outcome == "completed"
    assert [WORLD.attempts[f"{document['plan_id']}/{name}"] for name in "ab"] == [1, 1]


@pytest.mark.parametrize("how", ["lost", "failed"])
async def test_a_plan_that_is_stopped_as_the_only_live_worker_goes_ends(dev_server, plan, how, monkeypatch):
    """No live worker comes back: what the gates gave is asked for without one."""
    if how == "failed":  # a busy machine takes its time, which is no loss of that worker
        monkeypatch.setattr(options, "ACQUIRE", replace(options.ACQUIRE, heartbeat=timedelta(minutes=2)))
    where = await place(dev_server.client, f"entry{next(_NUMBERS)}", keyring("k"))
    document = plan(step("a", "once", key="a", value=1), step("b", "once", key="b", value=2))
    async with where.working("orchestrate", "rehearse"):
        handle = await where.airlock.submit(document)
        await approved(handle)
        task = await where.attacker.take(names.PERMIT_QUEUE, "acquire")
        assert (await handle.decide("rollback", by="olga", reason="stop")).accepted
        if how == "failed":
            await where.attacker.fail(task, "Interrupted")
        assert (await asyncio.wait_for(handle.result(), 120)).outcome == "aborted"
        await replayer().replay_workflow(await handle.workflow.fetch_history())
    assert [WORLD.attempts[f"{document['plan_id']}/{name}"] for name in "ab"] == [0, 0]
