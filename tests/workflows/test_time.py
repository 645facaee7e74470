"""Time: what expires, when, and what waiting costs. Days pass in milliseconds on the time-skipping server.

Its clock only moves in `env.sleep`, so that no test can jump over the time in which it wanted to do something.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from airlock.activities.toolbox import Toolbox
from airlock.client import Airlock, PlanHandle
from airlock.plans.catalogue import Catalogue
from airlock.plans.state import State
from airlock.worker.roles import build_workers
from airlock.workflows.plan_stages import HISTORY
from tests.running import running
from tests.workflows.conftest import (
    POLICY,
    approved,
    awaiting,
    chain,
    count,
    events,
    namespace,
    signal,
    step,
    until,
)
from tests.workflows.deadlines import TooSlow, approve_in_time, in_time
from tests.workflows.world import WORLD, once, put

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
BUSY = (
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
)


@pytest.fixture
async def hurried(dev_server: WorkflowEnvironment) -> AsyncIterator[Callable[[float], Awaitable[Airlock]]]:
    """Makes an Airlock whose tools promise to fit a deadline, in seconds: a step that may not fit it never goes live.

    `put` takes up to a fifth of it, `once` three quarters.
    """
    async with AsyncExitStack() as stack:

        async def make(deadline: float) -> Airlock:
            client = await namespace(dev_server.client, f"hurried-{uuid4().hex[:8]}")
            promises = {"put": {"timeout": 0.2 * deadline}, "once": {"timeout": 0.75 * deadline}}
            tools = Toolbox(Catalogue([once, put], overrides=promises), POLICY)
            await stack.enter_async_context(running(build_workers(client, tools)))
            return Airlock(client)

        yield make


async def approved_late(handle: PlanHandle, deadline: float) -> datetime:
    """Approve when most of the deadline has passed, so that its calls reach it; when that was."""
    status = await handle.wait_for(State.AWAITING_APPROVAL)
    late = status.submitted_at + timedelta(seconds=0.6 * deadline)
    await until(lambda: datetime.now(UTC) >= late)
    now = datetime.now(UTC)
    await approve_in_time(handle, status)
    return now


async def fired(handle: PlanHandle) -> bool:
    """Return True if the deadline has passed."""
    return bool((await count(handle))["TIMER_FIRED"])


async def before_the_deadline(handle: PlanHandle, holds: Callable[[], bool]) -> None:
    """Wait until something holds before the deadline passes."""

    async def held() -> bool:
        if await handle.ended() or await fired(handle):
            raise TooSlow
        return holds()

    await until(held)


@pytest.fixture
def document(plan: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return plan(step("one", "put", key="a", value=1), step("two", "put", ("one",), key="b", value=2))


async def expires(handle: PlanHandle, env: WorkflowEnvironment, at: datetime) -> Any:
    """See the plan expire at that time, not a minute before and not a minute after, with nothing live."""
    try:
        await env.sleep(at - await env.get_current_time() - timedelta(minutes=1))
    except RPCError as error:  # the time-skipping server sometimes drops its connection when the machine is busy
        assert "h2 protocol error" in error.message  # noqa: PT017  # anything else is a failure
        await env.sleep(at - await env.get_current_time() - timedelta(minutes=1))
    assert (await handle.status()).outcome is None
    await env.sleep(timedelta(minutes=2))
    result = await asyncio.wait_for(handle.result(), 120)
    assert (result.outcome, result.state, result.live) == ("expired", State.MOCK, ())
    assert not WORLD.state[handle.plan_id]
    with pytest.raises(RPCError) as late:
        await signal(handle, "approve", {"by": "alice", "digest": result.digest})
    assert late.value.status is RPCStatusCode.NOT_FOUND
    assert not (await count(handle))["WORKFLOW_TASK_FAILED"]
    return result


async def completes(handle: PlanHandle) -> Any:
    result = await asyncio.wait_for(handle.result(), 120)
    assert result.outcome == "completed", result
    assert WORLD.state[handle.plan_id] == {"a": 1, "b": 2}
    return result


async def test_a_day_without_approval(skipping, document):
    airlock, env = await skipping()
    handle = await airlock.submit(document)
    status = await awaiting(handle)
    assert status.expires_at - status.since == DAY
    await expires(handle, env, status.expires_at)


async def test_an_approval_after_23_hours_counts(skipping, document):
    airlock, env = await skipping()
    handle = await airlock.submit(document)
    await awaiting(handle)
    await env.sleep(23 * HOUR)
    await approved(handle)
    await completes(handle)


async def test_half_a_quorum_does_not_stop_the_clock(skipping, document):
    airlock, env = await skipping(approvals_required=2)
    handle = await airlock.submit(document)
    status = await awaiting(handle)
    await env.sleep(23 * HOUR)
    assert (await handle.decide("approve", by="alice", digest=status.digest)).accepted
    assert not (await handle.decide("approve", by="alice", digest=status.digest)).accepted
    await expires(handle, env, status.expires_at)


async def test_the_time_that_the_policy_gives(skipping, document):
    airlock, env = await skipping(approval_timeout="1h")
    handle = await airlock.submit(document)
    status = await awaiting(handle)
    assert status.expires_at - status.since == HOUR
    assert "within 1h" in (await handle.preview()).text
    await expires(handle, env, status.expires_at)


@pytest.mark.parametrize(("deadline", "waits"), [("2h", 2 * HOUR), ("30d", DAY)])
async def test_the_deadline_of_the_plan_can_only_shorten(skipping, document, deadline, waits):
    airlock, env = await skipping()
    handle = await airlock.submit({**document, "deadline": deadline})
    status = await awaiting(handle)
    assert abs(status.expires_at - status.submitted_at - waits) < timedelta(minutes=1)
    await expires(handle, env, status.expires_at)


async def test_an_approval_before_the_deadline_counts(skipping, document):
    airlock, env = await skipping()
    handle = await airlock.submit({**document, "deadline": "2h"})
    await awaiting(handle)
    await env.sleep(HOUR)
    await approved(handle)
    await completes(handle)


async def test_a_week_of_waiting_costs_nothing(skipping, document):
    airlock, env = await skipping(approval_timeout="30d")
    handle = await airlock.submit(document)
    status = await awaiting(handle)
    before = await events(handle)
    for _ in range(7):
        await env.sleep(DAY)
        assert (await handle.status()).state is State.AWAITING_APPROVAL
    assert await events(handle) == before
    assert (await handle.status()) == status
    await approved(handle)
    await completes(handle)


async def test_a_locked_plan_does_not_expire_and_costs_nothing(skipping, document):
    airlock, env = await skipping()
    handle = await airlock.submit(document)
    old = await awaiting(handle)
    assert (await handle.decide("lock", by="lena", reason="holidays")).accepted
    before = await events(handle)
    await env.sleep(7 * DAY)
    assert (await handle.status()).state is State.LOCKED
    # the timer of the approval is cancelled with the lock, so nothing happens in a week
    assert await events(handle) == before
    assert (await handle.decide("unlock", by="lena", reason="back")).accepted
    status = await awaiting(handle)
    assert status.expires_at - old.expires_at > 7 * DAY - HOUR
    await env.sleep(23 * HOUR)
    await approved(handle)
    await completes(handle)


async def test_a_deadline_that_passed_while_locked_expires_after_the_unlock(skipping, document):
    airlock, env = await skipping()
    handle = await airlock.submit({**document, "deadline": "2h"})
    await awaiting(handle)
    assert (await handle.decide("lock", by="lena", reason="wait")).accepted
    await env.sleep(3 * HOUR)
    assert (await handle.status()).state is State.LOCKED
    await signal(handle, "unlock", {"by": "lena", "reason": "go on"})
    result = await asyncio.wait_for(handle.result(), 120)
    assert (result.outcome, result.live) == ("expired", ())
    assert not WORLD.state[handle.plan_id]


async def test_the_clock_goes_on_through_a_continue_as_new(skipping, document):
    airlock, env = await skipping()
    handle = await airlock.submit(document)
    status = await awaiting(handle)
    await env.sleep(12 * HOUR)
    sent = 0

    async def idle() -> bool:
        return (await events(handle))[-1].event_type not in BUSY

    # no query and nothing else under way when the run gets full: this server loses what reaches a run that just then
    # continues as new, and its clock stands still from then on
    while (length := len(await events(handle))) > 10:
        at_once = 40 if length < HISTORY.events - 60 else 1
        await asyncio.gather(*(signal(handle, "approve", "junk") for _ in range(at_once)))
        sent += at_once
        await until(idle)
    assert (await handle.status()).expires_at == status.expires_at
    assert (await expires(handle, env, status.expires_at)).refused == sent
    assert len(await chain(handle)) == 2


def called(plan_id: str) -> set[str]:
    return {made for what, plan, made in WORLD.log if (what, plan) == ("live", plan_id)}


async def test_the_deadline_passes_while_calls_run(hurried, plan):
    """On the dev server: the time-skipping one does not skip while an activity runs."""

    async def attempt(deadline: int) -> None:
        document = plan(
            step("quick", "put", key="quick", value=1),
            step("slow", "once", key="slow", value=1),
            step("sibling", "once", key="sibling", value=1),
            step("next", "put", ("quick", "slow"), key="next", value=1),
            deadline=f"{deadline}s",
        )
        plan_id = document["plan_id"]
        gates = [WORLD.hold(plan_id, name) for name in ("slow", "sibling")]
        try:
            handle = await (await hurried(deadline)).submit(document)
            approved_at = await approved_late(handle, deadline)
            status = await handle.status()
            assert status.expires_at == status.submitted_at + timedelta(seconds=deadline)
            held = {(plan_id, "slow"), (plan_id, "sibling")}
            quick = f"{plan_id}/quick"
            await before_the_deadline(handle, lambda: held <= WORLD.running and WORLD.effects[quick] == 1)
            await until(lambda: fired(handle))
            status = await handle.status()
        finally:
            for gate in gates:
                gate.set()
        given_up_from(approved_at, deadline)
        assert set(status.in_flight) == {"slow", "sibling"}  # they are not cut short
        result = await handle.result()
        assert (result.outcome, result.state) == ("aborted", State.ABORTED)
        assert "deadline passed" in result.why
        assert called(plan_id) == {"quick", "slow", "sibling"}
        assert set(result.undone) == {"quick", "slow", "sibling"}
        assert WORLD.state[plan_id] == {}

    await in_time(attempt)


def given_up_from(approved_at: datetime, deadline: int) -> None:
    """Return True if calls made after the approval may have been given up by now.

    `once` takes up to 0.75 of the deadline.
    """
    if datetime.now(UTC) > approved_at + timedelta(seconds=0.7 * deadline):
        raise TooSlow


async def test_the_deadline_passes_while_a_call_waits_to_be_tried_again(hurried, plan):
    async def attempt(deadline: int) -> None:
        steps = step("one", "put", key="a", value=1), step("busy", "put", ("one",), key="b", value=1)
        document = plan(*steps, deadline=f"{deadline}s")
        plan_id = document["plan_id"]
        WORLD.trouble[(plan_id, "busy")] = ["retry_in_an_hour"]
        handle = await (await hurried(deadline)).submit(document)
        await approve_in_time(handle, await handle.wait_for(State.AWAITING_APPROVAL))
        result = await asyncio.wait_for(handle.result(), 200)
        if not WORLD.attempts[f"{plan_id}/busy"]:
            raise TooSlow
        assert result.outcome == "aborted", result
        assert await fired(handle)
        assert WORLD.attempts[f"{plan_id}/busy"] == 1  # the second would have worked, but came too late
        assert WORLD.state[plan_id] == {}

    await in_time(attempt)


async def test_a_deadline_that_the_last_call_just_misses_does_not_undo_it(hurried, plan):
    async def attempt(deadline: int) -> None:
        steps = step("one", "once", key="a", value=1), step("two", "put", key="b", value=2)
        document = plan(*steps, deadline=f"{deadline}s")
        plan_id = document["plan_id"]
        gate = WORLD.hold(plan_id, "one")
        try:
            handle = await (await hurried(deadline)).submit(document)
            approved_at = await approved_late(handle, deadline)
            two = f"{plan_id}/two"
            await before_the_deadline(handle, lambda: (plan_id, "one") in WORLD.running and WORLD.effects[two] == 1)
            await until(lambda: fired(handle))
        finally:
            gate.set()
        given_up_from(approved_at, deadline)
        await completes(handle)

    await in_time(attempt)
