"""A scene of rules that began with epoch 6: a chain of calls whose record a client has set back."""

import asyncio

from tests.replay.scenes import submit
from tests.replay.scenes_with_keys import Runs, ended, scene
from tests.workflows.conftest import approved, step, until
from tests.workflows.protected import Place
from tests.workflows.test_proof_records import overwriting
from tests.workflows.world import WORLD


@scene
async def record_set_back(where: Place, plan_id: str) -> Runs:
    """A client empties the record of a chain and lets it time out; its worker says what it began, a person settles it."""
    hold = WORLD.hold(plan_id, "b")
    async with where.working():
        steps = (step("a", "once", key="a", value=1), step("b", "once", ("a",), key="b", value=1))
        handle = await submit(where.airlock, plan_id, *steps, step("c", "once", ("b",), key="c", value=1))
        await approved(handle)
        await until(lambda: (plan_id, "b") in WORLD.running)
        overwrite = asyncio.create_task(overwriting(where, handle.workflow.id, "a:live", None))
        await where.attacker.change_options(handle.workflow.id, "a:live", seconds=1, attempts=1)
        await overwrite
        await until(lambda: _parked(handle))
        hold.set()
        for name in "ab":
            assert (await handle.decide("resolve", by="op", step=name, outcome="happened", reason="seen")).accepted
        await ended(handle, "completed")
    return {"record-set-back": handle.workflow}


async def _parked(handle):  # type: ignore[no-untyped-def]
    return len((await handle.status()).parked) == 2
