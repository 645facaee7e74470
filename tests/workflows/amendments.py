"""A plan of five steps, and how it is amended, refused, approved and sealed again."""

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

from airlock.client import PlanHandle
from airlock.plans.state import State
from tests.workflows.conftest import awaiting, step, until
from tests.workflows.world import WORLD

NUMBERS = itertools.count(1)


def five(plan: Callable[..., dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Return a plan of five steps: c comes after a and b, d after c; e stands alone."""
    return plan(
        step("a", "put", key="a", value=1),
        step("b", "put", key="b", value=2),
        step("c", "put", ("a", "b"), key="c", value=3),
        step("d", "put", ("c",), key="d", value=4),
        step("e", "put", key="e", value=5),
        **more,
    )


def looks(handle: PlanHandle) -> Counter[str]:
    """Return how often the dry run of each step was called."""
    return Counter(step for kind, plan, step in WORLD.log if kind == "dry" and plan == handle.plan_id)


async def amended(handle: PlanHandle, *steps: dict[str, Any], by: str = "rita", **more: Any) -> Any:
    """Amend a plan, and return its status once it waits for approval again."""
    before = await awaiting(handle)
    verdict = await handle.decide("amend", by=by, reason="a wrong value", steps=list(steps), **more)
    assert verdict.accepted, verdict

    async def sealed_again() -> Any:
        status = await handle.status()
        return status if status.state is State.AWAITING_APPROVAL and status.digest != before.digest else None

    return await until(sealed_again)


async def refusal(handle: PlanHandle, **fields: Any) -> str:
    """Amend, see it refused and recorded, and the plan as it was; return the reason."""
    before, preview = await handle.status(), await handle.preview()
    verdict = await handle.decide("amend", **{"by": "rita", "reason": "because", **fields})
    assert not verdict.accepted, verdict
    after = await handle.status()
    assert (after.state, after.digest, after.approvals) == (before.state, before.digest, before.approvals)
    assert (await handle.preview()).sealed == preview.sealed
    assert after.refused == before.refused + 1
    assert after.refusals[-1].what == "amend"
    return str(verdict.reason)


async def approve(handle: PlanHandle, by: str, **more: Any) -> Any:
    verdict = await handle.decide("approve", by=by, digest=(await awaiting(handle)).digest, **more)
    assert verdict.accepted, verdict
    return verdict


async def resealed(handle: PlanHandle, before: str | None) -> bool:
    status = await handle.status()
    return status.state is State.AWAITING_APPROVAL and status.digest != before
