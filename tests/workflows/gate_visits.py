"""A namespace with workers for gates, and tiny plans that visit the gates in it."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from airlock.activities.admit import resource_hash
from airlock.activities.gates import GateActivities
from airlock.activities.policy import PolicyActivities
from airlock.activities.toolbox import Toolbox
from airlock.base import names
from airlock.base.incoming import Verdict
from airlock.gates.protocol import AcquireRequest, LiveSlot
from airlock.gates.view import GateView
from airlock.worker.roles import patient, runner
from airlock.workflows.gates.gate import GateWorkflow
from airlock.workflows.interceptors import SafeSignals
from tests.running import running
from tests.workflows.conftest import POLICY, catalogue, namespace, until
from tests.workflows.tiny_plan import QUEUE, TinyPlan, Visit, Workshop

NUMBERS = itertools.count(1)
KEY = "a key"
WORKSHOP = Workshop()


@asynccontextmanager
async def gates(dev_server: Any) -> AsyncIterator[Client]:
    """A namespace of its own, with a worker for gates and one for tiny plans."""
    client = await namespace(dev_server.client, f"gates{next(NUMBERS)}")
    toolbox = Toolbox(catalogue(), POLICY, KEY)
    work, policy = GateActivities(toolbox), PolicyActivities(toolbox)
    gate_worker = Worker(
        client, task_queue=names.WORKFLOW_QUEUE, workflows=[GateWorkflow], workflow_runner=runner(),
        activities=[work.acquire, work.leave, work.look, work.recall, policy.policy_now], interceptors=[SafeSignals()],
    )  # fmt: skip
    tiny = Worker(
        client, task_queue=QUEUE, workflows=[TinyPlan], activities=[WORKSHOP.work], workflow_runner=runner()
    )  # fmt: skip
    async with running([patient(gate_worker), patient(tiny)]):
        yield client


class Plan:
    def __init__(self, client: Client, handle: WorkflowHandle[Any, Any]) -> None:
        self.client, self.handle = client, handle

    async def state(self) -> dict[str, Any]:
        return await self.handle.query("state")

    async def inside(self) -> bool:
        return bool((await self.state())["inside"])

    async def heard(self, kind: str) -> list[Any]:
        return [news[kind] for news in (await self.state())["heard"] if kind in news]

    async def leave(self) -> None:
        await self.handle.signal("leave")


async def visit(client: Client, stay: bool = True, leave: bool = True, work: bool = False, **wants: Any) -> Plan:
    plan_id = f"t{next(NUMBERS)}"
    holder = names.plan_workflow_id(plan_id)
    request = AcquireRequest(**{"plan_id": plan_id, "holder": holder, "request": "1", **wants})
    visiting = Visit(request=request, stay=stay, leave=leave, work=work)
    handle = await client.start_workflow(TinyPlan.run, visiting, id=holder, task_queue=QUEUE)
    return Plan(client, handle)


async def inside(client: Client, **wants: Any) -> Plan:
    plan = await visit(client, **wants)
    await until(plan.inside)
    return plan


def resource() -> str:
    return f"thing:{next(NUMBERS)}"


def gate_of(client: Client, name: str) -> WorkflowHandle[Any, Any]:
    return client.get_workflow_handle(names.resource_gate_id(resource_hash(KEY, name)))


def live_gate(client: Client) -> WorkflowHandle[Any, Any]:
    return client.get_workflow_handle(names.LIVE_GATE)


async def status(handle: WorkflowHandle[Any, Any]) -> GateView:
    return await handle.query("status", result_type=GateView)


async def waiting(handle: WorkflowHandle[Any, Any], number: int) -> GateView:
    async def enough() -> GateView | None:
        view = await status(handle)
        return view if view.waits == number else None

    return await until(enough)


async def closed(handle: WorkflowHandle[Any, Any]) -> str:
    async def status_name() -> str:
        found = await handle.describe()
        return found.status.name if found.status and found.status.name != "RUNNING" else ""

    return await until(status_name)


async def decide(handle: WorkflowHandle[Any, Any], decision: str, **more: Any) -> Verdict:
    said = {"decision": decision, "by": "olga", "reason": "drill", **more}
    return await handle.execute_update("decide", said, result_type=Verdict)


LIVE = LiveSlot(capacity=2)
