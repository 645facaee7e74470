"""The ways of one plan: it is decided on, locked, tried again, rolled back, and it passes its deadline."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from airlock.client import Airlock, PlanHandle
from airlock.plans.state import State
from tests.workflows.conftest import approved, awaiting, chain, signal, step, until
from tests.workflows.world import WORLD

Scenario = Callable[[Airlock, str], Awaitable[PlanHandle]]

SCENARIOS: dict[str, tuple[str, Scenario]] = {}
"""By the name of its history: the outcome it must have, and what happens to the plan. All share the same workers."""


def scenario(outcome: str) -> Callable[[Scenario], Scenario]:
    """Register what is to be recorded; its name with dashes is the name of the file."""

    def register(play: Scenario) -> Scenario:
        SCENARIOS[play.__name__.replace("_", "-")] = (outcome, play)
        return play

    return register


async def submit(airlock: Airlock, plan_id: str, *steps: dict[str, Any], **more: Any) -> PlanHandle:
    document = {"plan_id": plan_id, "goal": "to be replayed", "requested_by": "rita", "steps": list(steps)}
    return await airlock.submit({**document, **more})


def tree() -> list[dict[str, Any]]:
    """Wide, deep, with references and an irreversible end: many commands at the same time, whose order counts."""
    return [
        step("find", "look", key="a"),
        *(step(f"put-{name}", "put", ("find",), key=name, value=name) for name in "fbdace"),
        step("join", "put", key="join", value={"one": {"$ref": "put-a.step"}, "two": {"$ref": "put-f.step"}}),
        step("again", "put", ("join",), key="again", value=1),
        step("mail", "send", ("again", "put-c"), to="jo@acme.test"),
    ]


@scenario("completed")
async def completed(airlock: Airlock, plan_id: str) -> PlanHandle:
    handle = await submit(airlock, plan_id, *tree())
    await signal(handle, "approve", {"by": "alice"})
    await signal(handle, "nobody_knows")
    await approved(handle)
    return handle


@scenario("denied")
async def denied(airlock: Airlock, plan_id: str) -> PlanHandle:
    handle = await submit(airlock, plan_id, *tree())
    await awaiting(handle)
    await signal(handle, "deny", {"by": "alice", "reason": "not today"})
    return handle


@scenario("partial")
async def partial(airlock: Airlock, plan_id: str) -> PlanHandle:
    unsure = step("unsure", "put", ("find",), confidence=0.7, key="u", value=1)
    handle = await submit(airlock, plan_id, *tree(), unsure)
    await approved(handle, steps=["find", "put-b", "put-d"])
    return handle


@scenario("rehearsed")
async def rehearsed(airlock: Airlock, plan_id: str) -> PlanHandle:
    return await submit(airlock, plan_id, *tree(), max_mode="DRY_RUN")


@scenario("aborted")
async def refused_at_admission(airlock: Airlock, plan_id: str) -> PlanHandle:
    return await submit(airlock, plan_id, step("one", "no_such_tool"))


@scenario("aborted")
async def rolled_back(airlock: Airlock, plan_id: str) -> PlanHandle:
    WORLD.trouble[(plan_id, "again")] = ["fail"]
    handle = await submit(airlock, plan_id, *tree())
    await approved(handle)
    return handle


@scenario("aborted")
async def rolled_back_on_a_word(airlock: Airlock, plan_id: str) -> PlanHandle:
    gate = WORLD.hold(plan_id, "join")
    handle = await submit(airlock, plan_id, *tree())
    await approved(handle)
    await until(lambda: (plan_id, "join") in WORLD.running)
    assert (await handle.decide("rollback", by="alice", reason="not what we wanted")).accepted
    gate.set()
    return handle


@scenario("completed")
async def locked_and_unlocked(airlock: Airlock, plan_id: str) -> PlanHandle:
    gate = WORLD.hold(plan_id, "join")
    handle = await submit(airlock, plan_id, *tree())
    await approved(handle)
    await until(lambda: (plan_id, "join") in WORLD.running)
    await signal(handle, "lock", {"by": "lena", "reason": "stop"})
    await handle.wait_for(State.LOCKED)
    gate.set()
    await unlock(handle)
    await approved(handle)
    return handle


@scenario("completed")
async def locked_while_it_waits(airlock: Airlock, plan_id: str) -> PlanHandle:
    handle = await submit(airlock, plan_id, *tree())
    await awaiting(handle)
    await signal(handle, "lock", {"by": "lena", "reason": "stop"})
    await handle.wait_for(State.LOCKED)
    await unlock(handle)
    await approved(handle)
    return handle


async def unlock(handle: PlanHandle) -> None:
    async def quiet() -> bool:
        return not (await handle.status()).in_flight

    await until(quiet)
    await signal(handle, "unlock", {"by": "lena", "reason": "go on"})


@scenario("completed")
async def in_doubt_resolved(airlock: Airlock, plan_id: str) -> PlanHandle:
    handle = await in_doubt(airlock, plan_id)
    await signal(
        handle, "resolve",
        {"by": "alice", "step": "doubtful", "outcome": "happened", "output": {"step": "doubtful"}, "reason": "I saw it"},
    )  # fmt: skip
    await approved(handle)  # `after` gets an argument that no call returned
    return handle


@scenario("aborted")
async def in_doubt_rolled_back(airlock: Airlock, plan_id: str) -> PlanHandle:
    handle = await in_doubt(airlock, plan_id)
    await signal(
        handle, "resolve", {"by": "alice", "step": "doubtful", "outcome": "did_not_happen", "reason": "it is not there"}
    )
    return handle


async def in_doubt(airlock: Airlock, plan_id: str) -> PlanHandle:
    WORLD.trouble[(plan_id, "doubtful")] = ["lost_after"]
    handle = await submit(
        airlock,
        plan_id,
        step("one", "put", key="a", value=1),
        step("doubtful", "once", ("one",), key="b", value=2),
        step("after", "put", key="c", value={"$ref": "doubtful.step"}),
    )
    await approved(handle)
    await handle.wait_for(State.LOCKED)
    return handle


@scenario("completed")
async def tried_again_and_probed(airlock: Airlock, plan_id: str) -> PlanHandle:
    WORLD.trouble[(plan_id, "put-a")] = ["retry", "none"]
    WORLD.trouble[(plan_id, "put-b")] = ["lost", "lost_after", "lost"]
    handle = await submit(airlock, plan_id, *tree())
    await approved(handle)
    return handle


@scenario("completed")
async def stale_and_previewed_anew(airlock: Airlock, plan_id: str) -> PlanHandle:
    handle = await submit(airlock, plan_id, *tree())
    old = (await awaiting(handle)).digest
    WORLD.state[plan_id]["d"] = "somebody else's"
    await signal(handle, "approve", {"by": "alice", "digest": old})

    async def new_seal() -> bool:
        status = await handle.status()
        return status.state is State.AWAITING_APPROVAL and status.digest != old

    await until(new_seal)
    await approved(handle)
    return handle


@scenario("aborted")
async def deadline_passed(airlock: Airlock, plan_id: str) -> PlanHandle:
    gate = WORLD.hold(plan_id, "one")
    steps = [step("one", "brief", key=f"{plan_id}-1"), step("two", "brief", ("one",), key=f"{plan_id}-2")]
    handle = await submit(airlock, plan_id, *steps, deadline="6s")
    status = await awaiting(handle)
    await until(lambda: datetime.now(UTC) >= status.submitted_at + timedelta(seconds=4))
    await approved(handle)

    async def passed() -> bool:
        return any(event.HasField("timer_fired_event_attributes") for event in (await chain(handle))[-1])

    await until(passed)
    gate.set()
    return handle


@scenario("aborted")
async def cancelled(airlock: Airlock, plan_id: str) -> PlanHandle:
    gate = WORLD.hold(plan_id, "join")
    handle = await submit(airlock, plan_id, *tree())
    await approved(handle)
    await until(lambda: (plan_id, "join") in WORLD.running)
    await handle.workflow.cancel()
    await handle.wait_for(State.ROLLBACK)
    gate.set()
    return handle
