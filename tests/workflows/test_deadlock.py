"""Plans that take overlapping resources in every order all end, and never two of them hold the same one.

A server that is short of processors loses tasks on their way to a worker: it notes that an activity has begun, and its
answer to the worker runs out of time. Temporal makes no second attempt at a call, so that such a call is in doubt; the probe
settles it, and its plan is rolled back.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from itertools import permutations
from typing import Any

import pytest
from pydantic import BaseModel
from temporalio.testing import WorkflowEnvironment

from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import AgentPolicy, Policy
from airlock.client import Airlock
from airlock.plans.catalogue import Catalogue
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, Probe, ToolCall
from airlock.run.outcome import Outcome
from airlock.temporal.live_gate import start_live_gate
from airlock.worker.roles import build_workers
from tests.running import running
from tests.workflows.conftest import namespace

RESOURCES = "abcde"
PLANS = 100
ORDERS = tuple(permutations(RESOURCES, 2)) * 2 + tuple(permutations(RESOURCES, 3))
"""Every order of every two and of every three of the resources: each circle that plans could wait in is there, often."""
AT_ONCE = 20
"""Plans that there are at once; as many may be live."""
STUCK_AFTER = 120.0
"""Seconds in which no plan makes a call and none ends. A busy machine is slow, and still does something."""


class Table:
    """The record of what really happened: the holder of each resource, encounters at it, how often each was taken."""

    def __init__(self) -> None:
        self.there: dict[str, str] = {}
        self.clashes: list[tuple[str, str, str]] = []
        self.taken: Counter[tuple[str, str]] = Counter()


TABLE = Table()


class Take(BaseModel):
    resource: str


@tool(name="take", risk="MEDIUM", reversibility="reversible", fenced=True, timeout=60, resources=["thing:{resource}"])
async def take(args: Take, call: ToolCall) -> dict[str, Any]:
    """Be at a resource for a moment."""
    found = TABLE.there.get(args.resource)
    if found is not None:
        TABLE.clashes.append((args.resource, found, call.plan_id))
    TABLE.there[args.resource] = call.plan_id
    await asyncio.sleep(0.002)  # long enough for another plan's call to come in
    TABLE.there.pop(args.resource, None)
    TABLE.taken[call.plan_id, args.resource] += 1
    return {"resource": args.resource}


@take.dry_run
async def _look(args: Take, _call: ToolCall) -> Preview:
    return Preview(effect=f"take {args.resource}", output={"resource": args.resource})


@take.mock
def _mock(args: Take, _call: ToolCall) -> dict[str, Any]:
    return {"resource": args.resource}


@take.compensate
async def _give_back(_args: Take, _call: ToolCall) -> None:
    return None


@take.probe
async def _was_taken(args: Take, call: ToolCall) -> Probe:
    return Probe(happened=TABLE.taken[call.plan_id, args.resource] > 0, output={"resource": args.resource})


@pytest.fixture
async def crowded(dev_server: WorkflowEnvironment) -> AsyncIterator[Airlock]:
    """Workers of their own, under a policy that approves by itself and lets many plans be live at once."""
    policy = Policy(
        agents={"*": AgentPolicy(permissions=("*",))}, approval_waived_for=("MEDIUM",), max_live_escalations=AT_ONCE
    )
    client = await namespace(dev_server.client, "deadlock")
    async with running(build_workers(client, Toolbox(Catalogue([take]), policy))):
        await start_live_gate(client, policy)  # as workers do: a gate that begins among many plans begins locked
        yield Airlock(client)


def document(number: int, order: tuple[str, ...]) -> dict[str, Any]:
    """Return a plan that takes its resources one after the other, in this order."""
    steps = [
        {
            "id": resource, "agent": "a", "tool": "take", "args": {"resource": resource}, "confidence": 0.95,
            "after": [before] if before else [],
        }
        for before, resource in zip((None, *order), order, strict=False)
    ]  # fmt: skip
    return {"plan_id": f"order-{number}", "requested_by": "rita", "steps": steps}


async def while_calls_are_made(endings: list[asyncio.Future[Any]]) -> list[Any]:
    """Return the results of all plans. Fails when nothing happens for too long: that is a deadlock."""
    seen, since = -1, time.monotonic()
    while not all(ending.done() for ending in endings):
        happened = TABLE.taken.total() + sum(ending.done() for ending in endings)
        if happened != seen:
            seen, since = happened, time.monotonic()
        assert time.monotonic() - since < STUCK_AFTER, f"{seen} calls and endings, then none for {STUCK_AFTER:g} s"
        await asyncio.wait(endings, timeout=1.0)
    return [ending.result() for ending in endings]


@pytest.mark.slow
@pytest.mark.timeout(600)  # a machine that is busy with other things takes longer, and that is no deadlock
async def test_every_order_of_overlapping_resources_finishes(crowded: Airlock) -> None:
    assert len(ORDERS) == PLANS
    assert len(set(ORDERS)) == 20 + 60
    few = asyncio.Semaphore(AT_ONCE)

    async def ended(number: int, order: tuple[str, ...]) -> Any:
        async with few:
            return await (await crowded.submit(document(number, order))).result()

    results = await while_calls_are_made([asyncio.ensure_future(ended(*one)) for one in enumerate(ORDERS)])
    outcomes = {result.plan_id: result.outcome for result in results}
    assert list(outcomes.values()).count(Outcome.COMPLETED) >= PLANS * 0.8
    assert TABLE.clashes == []
    assert set(TABLE.taken.values()) == {1}
    for number, order in enumerate(ORDERS):
        plan = f"order-{number}"
        taken = [resource for resource in order if (plan, resource) in TABLE.taken]
        assert taken == list(order[: len(taken)])
        assert (len(taken) == len(order)) == (outcomes[plan] is Outcome.COMPLETED)
