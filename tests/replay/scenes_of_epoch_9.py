"""Scenes of rules that began with epoch 9: the release of slots by signals of the run itself."""

from airlock.activities.monitor import start_monitors
from airlock.base import names
from tests.replay.scenes import submit
from tests.replay.scenes_with_keys import Runs, ended, scene, under
from tests.workflows.conftest import approved, step, until
from tests.workflows.protected import Place
from tests.workflows.test_waiting_at_a_gate import queued
from tests.workflows.world import WORLD


@scene
async def own_release(where: Place, plan_id: str) -> Runs:
    """Two plans of which one is live at a time: the second gives its slot back itself, as no plan waits for it."""
    narrow = under(where, max_live_escalations=1)
    async with narrow.working():
        await start_monitors(narrow.workers, narrow.policy)
        hold = WORLD.hold(plan_id, "a")
        inside = await submit(narrow.airlock, plan_id, step("a", "share", key="turn", value=1))
        await approved(inside)
        await until(lambda: (plan_id, "a") in WORLD.running)
        steps = (step("a", "once", key="a", value=1), step("b", "put", ("a",), key="b", value=1))
        behind = await submit(narrow.airlock, f"{plan_id}-behind", *steps)
        await approved(behind)
        await until(lambda: queued(behind))
        hold.set()
        await ended(inside, "completed")
        await ended(behind, "completed")
        gate = narrow.airlock.client.get_workflow_handle(names.LIVE_GATE)
    return {"own-release": behind.workflow, "own-release-gate": gate}


@scene
async def released_by_an_activity(where: Place, plan_id: str) -> Runs:
    """The monitor is gone when a plan ends: its signal fails, and an activity does all of it."""
    async with where.working():
        hold = WORLD.hold(plan_id, "a")
        handle = await submit(where.airlock, plan_id, step("a", "put", key="a", value=1))
        await approved(handle)
        await until(lambda: (plan_id, "a") in WORLD.running)
        await where.airlock.client.get_workflow_handle(names.monitor_id(0)).terminate("by mistake")
        hold.set()
        await ended(handle, "completed")
    return {"released-by-an-activity": handle.workflow}
