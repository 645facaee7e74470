"""Scenes of rules that began with epoch 5: calls that ended unbegun, and the word of a worker that it had begun them."""

from airlock.plans.state import State
from tests.replay.scenes import submit
from tests.replay.scenes_with_keys import Runs, ended, scene
from tests.workflows.conftest import approved, step, until
from tests.workflows.protected import Place
from tests.workflows.test_proof_unbegun import sent_back
from tests.workflows.world import WORLD


@scene
async def sent_back_and_locked(where: Place, plan_id: str) -> Runs:
    """A client lets Temporal forget that the first call was begun; its worker says so, and a person settles it."""
    hold = WORLD.hold(plan_id, "a")
    async with where.working():
        handle = await submit(where.airlock, plan_id, step("a", "once", key="a", value=1))
        await approved(handle)
        await until(lambda: (plan_id, "a") in WORLD.running)
        await sent_back(where, handle.workflow.id, "a:live")
        await handle.workflow.signal("lock", {"by": "mallory", "reason": "mine"})
        await handle.wait_for(State.LOCKED)
        await until(lambda: _parked(handle))
        hold.set()
        assert (await handle.decide("resolve", by="op", step="a", outcome="happened", reason="seen")).accepted
        assert (await handle.decide("unlock", by="op", reason="go on")).accepted
        await ended(handle, "completed")
    return {"sent-back-and-locked": handle.workflow}


async def _parked(handle):  # type: ignore[no-untyped-def]
    return (await handle.status()).parked
