"""Outcomes of decisions about a plan of two steps: it completes, or is where it was before a refused one."""

import asyncio
from typing import Any

from airlock.client import PlanHandle
from tests.workflows.conftest import count
from tests.workflows.world import WORLD


async def completes(handle: PlanHandle, refusals: int | None = None) -> Any:
    result = await asyncio.wait_for(handle.result(), 120)
    assert result.outcome == "completed", result
    assert refusals is None or result.refused == refusals
    assert WORLD.state[handle.plan_id] == {"a": 1, "b": 2}
    assert not (await count(handle))["WORKFLOW_TASK_FAILED"]
    return result


async def refusal(handle: PlanHandle, decision: str, **fields: Any) -> str:
    """Decide, see it refused and recorded, and the plan where it was; returns the reason."""
    before = await handle.status()
    verdict = await handle.decide(decision, **fields)
    after = await handle.status()
    assert not verdict.accepted, verdict
    assert (after.state, after.digest, after.approvals) == (before.state, before.digest, before.approvals)
    assert after.refused == before.refused + 1
    entry = after.refusals[-1]
    assert (entry.what, entry.by, entry.reason) == (decision, fields["by"], verdict.reason)
    return str(verdict.reason)
