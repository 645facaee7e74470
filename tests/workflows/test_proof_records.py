"""Records of chains of calls that an attacker sets back: what was made is read from the world."""

import asyncio
import itertools
from contextlib import suppress
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.service import RPCError

from airlock.base import names
from airlock.client.undo import undo as airlock_undo
from airlock.plans.state import State
from tests.workflows.conftest import step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.test_proof_calls import running, times
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)


async def overwriting(where: Place, workflow_id: str, activity_id: str, record: Payload | None) -> None:
    """Overwrite what an activity has recorded, again and again, until it has ended."""
    while await where.attacker.heartbeat_by_id(workflow_id, activity_id, record):  # noqa: ASYNC110  # only Temporal knows
        await asyncio.sleep(0.02)


async def recorded(where: Place, workflow_id: str) -> Payload | None:
    """The record that Temporal holds of the activity that is under way, which every client can read."""
    found = await where.attacker.client.get_workflow_handle(workflow_id).describe()
    for pending in found.raw_description.pending_activities:
        if pending.heartbeat_details.payloads:
            return pending.heartbeat_details.payloads[0]
    return None


CHAIN = (
    step("a", "once", key="a", value=1),
    step("b", "once", ("a",), key="b", value=1),
    step("c", "once", ("b",), key="c", value=1),
)


async def chain_in_its_last_call(where: Place, document: dict[str, Any], *, kept: bool) -> tuple[Any, Any, Payload | None]:
    """A plan whose chain is in its last call, the event that ends it, and its record before the first call had ended."""
    workflow_id = names.plan_workflow_id(document["plan_id"])
    first, last = WORLD.hold(document["plan_id"], "a"), WORLD.hold(document["plan_id"], "c")
    handle, _ = await running(where, document, "a")
    older = await until(lambda: recorded(where, workflow_id)) if kept else None
    first.set()
    await until(lambda: (document["plan_id"], "c") in WORLD.running)
    return handle, last, older


@pytest.mark.parametrize("kept", [True, False], ids=["set back", "emptied"])
async def test_an_older_record_of_a_chain_hides_no_call(dev_server, plan, kept):
    """The first call is the only one that the plan knows of then: once it is settled, the plan ends as if it were all."""
    where = await place(dev_server.client, f"records{next(_NUMBERS)}", keyring("k"))
    document = plan(*CHAIN)
    workflow_id = names.plan_workflow_id(document["plan_id"])
    run = where.attacker.client.get_workflow_handle(workflow_id)
    async with where.working():
        handle, hold, older = await chain_in_its_last_call(where, document, kept=kept)
        overwrite = asyncio.create_task(overwriting(where, workflow_id, "a:live", older))
        await run.signal("lock", {"by": "mallory", "reason": "mine"})
        await where.attacker.change_options(workflow_id, "a:live", seconds=1, attempts=1)
        await overwrite
        for _ in range(50):  # before its worker has noticed
            with suppress(RPCError):  # the plan has ended
                said = {"by": "mallory", "step": "a", "outcome": "did_not_happen", "reason": "mine"}
                await run.signal("resolve", said)
                await run.signal("abort", {"by": "mallory", "reason": "mine"})
            await asyncio.sleep(0.02)
        status = await until(lambda: standing(handle))
        hold.set()
        await until(lambda: not WORLD.running)
        told = {each.id: each.status for each in status.steps}
        # a worker that is slow to notice may have recorded the second call once more: then it is known, and not hidden
        assert (told["b"] in ("in_doubt", "live"), told["c"]) == (True, "in_doubt"), told
    assert [times(document, name) for name in "abc"] == [1, 1, 1]


async def standing(handle: Any) -> Any:
    status = await handle.status()
    return status if not status.in_flight and (status.parked or status.state.closed) else None


async def test_an_older_record_of_a_chain_hides_no_call_from_the_undo_of_its_plan(dev_server, plan):
    where = await place(dev_server.client, f"records{next(_NUMBERS)}", keyring("k"))
    document = plan(*CHAIN)
    workflow_id = names.plan_workflow_id(document["plan_id"])
    run = where.attacker.client.get_workflow_handle(workflow_id)
    async with where.working():
        _, hold, _ = await chain_in_its_last_call(where, document, kept=False)
        overwrite = asyncio.create_task(overwriting(where, workflow_id, "a:live", None))
        await where.attacker.change_options(workflow_id, "a:live", seconds=1, attempts=1)
        await overwrite
        await run.terminate("mine")
        hold.set()
        await until(lambda: not WORLD.running)
        undo = await airlock_undo(where.airlock.client, document["plan_id"], by="rita", reason="what was it?")
        status = await undo.wait_for(State.AWAITING_APPROVAL, State.LOCKED, State.ABORTED)
        assert {each.id: each.status for each in status.steps} == dict.fromkeys("abc", "in_doubt"), status
        await undo.workflow.terminate()
