"""Scenes of rules that began with epoch 4: the short path, and the stays in LIVE that their first calls open."""

from airlock.activities.toolbox import Toolbox
from airlock.plans.state import State
from airlock.worker.roles import build_workers
from tests.replay.scenes import submit
from tests.replay.scenes_with_keys import Runs, ended, scene
from tests.running import running
from tests.workflows.attacker import JUNK
from tests.workflows.conftest import approved, catalogue, step, until
from tests.workflows.protected import Place
from tests.workflows.world import WORLD


@scene
async def handed_back_by_another_setup(where: Place, plan_id: str) -> Runs:
    """The rehearsing worker has another key of the index, so that the plan is rehearsed part by part."""
    tools, keyed = Toolbox(catalogue(), where.policy), Toolbox(catalogue(), where.policy, index_key="another")
    workers = [each for role in ("orchestrate", "live") for each in build_workers(where.workers, tools, role)]
    async with running([*workers, *build_workers(where.workers, keyed, "rehearse")]):
        handle = await submit(where.airlock, plan_id, step("a", "put", key="a", value=1))
        await approved(handle)
        await ended(handle, "completed")
    return {"handed-back-by-another-setup": handle.workflow}


@scene
async def lost_while_it_opened(where: Place, plan_id: str) -> Runs:
    """The answer of the first call is forged: it is in doubt, and keeps the place that the gates gave it."""
    hold = WORLD.hold(plan_id, "a")
    async with where.working():
        handle = await submit(where.airlock, plan_id, step("a", "once", key="a", value=1))
        await approved(handle)
        await until(lambda: (plan_id, "a") in WORLD.running)
        await where.attacker.complete_by_id(handle.workflow.id, "a:live", JUNK)
        status = await handle.wait_for(State.LOCKED)
        assert status.parked == ("a",), status
        hold.set()
        assert (await handle.decide("resolve", by="op", step="a", outcome="happened", reason="seen")).accepted
        await ended(handle, "completed")
    return {"lost-while-it-opened": handle.workflow}


@scene
async def lasted_while_it_opened(where: Place, plan_id: str) -> Runs:
    """The first call takes long enough for the live worker to say so; the second one goes another way."""
    hold = WORLD.hold(plan_id, "a")
    async with where.working():
        handle = await submit(
            where.airlock, plan_id, step("a", "put", key="a", value=1), step("b", "once", ("a",), key="b", value=2)
        )
        await approved(handle)

        async def told() -> bool:
            return "signaled" in [event.WhichOneof("attributes").split("_")[2] for event in await _events(handle)][-3:]

        await until(told)
        hold.set()
        await ended(handle, "completed")
    return {"lasted-while-it-opened": handle.workflow}


async def _events(handle):  # type: ignore[no-untyped-def]
    return [event async for event in handle.workflow.fetch_history_events()]


@scene
async def no_worker_opened(where: Place, plan_id: str) -> Runs:
    """No live worker takes the first call in time, so that the run asks the gates alone, and is let in later."""
    async with where.working("orchestrate", "rehearse"):
        handle = await submit(where.airlock, plan_id, step("a", "put", key="a", value=1))
        await approved(handle)

        async def asked_alone() -> bool:
            found = [event.activity_task_scheduled_event_attributes.activity_type.name for event in await _events(handle)]
            return "acquire" in found

        await until(asked_alone)
        async with where.working("live"):
            await ended(handle, "completed")
    return {"no-worker-opened": handle.workflow}
