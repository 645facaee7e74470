"""The age of an approval: a plan that waits longer than it is valid makes no call, and asks again."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

from temporalio.client import WorkflowExecutionStatus

from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.base import names
from airlock.client import Airlock, PlanHandle
from airlock.plans.state import State
from airlock.worker.roles import build_workers
from tests.running import running
from tests.workflows.conftest import POLICY, approved, awaiting, catalogue, namespace, step, until
from tests.workflows.deadlines import TooSlow, in_time
from tests.workflows.world import WORLD

RULES = {"max_live_escalations": 1, "approval_valid_for": "3m", "approval_waived_for": ["MEDIUM"]}
MINUTE = timedelta(minutes=1)


async def closed(handle: PlanHandle) -> bool:
    """Return True if the run is closed; this server cannot read a history backwards, as `PlanHandle.ended` does."""
    return (await handle.workflow.describe()).status is not WorkflowExecutionStatus.RUNNING


async def queued(airlock: Airlock, plan: Callable[..., dict[str, Any]]) -> tuple[PlanHandle, PlanHandle, str]:
    """Return a plan that fills the live gate for an hour, an approved one that waits behind it, and its digest.

    The first needs no approval, so that none of it gets too old.
    """
    document = plan(step("one", "put", key="a", value=1))
    WORLD.trouble[(document["plan_id"], "one")] = ["retry_in_an_hour"]
    first = await airlock.submit(document)
    await until(lambda: WORLD.attempts[f"{first.plan_id}/one"] == 1)
    second = await airlock.submit(plan(step("mail", "send", to="jo")))
    digest = (await awaiting(second)).digest
    await approved(second)

    async def waits_at_the_gate() -> bool:
        return "its turn at live" in (await second.status()).waits_for

    await until(waits_at_the_gate)
    return first, second, digest


async def test_a_plan_that_waits_at_a_gate_for_longer_than_its_approval_is_valid_asks_again(skipping, plan):
    airlock, env = await skipping(**RULES)
    first, second, digest = await queued(airlock, plan)
    await env.sleep(2 * MINUTE)  # no longer: a gate looks for closed holders every few seconds while a plan waits
    assert (await second.status()).state is State.LIVE
    await env.sleep(2 * MINUTE)
    assert (await awaiting(second)).digest != digest
    assert "was valid until" in (await second.preview()).replaced[-1].why
    refused = await second.decide("approve", by="alice", digest=digest)
    assert not refused.accepted
    assert "was valid until" in refused.reason
    await env.sleep(61 * MINUTE)
    for _ in range(60):  # on a busy machine the first attempt ends later by this server's clock, and its second with it
        if await closed(first):
            break
        await env.sleep(MINUTE)
    assert await closed(first)
    assert not WORLD.effects[f"{second.plan_id}/mail"]
    await approved(second)
    assert (await second.result()).outcome == "completed"
    assert WORLD.effects[f"{second.plan_id}/mail"] == 1


async def test_a_plan_that_asked_again_and_gets_no_answer_expires(skipping, plan):
    airlock, env = await skipping(**RULES, approval_timeout="2h")
    _, second, _ = await queued(airlock, plan)
    await env.sleep(4 * MINUTE)
    await awaiting(second)
    await env.sleep(121 * MINUTE)
    await until(lambda: closed(second))
    assert (await second.result()).outcome == "expired"
    assert not WORLD.effects[f"{second.plan_id}/mail"]


async def test_a_call_that_no_worker_begins_while_the_approval_is_valid_is_not_made(dev_server, plan):
    """On the dev server: the time-skipping one does not skip while an activity waits for a worker."""

    async def attempt(seconds: int) -> None:
        client = await namespace(dev_server.client, f"aged-{uuid4().hex[:8]}")
        rules = POLICY.model_dump() | {"approval_valid_for": f"{seconds}s"}
        workers = build_workers(client, Toolbox(catalogue(), Policy.model_validate(rules)))
        absent = [worker for worker in workers if worker.task_queue == names.LIVE_QUEUE]
        assert absent
        document = plan(step("one", "put", key="a", value=1), step("two", "put", ("one",), key="b", value=2))
        async with running(worker for worker in workers if worker not in absent):
            handle = await Airlock(client).submit(document)
            digest = (await awaiting(handle)).digest
            await approved(handle)

            async def asks_again() -> bool:
                status = await handle.status()
                return status.state is State.AWAITING_APPROVAL and status.digest != digest

            await until(asks_again)
            assert (await handle.status()).steps[0].status == "waiting"
            assert not WORLD.attempts[f"{handle.plan_id}/one"]
            async with running(absent):
                digest = (await handle.status()).digest
                await approved(handle)
                await until(lambda: ended_or(handle, asks_again))
                if not await handle.ended():
                    raise TooSlow
                assert (await handle.result()).outcome == "completed"
        assert WORLD.state[handle.plan_id] == {"a": 1, "b": 2}

    await in_time(attempt)


async def ended_or(handle: PlanHandle, holds: Callable[[], Awaitable[bool]]) -> bool:
    return await handle.ended() or await holds()
