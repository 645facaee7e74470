"""The ways of a plan among other runs: those that continue it, gates, claims, and the undo after its end."""

import asyncio

from airlock.activities.admit import resource_hash
from airlock.base import names
from airlock.client import Airlock, PlanHandle
from airlock.client.undo import undo
from airlock.plans.state import State
from tests.replay.scenes import scenario, submit, tree
from tests.workflows.conftest import approved, awaiting, chain, signal, step, until
from tests.workflows.world import WORLD


@scenario("completed")
async def continued_as_new(airlock: Airlock, plan_id: str) -> PlanHandle:
    """Full while it waits, and full again with a call in flight: both times it goes on as new and repeats nothing."""
    gate = WORLD.hold(plan_id, "join")
    handle = await submit(airlock, plan_id, *tree())
    await awaiting(handle)
    await junk(handle, 1_250)
    await approved(handle)
    await until(lambda: (plan_id, "join") in WORLD.running)
    await junk(handle, 2_500)
    gate.set()
    await handle.result()
    runs = await chain(handle)
    assert len(runs) == 3, len(runs)
    return handle


@scenario("completed")
async def waited_at_a_gate(airlock: Airlock, plan_id: str) -> PlanHandle:
    other = f"{plan_id}-other"
    gate = WORLD.hold(other, "a")
    first = await submit(airlock, other, step("a", "share", key="replayed"))
    await approved(first)
    await until(lambda: (other, "a") in WORLD.running)
    handle = await submit(airlock, plan_id, step("a", "share", key="replayed"), step("n", "narrow", key="n"))
    await approved(handle)

    async def waits() -> bool:
        return "shared:replayed" in (await handle.status()).waits_for

    await until(waits)
    gate.set()
    return handle


@scenario("completed")
async def locked_by_the_live_gate(airlock: Airlock, plan_id: str) -> PlanHandle:
    gate = WORLD.hold(plan_id, "a")
    handle = await submit(airlock, plan_id, step("a", "put", key="a"), step("b", "put", ("a",), key="b"))
    await approved(handle)
    await until(lambda: (plan_id, "a") in WORLD.running)
    live = airlock.client.get_workflow_handle(names.LIVE_GATE)
    await live.signal("lock", {"by": "olga", "reason": "stop", "scope": "agent:agent"})
    await handle.wait_for(State.LOCKED)
    gate.set()

    async def quiet() -> bool:
        return not (await handle.status()).gates

    await until(quiet)
    await live.signal("unlock", {"by": "olga", "reason": "go on", "scope": "agent:agent"})
    await approved(handle)
    return handle


@scenario("aborted")
async def late_at_a_locked_gate(airlock: Airlock, plan_id: str) -> PlanHandle:
    other, key = f"{plan_id}-other", f"{plan_id}/find"  # what `put` returns as key: known only when it is live
    hold = WORLD.hold(other, "a")
    first = await submit(airlock, other, step("a", "share", key=key))
    await approved(first)
    await until(lambda: (other, "a") in WORLD.running)
    gate = airlock.client.get_workflow_handle(names.resource_gate_id(resource_hash("", f"shared:{key}")))
    await gate.signal("lock", {"by": "olga", "reason": "drill"})
    handle = await submit(airlock, plan_id, step("find", "put", key="k"), step("use", "share", key={"$ref": "find.key"}))
    digest = (await awaiting(handle)).digest
    await approved(handle)

    async def previewed_again() -> bool:
        status = await handle.status()
        return status.state is State.AWAITING_APPROVAL and status.digest != digest

    await until(previewed_again)
    await gate.signal("unlock", {"by": "olga", "reason": "over"})
    hold.set()
    assert (await handle.decide("abort", by="olga", reason="the drill is over")).accepted
    return handle


@scenario("partial")
async def left_out_as_a_duplicate(airlock: Airlock, plan_id: str) -> PlanHandle:
    steps = [step("a", "put", key="a"), step("mail", "send", ("a",), to="replay", body="once")]
    plans = [await submit(airlock, f"{plan_id}-first", *steps), await submit(airlock, plan_id, *steps)]
    for handle in plans:
        await awaiting(handle)
    for handle in plans:
        await approved(handle)
        await handle.result()
    return plans[1]


@scenario("aborted")
async def undone_after_the_end(airlock: Airlock, plan_id: str) -> PlanHandle:
    done = await submit(airlock, plan_id, *tree())
    await approved(done)
    await done.result()
    handle = await undo(airlock.client, plan_id, by="olga", reason="not wanted after all")
    await approved(handle)
    return handle


async def junk(handle: PlanHandle, until_refused: int) -> None:
    there = (await handle.status()).refused
    for _ in range(0, until_refused - there, 50):
        await asyncio.gather(*(signal(handle, "x") for _ in range(50)))

    async def counted() -> bool:
        return (await handle.status()).refused == until_refused

    await until(counted, 60)
