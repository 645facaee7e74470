"""A scene of rules that began with epoch 6: a chain of calls whose record a client has set back."""

import asyncio

from airlock.client import PlanHandle
from tests.replay.scenes import submit
from tests.replay.scenes_with_keys import Runs, ended, scene
from tests.workflows.conftest import approved, step, until
from tests.workflows.protected import Place
from tests.workflows.test_proof_records import overwriting
from tests.workflows.world import WORLD


async def set_back(where: Place, plan_id: str, in_doubt: int) -> PlanHandle:
    """Return a plan whose chain of three calls was lost in its second call, and whose record a client has emptied.

    Args:
        where: The place, whose workers run.
        plan_id: The id of the plan.
        in_doubt: The number of calls that are in doubt then.
    """
    hold = WORLD.hold(plan_id, "b")
    steps = (step("a", "once", key="a", value=1), step("b", "once", ("a",), key="b", value=1))
    handle = await submit(where.airlock, plan_id, *steps, step("c", "once", ("b",), key="c", value=1))
    await approved(handle)
    await until(lambda: (plan_id, "b") in WORLD.running)
    overwrite = asyncio.create_task(overwriting(where, handle.workflow.id, "a:live", None))
    await where.attacker.change_options(handle.workflow.id, "a:live", seconds=1, attempts=1)
    await overwrite

    async def parked() -> bool:
        return len((await handle.status()).parked) == in_doubt

    await until(parked)
    hold.set()
    return handle


async def happened(handle: PlanHandle, steps: str) -> None:
    """Settle each step, named by one letter, as one that took effect, and wait for the end of the plan."""
    for name in steps:
        assert (await handle.decide("resolve", by="op", step=name, outcome="happened", reason="seen")).accepted
    await ended(handle, "completed")


@scene
async def record_set_back(where: Place, plan_id: str) -> Runs:
    """A client empties the record of a chain and lets it time out; its worker says what it began, a person settles it."""
    async with where.working():
        handle = await set_back(where, plan_id, in_doubt=2)
        await happened(handle, "ab")
    return {"record-set-back": handle.workflow}
