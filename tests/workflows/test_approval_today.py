"""Approvals under today's policy, and approvals that Temporal stored while no worker was there."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from airlock.client import Airlock, PlanHandle
from airlock.plans.state import State
from tests.replay.replay import replayer
from tests.workflows.conftest import awaiting, namespace, signal, step, until, working
from tests.workflows.deadlines import TooSlow, in_time
from tests.workflows.test_short_path import activities
from tests.workflows.world import WORLD

Worker = Callable[..., AbstractAsyncContextManager[Airlock]]


@pytest.fixture
async def worker(dev_server) -> Worker:
    """Runs workers under a policy in a namespace of the test, one set after the other."""
    client = await namespace(dev_server.client, f"today-{uuid4().hex[:8]}")

    @asynccontextmanager
    async def run(**policy: Any) -> AsyncIterator[Airlock]:
        async with working(client, **policy) as airlock:
            yield airlock

    return run


async def refusals(handle: PlanHandle) -> list[str]:
    return [entry.reason for entry in (await handle.status()).refusals]


async def replays(handle: PlanHandle) -> None:
    """Replay the run as it is recorded; it raises where a replay would command something else."""
    await replayer().replay_workflow(await handle.workflow.fetch_history())


async def test_an_approver_who_was_revoked_since_is_refused_by_update_and_by_signal(worker, plan):
    async with worker(approvers=["alice", "bob"]) as airlock:
        handle = await airlock.submit(plan(step("mail", "send", to="jo")))
        status = await awaiting(handle)
    async with worker(approvers=["bob"]):
        verdict = await handle.decide("approve", by="alice", digest=status.digest)
        assert not verdict.accepted
        assert verdict.reason == "'alice' is not among the approvers (bob) of today's policy"
        await signal(handle, "approve", {"by": "alice", "digest": status.digest})
        await until(lambda: refused_twice(handle))
        assert await refusals(handle) == [verdict.reason] * 2
        await signal(handle, "approve", {"by": "bob", "digest": status.digest})
        assert (await handle.result()).outcome == "completed"
    assert (await activities(handle)).count("policy_now") == 3  # once for each approval
    assert WORLD.effects[f"{handle.plan_id}/mail"] == 1
    await replays(handle)


async def refused_twice(handle: PlanHandle) -> bool:
    return (await handle.status()).refused == 2


@pytest.mark.parametrize(
    ("today", "words"),
    [
        ({"dry_run_only": True}, "today's policy: step 'mail' cannot go live: the policy allows dry runs only"),
        (
            {"agents": {"*": {"permissions": []}}},
            "today's policy: step 'mail' cannot go live: agent 'agent' lacks permission",
        ),
    ],
)
async def test_a_plan_that_a_tightened_policy_keeps_from_going_live_ends_as_that_policy_says(worker, plan, today, words):
    async with worker() as airlock:
        handle = await airlock.submit(plan(step("mail", "send", to="jo")))
        status = await awaiting(handle)
    async with worker(**today):
        verdict = await handle.decide("approve", by="alice", digest=status.digest)
        assert not verdict.accepted
        assert verdict.reason.startswith(words)
        assert (await handle.status()).state is State.AWAITING_APPROVAL
        # as the refusal says: today's policy then applies to all of the plan
        for decision in ("lock", "unlock"):
            assert (await handle.decide(decision, by="lena", reason="the policy changed")).accepted
        assert (await handle.result()).outcome == "rehearsed"
    assert not WORLD.effects[f"{handle.plan_id}/mail"]


async def test_two_approvals_at_the_same_time_are_both_judged(worker, plan):
    async with worker(approvals_required=2) as airlock:
        handle = await airlock.submit(plan(step("one", "put", key="a", value=1)))
        digest = (await awaiting(handle)).digest
    for by in ("alice", "bob"):
        await signal(handle, "approve", {"by": by, "digest": digest})
    async with worker(approvals_required=2):
        assert (await handle.result()).outcome == "completed"
    assert "policy_now" not in await activities(handle)  # the policy is the plan's own: nothing had to be asked
    await replays(handle)


@pytest.mark.parametrize("twice", [False, True])
async def test_an_approval_that_temporal_stored_in_time_counts_when_the_worker_comes_back_late(worker, plan, twice):
    async def attempt(seconds: int) -> None:
        waiting, expires_at = await left_alone(worker, plan, seconds)
        digest = waiting.digest
        await signal(waiting.plan, "approve", {"by": "alice", "digest": digest})
        if datetime.now(UTC) >= expires_at:
            raise TooSlow
        await until(lambda: datetime.now(UTC) > expires_at)
        if twice:  # what comes later changes nothing, from any sender
            await signal(waiting.plan, "approve", {"by": "alice", "digest": digest})
            await signal(waiting.plan, "approve", {"by": "mallory", "digest": digest})
        async with worker(**rules(seconds)):
            result = await waiting.plan.result()
        assert result.outcome == "completed", result
        assert WORLD.state[waiting.plan.plan_id] == {"a": 1}
        await replays(waiting.plan)

    await in_time(attempt)


async def test_an_approval_that_temporal_stored_too_late_does_not_count(worker, plan):
    async def attempt(seconds: int) -> None:
        waiting, expires_at = await left_alone(worker, plan, seconds)
        await until(lambda: datetime.now(UTC) > expires_at)
        await signal(waiting.plan, "approve", {"by": "alice", "digest": waiting.digest})
        async with worker(**rules(seconds)):
            result = await waiting.plan.result()
        assert (result.outcome, result.refused) == ("expired", 1), result
        assert not WORLD.state[waiting.plan.plan_id]
        await replays(waiting.plan)

    await in_time(attempt)


class Waiting:
    """A plan that waits for approval while no worker is there."""

    def __init__(self, plan: PlanHandle, digest: str) -> None:
        self.plan = plan
        self.digest = digest


def rules(seconds: int) -> dict[str, Any]:
    return {"approval_timeout": f"{seconds}s", "approval_valid_for": "1h"}


async def left_alone(worker: Worker, plan: Callable[..., dict[str, Any]], seconds: int) -> tuple[Waiting, datetime]:
    """Return a plan that waits for its approval without a worker, and the end of that time."""
    async with worker(**rules(seconds)) as airlock:
        handle = await airlock.submit(plan(step("one", "put", key="a", value=1)))
        status = await handle.wait_for(State.AWAITING_APPROVAL)
    if status.state is not State.AWAITING_APPROVAL or datetime.now(UTC) >= status.expires_at:
        raise TooSlow
    return Waiting(handle, status.digest), status.expires_at
