"""Plans of every ending, run on a real server by script; the same number gives the same plan."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

from airlock.client import Airlock, PlanHandle
from airlock.client.undo import previewed, undo
from airlock.plans.state import State
from tests.workflows.conftest import awaiting, step, until
from tests.workflows.world import WORLD

NONSENSE = "nonsense"
"""The name of an unknown signal; each one is a message that is refused."""
FLOOD = 1_260
"""So many of them, and a run continues as new; far more than the audit keeps."""
Life = Callable[[Airlock, str], Awaitable[None]]


def document(plan_id: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"plan_id": plan_id, "goal": "be counted", "requested_by": "rita", "steps": list(steps), **more}


def three(plan_id: str, **more: Any) -> dict[str, Any]:
    """Look, put, send: one call of each sort."""
    mail = step("mail", "send", ("b",), to=plan_id, body=plan_id)
    return document(plan_id, step("a", "look", key="b"), step("b", "put", ("a",), key="b", value=1), mail, **more)


async def approve(handle: PlanHandle, **more: Any) -> None:
    status = await awaiting(handle)
    assert (await handle.decide("approve", by="alice", digest=status.digest, **more)).accepted


async def completed(airlock: Airlock, plan_id: str) -> None:
    """After two refused messages; one call is tried again before it works."""
    WORLD.trouble[(plan_id, "b")] = ["retry"]
    handle = await airlock.submit(three(plan_id))
    status = await awaiting(handle)
    await handle.workflow.signal(NONSENSE, {"by": "eve"})
    assert not (await handle.decide("approve", by="rita", digest=status.digest)).accepted
    await handle.workflow.signal("approve", {"by": "alice", "digest": status.digest, "reason": "fine"})
    assert (await handle.result()).outcome == "completed"


async def partial(airlock: Airlock, plan_id: str) -> None:
    handle = await airlock.submit(three(plan_id))
    await approve(handle, steps=["a", "b"])
    assert (await handle.result()).outcome == "partial"


async def rehearsed(airlock: Airlock, plan_id: str) -> None:
    handle = await airlock.submit(three(plan_id, max_mode="DRY_RUN"))
    assert (await handle.result()).outcome == "rehearsed"


async def denied(airlock: Airlock, plan_id: str) -> None:
    handle = await airlock.submit(three(plan_id))
    await awaiting(handle)
    await handle.workflow.signal("deny", {"by": "bob", "reason": "no"})
    assert (await handle.result()).outcome == "denied"


async def expired(airlock: Airlock, plan_id: str) -> None:
    handle = await airlock.submit(document(plan_id, step("a", "hasty", key=plan_id), deadline="2s"))
    assert (await handle.result()).outcome == "expired"


async def rolled_back(airlock: Airlock, plan_id: str) -> None:
    """The last of four calls fails half-way: it and two more are taken back, the one before cannot be."""
    WORLD.trouble[(plan_id, "d")] = ["fail"]
    handle = await airlock.submit(
        document(
            plan_id,
            step("a", "put", key="a", value=1),
            step("b", "put", ("a",), key="b", value=1),
            step("c", "send", ("b",), to=plan_id, body=plan_id),
            step("d", "put", ("c",), key="d", value=1),
        )
    )
    await approve(handle)
    assert (await handle.result()).outcome == "aborted"


async def aborted(airlock: Airlock, plan_id: str) -> None:
    """Locked, unlocked and aborted: it was admitted twice."""
    handle = await airlock.submit(three(plan_id))
    await awaiting(handle)
    assert (await handle.decide("lock", by="carol", reason="wait")).accepted
    await handle.wait_for(State.LOCKED)
    assert (await handle.decide("unlock", by="carol", reason="go on")).accepted
    await awaiting(handle)
    assert (await handle.decide("abort", by="carol", reason="enough")).accepted
    assert (await handle.result()).outcome == "aborted"


async def duplicates(airlock: Airlock, plan_id: str) -> None:
    """The mail of another plan is left out, and one that the plan itself sends twice."""
    await completed_with(airlock, document(f"{plan_id}-first", step("m", "send", to=plan_id, body="one")))
    mails = [step("m", "send", ("p",), to=plan_id, body="one"), step("n", "send", ("p",), to=plan_id, body="two")]
    again = step("o", "send", ("p",), to=plan_id, body="two")
    second = document(plan_id, step("p", "put", key="p", value=1), *mails, again)
    await completed_with(airlock, second)


async def completed_with(airlock: Airlock, plan: dict[str, Any]) -> None:
    handle = await airlock.submit(plan)
    await approve(handle)
    assert (await handle.result()).outcome in ("completed", "partial")


async def conflicts(airlock: Airlock, plan_id: str) -> None:
    """Two calls need the same resource, and sixteen together do not fit the deadline."""
    own = [step(name, "share", key=plan_id, value=name) for name in ("a", "b")]
    late = [step("c", "put", ("a", "b"), key="c")]
    late += [step(name, "put", (before,), key=name) for before, name in pairwise("cdefghijklmnop")]
    await completed_with(airlock, document(plan_id, *own, *late, deadline="400s"))


async def claimed_too_late(airlock: Airlock, plan_id: str) -> None:
    """The conflict is found only at the gates: both plans were admitted before either was approved."""
    plans = [document(name, step("m", "send", to=plan_id, body="x"), step("p", "put", key="p")) for name in _two(plan_id)]
    handles = [await airlock.submit(plan) for plan in plans]
    for handle in handles:
        await awaiting(handle)
    for handle in handles:
        await approve(handle)
        await handle.result()


def _two(plan_id: str) -> tuple[str, str]:
    return f"{plan_id}-first", plan_id


async def doubt(airlock: Airlock, plan_id: str, outcome: str) -> None:
    WORLD.trouble[(plan_id, "mail")] = ["lost_after" if outcome == "happened" else "lost"]
    handle = await airlock.submit(three(plan_id))
    await approve(handle)
    await handle.wait_for(State.LOCKED)
    said = {"by": "carol", "step": "mail", "outcome": outcome, "reason": "looked"}
    if outcome == "happened":
        assert (await handle.decide("resolve", **said, output={})).accepted
    else:
        await handle.workflow.signal("resolve", said)
    await handle.result()


async def doubt_happened(airlock: Airlock, plan_id: str) -> None:
    await doubt(airlock, plan_id, "happened")


async def doubt_did_not_happen(airlock: Airlock, plan_id: str) -> None:
    await doubt(airlock, plan_id, "did_not_happen")


async def doubt_stays(airlock: Airlock, plan_id: str) -> None:
    """Terminated while it is parked."""
    WORLD.trouble[(plan_id, "mail")] = ["lost"]
    handle = await airlock.submit(three(plan_id))
    await approve(handle)
    await handle.wait_for(State.LOCKED)
    await until(lambda: idle(handle))  # what it has to report is on its way until then
    await handle.workflow.terminate("nobody knows")


async def idle(handle: PlanHandle) -> bool:
    return not (await handle.facts()).pending


async def refused(airlock: Airlock, plan_id: str) -> None:
    handle = await airlock.submit(document(plan_id, step("a", "no_such_tool")))
    assert (await handle.result()).outcome == "aborted"


async def cancelled(airlock: Airlock, plan_id: str) -> None:
    handle = await airlock.submit(three(plan_id))
    await awaiting(handle)
    await handle.workflow.cancel()
    assert (await handle.result()).outcome == "aborted"


async def undone(airlock: Airlock, plan_id: str) -> None:
    """Completed, and undone after its end."""
    await completed_with(airlock, three(plan_id))
    handle = await undo(airlock.client, plan_id, by="carol", reason="wrong customer")
    await previewed(handle)
    await approve(handle)
    assert (await handle.result()).outcome == "aborted"


async def open_(airlock: Airlock, plan_id: str) -> None:
    await awaiting(await airlock.submit(three(plan_id)))


async def flooded(airlock: Airlock, plan_id: str) -> None:
    """So many messages were refused that it continued as new; then it was approved."""
    handle = await airlock.submit(three(plan_id))
    await awaiting(handle)
    for _ in range(0, FLOOD, 60):
        await asyncio.gather(*(handle.workflow.signal(NONSENSE, {"by": "eve"}) for _ in range(60)))
    await approve(handle)
    assert (await handle.result()).outcome == "completed"


LIVES: tuple[Life, ...] = (
    completed, partial, rehearsed, denied, rolled_back, aborted, duplicates, conflicts, claimed_too_late, doubt_happened,
    doubt_did_not_happen, doubt_stays, refused, cancelled, undone, expired, open_,
)  # fmt: skip


async def live_through(airlock: Airlock, plans: int, at_once: int = 6) -> None:
    """Live through at least so many plans, one of them flooded; undos come on top."""
    few = asyncio.Semaphore(at_once)

    async def one(life: Life, plan_id: str) -> None:
        async with few:
            await life(airlock, plan_id)

    made, number = 1, 0
    async with asyncio.TaskGroup() as group:
        group.create_task(one(flooded, "flooded"))
        while made < plans:
            life = LIVES[number % len(LIVES)]
            group.create_task(one(life, f"{life.__name__.strip('_').replace('_', '-')}-{number}"))
            made += 2 if life in (duplicates, claimed_too_late) else 1
            number += 1
