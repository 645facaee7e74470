"""Rehearsals that never give back their thread, beside everything else in the same process."""

import time

from airlock.client.live_gate import LiveGate
from airlock.gates.lock_proof import Proved
from airlock.plans.state import State
from tests.processes.harness import Scene
from tests.processes.kills import Onboarding
from tests.processes.registry import Stage, scenario


async def _rude(scene: Scene, tool: str) -> None:
    """Submit a plan whose mock blocks, and wait until it does."""
    plan = tool.replace("_", "-")
    steps = [{"id": "rude", "agent": "ops", "tool": tool, "args": {}, "confidence": 0.95}]
    await scene.submit({"plan_id": plan, "goal": "block", "requested_by": "rita", "steps": steps})
    await scene.reached(plan, "rude", "mock")


async def _everything_else_goes_on(stage: Stage, *tools: str) -> None:
    scene = stage.scene()
    scene.configure('modules = ["tests.processes.held_tools", "tests.processes.rude_tools"]')
    plan = Onboarding(scene)
    await scene.worker()
    plan.handle = await scene.submit(plan.document)
    await scene.status(plan.handle, State.AWAITING_APPROVAL)
    for tool in tools:
        await _rude(scene, tool)
    gate = LiveGate(await scene.client())
    began = time.monotonic()
    assert (await gate.lock("olga", "what do they do")).accepted
    proofs = [proof async for proof in gate.barrier(within=60)]
    print(f"{stage.name}: locked and proved after {time.monotonic() - began:.2f} s")
    assert isinstance(proofs[-1].value, Proved), proofs[-1]
    assert (await gate.unlock("olga", "go on")).accepted
    # its approval, its calls and the gates between them are served too
    await scene.approve(plan.handle)
    await plan.completed()


@scenario
async def mocks_that_block_their_loop(stage: Stage) -> None:
    """The lock is answered and proved, and an approved plan completes."""
    await _everything_else_goes_on(stage, "sleeps_in_its_loop")


@scenario
async def mocks_that_compute_for_ever(stage: Stage) -> None:
    """The same while two threads want the processor at every moment."""
    await _everything_else_goes_on(stage, "computes_in_its_thread", "computes_in_its_loop")
