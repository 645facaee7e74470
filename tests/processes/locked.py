"""The system lock, while everything else is killed."""

from airlock.client.live_gate import LiveGate
from airlock.plans.state import State
from tests.processes.harness import until
from tests.processes.kills import Onboarding
from tests.processes.registry import Stage, scenario


@scenario
async def locked_while_server_and_worker_are_killed(stage: Stage) -> None:
    """Nothing goes live, neither what waited before nor what came after; the unlock lets both go on."""
    server = stage.own_server()
    await server.start()
    early = Onboarding(stage.scene(server))
    late = Onboarding(early.scene, f"{early.id}-late")
    scene = early.scene
    worker = await scene.worker()
    gate = LiveGate(await scene.client())
    assert (await gate.lock("olga", "over night")).accepted
    early.handle = await scene.submit(early.document)
    await scene.approve(early.handle)
    assert (await scene.status(early.handle, State.LOCKED)).locked_by_gate
    server.kill()
    worker.kill()
    await server.start()
    await scene.worker()

    async def locks() -> list[tuple[str, str]]:
        view = await gate.status()
        return [(lock.by, lock.reason) for lock in view.locks] if view else []

    await until(locks, "the lock is gone")
    assert await locks() == [("olga", "over night")]
    late.handle = await scene.submit(late.document)
    await scene.approve(late.handle)
    for plan in (early, late):
        status = await scene.status(plan.handle, State.LOCKED)
        assert "over night" in status.why, status.why
        assert plan.times("find", "live_before") == 0
    assert (await gate.unlock("olga", "morning")).accepted
    for plan in (early, late):
        await scene.approve(plan.handle)
        await plan.completed()
        assert plan.times("mail", "live_before") == 1
