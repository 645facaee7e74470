"""A genuine signed approval that is sent again after a reset, as every client can: it lets nothing be called twice."""

import asyncio
import itertools
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from airlock.base import names
from airlock.base.keys import read_private_key
from airlock.client import PlanHandle
from airlock.plans.state import State
from airlock.run.decisions.signature import sign
from airlock.run.messages import Approve
from tests.workflows.attacker_starts import finished_tasks, history, set_back
from tests.workflows.conftest import awaiting, step, until
from tests.workflows.protected import keyring, place
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)
_KEY = Ed25519PrivateKey.generate()
PRIVATE = _KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
PUBLIC = _KEY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " alice"


def signed(plan_id: str, digest: str) -> dict[str, Any]:
    said = Approve(by="alice", digest=digest)
    return {"by": "alice", "digest": digest, "signature": sign(read_private_key(PRIVATE), plan_id, said, digest)}


def made(plan_id: str) -> int:
    return sum(what == "live" and plan == plan_id for what, plan, _ in WORLD.log)


async def approved_and_rolled_back(handle: PlanHandle) -> dict[str, Any]:
    """Approve a plan of two calls with a signature, roll it back during the second, and return that approval."""
    hold = WORLD.hold(handle.plan_id, "b")
    said = signed(handle.plan_id, (await awaiting(handle)).digest)
    assert (await handle.decide("approve", **said)).accepted
    await until(lambda: (handle.plan_id, "b") in WORLD.running)
    assert (await handle.decide("rollback", by="olga", reason="wrong customer")).accepted
    hold.set()
    assert (await handle.result()).undone == ("a", "b")
    return said


@pytest.mark.parametrize("point", ["before the seal", "before the approval"])
@pytest.mark.parametrize("tool", ["once", "put"])
async def test_a_signed_approval_does_not_count_again_after_a_reset(dev_server, plan, tool, point):
    where = await place(
        dev_server.client, f"replayed{next(_NUMBERS)}", keyring("k"), signature_required="always", authorized_keys=[PUBLIC]
    )
    document = plan(step("a", tool, key="a", value=1), step("b", "linger", ("a",), key="b", value=2))
    plan_id, workflow_id = document["plan_id"], names.plan_workflow_id(document["plan_id"])
    async with where.working():
        handle = await where.airlock.submit(document)
        said = await approved_and_rolled_back(handle)
        before = made(plan_id)
        found = await history(where.attacker.client, workflow_id)
        first = next(each.event_id for each in found if each.HasField("workflow_execution_update_accepted_event_attributes"))
        earlier = [task for task in finished_tasks(found) if task < first]
        await set_back(where.attacker.client, workflow_id, earlier[2 if point == "before the seal" else -1], forget=True)
        await until(lambda: _is(handle, State.AWAITING_APPROVAL))
        run = where.attacker.client.get_workflow_handle(workflow_id)
        await run.signal("approve", said)
        refused = await until(lambda: _refusal(handle))
        assert "digest" in refused, refused
        status = await awaiting(handle)
        assert status.digest != said["digest"]
        assert made(plan_id) == before, "a call was made that was approved for another life of the run"
        # who approves what is shown now is heard
        assert (await handle.decide("approve", **signed(plan_id, status.digest))).accepted
        assert (await asyncio.wait_for(handle.result(), 120)).outcome == "completed"


async def _is(handle: Any, state: State) -> bool:
    return (await handle.status()).state is state


async def _refusal(handle: Any) -> str:
    return next((entry.reason for entry in (await handle.audit()).entries if entry.what == "approve"), "")
