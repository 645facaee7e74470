"""Plans whose runs no worker remembers: every workflow task replays the history from its beginning."""

import itertools

import pytest

from airlock.activities.toolbox import Toolbox
from airlock.client import Airlock
from airlock.worker.roles import Limits, build_workers
from tests import running
from tests.workflows.conftest import POLICY, awaiting, catalogue, namespace, step
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)


@pytest.mark.parametrize("way", ["signal", "update"])
@pytest.mark.parametrize("ending", ["completed", "rolled back"])
async def test_a_plan_replays_at_every_task(dev_server, plan, way, ending):
    client = await namespace(dev_server.client, f"uncached{next(_NUMBERS)}")
    workers = build_workers(client, Toolbox(catalogue(), POLICY), limits=Limits(cached_workflows=0))
    document = plan(
        step("a", "put", key="a", value=1),
        step("b", "once", ("a",), key="b", value=2),
        step("mail", "send", ("b",), to="jo"),
    )
    if ending == "rolled back":
        WORLD.trouble[(document["plan_id"], "mail")] = ["fail"]
    async with running.running(workers):
        handle = await Airlock(client).submit(document)
        status = await awaiting(handle)
        if way == "signal":
            await handle.workflow.signal("approve", {"by": "alice", "digest": status.digest})
        else:
            assert (await handle.decide("approve", by="alice", digest=status.digest)).accepted
        result = await handle.result()
    assert result.live == (("a", "b", "mail") if ending == "completed" else ()), result
