"""Scenes of plans that are rehearsed where their workflow task ran (docs/adr/0011)."""

from airlock.activities.rehearsals.prepare_here import LentRole
from airlock.activities.toolbox import Toolbox
from airlock.worker.roles import build_workers
from tests.replay.scenes import submit
from tests.replay.scenes_with_keys import Runs, ended, scene
from tests.running import running
from tests.workflows.conftest import approved, catalogue, step
from tests.workflows.protected import Place


@scene
async def rehearsed_here(where: Place, plan_id: str) -> Runs:
    """The process of the workflow task rehearses the plan."""
    async with where.working():
        handle = await submit(where.airlock, plan_id, step("a", "put", key="a", value=1))
        await approved(handle)
        await ended(handle, "completed")
    return {"rehearsed-here": handle.workflow}


@scene
async def no_more_rehearsed_here(where: Place, plan_id: str) -> Runs:
    """A process that rehearses no more hands the plan back: it is rehearsed part by part."""
    toolbox = Toolbox(catalogue(), where.policy)
    others = [each for role in ("rehearse", "live") for each in build_workers(where.workers, toolbox, role)]
    async with running([*build_workers(where.workers, toolbox, "orchestrate", lent=LentRole(1)), *others]):
        handle = await submit(where.airlock, plan_id, step("a", "put", key="a", value=1))
        await approved(handle)
        await ended(handle, "completed")
    return {"no-more-rehearsed-here": handle.workflow}
