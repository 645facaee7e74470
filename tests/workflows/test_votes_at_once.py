"""Approvals that arrive at the same moment, where each must be judged by the policy of today: both count."""

import asyncio
import itertools

import pytest

from airlock.client.undo import undo as airlock_undo
from airlock.plans.state import State
from tests.workflows.conftest import awaiting, step
from tests.workflows.protected import keyring, place

_NUMBERS = itertools.count(1)


@pytest.mark.parametrize("of", ["plan", "undo"])
async def test_two_people_who_approve_at_the_same_moment_both_count(dev_server, plan, of):
    """The workers here name no build, so that a plan asks for the policy too, as an undo always does."""
    where = await place(dev_server.client, f"votes{next(_NUMBERS)}", keyring("k"), approvals_required=2)
    document = plan(step("a", "put", key="a", value=1))
    async with where.working():
        handle = await where.airlock.submit(document)
        if of == "undo":
            digest = (await awaiting(handle)).digest
            for name in ("alice", "bob"):
                assert (await handle.decide("approve", by=name, digest=digest)).accepted
            await handle.result()
            handle = await airlock_undo(where.airlock.client, document["plan_id"], by="rita", reason="wrong customer")
        digest = (await handle.wait_for(State.AWAITING_APPROVAL)).digest
    # no worker takes them before both are there
    votes = [asyncio.ensure_future(handle.decide("approve", by=name, digest=digest)) for name in ("alice", "bob")]
    async with where.working():
        said = await asyncio.gather(*votes)
        assert all(each.accepted for each in said), [each.reason for each in said]
        await handle.result()
