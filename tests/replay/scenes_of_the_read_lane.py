"""Scenes of the read lane: reads before the preview, a plan that is nothing but a read, reads that are made again."""

from airlock.activities.monitor import start_monitors
from airlock.admission.policy import Policy
from airlock.client.live_gate import LiveGate
from tests.replay.scenes import submit
from tests.replay.scenes_with_keys import Runs, ended, scene, under
from tests.workflows.conftest import approved, awaiting, step
from tests.workflows.protected import Place
from tests.workflows.world import WORLD

LANE = {"read_lane": True, "approval_waived_for": ["LOW"]}


def _steps(plan_id: str) -> tuple[dict[str, object], ...]:
    WORLD.state[plan_id]["k"] = "seen"
    return step("see", "look", key="k"), step("set", "put", key="copy", value={"$ref": "see.found"})


@scene
async def read_first(where: Place, plan_id: str) -> Runs:
    """A read feeds the preview of a write; another plan is nothing but a read, and signals its report itself."""
    await start_monitors(where.workers, Policy())
    async with under(where, **LANE).working():
        handle = await submit(where.airlock, plan_id, *_steps(plan_id))
        await approved(handle)
        await ended(handle, "completed")
        lone = await submit(where.airlock, f"{plan_id}-only", step("see", "look", key="k"))
        await ended(lone, "completed")
    return {"read-first": handle.workflow, "only-read": lone.workflow}


@scene
async def read_again(where: Place, plan_id: str) -> Runs:
    """The gate is locked, so that nothing is read; then the plan is locked and unlocked, and reads, and its read fails."""
    gate = LiveGate(where.airlock.client)
    async with under(where, **LANE).working():
        await gate.lock("op", "stop", scope="tool:look")
        handle = await submit(where.airlock, plan_id, *_steps(plan_id))
        await awaiting(handle)
        await gate.unlock("op", "go on", scope="tool:look")
        for trouble in ([], ["fail"]):
            WORLD.trouble[(plan_id, "see")] = trouble
            assert (await handle.decide("lock", by="op", reason="stop")).accepted
            assert (await handle.decide("unlock", by="op", reason="go on")).accepted
            if not trouble:
                await awaiting(handle)
        await ended(handle, "rehearsed")
    return {"read-again": handle.workflow}
