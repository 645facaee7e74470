"""Current use of every gate, asked from each of them."""

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from airlock.base import names
from airlock.client.errors import NoAnswer
from airlock.client.patience import answered
from airlock.gates.view import GateView

RESOURCES = "gate-resource"
"""Name for the sum of all resource gates, which have hashed names and may be many."""
MOST = 200
"""Limit of gates asked; beyond it the numbers cover a part of them."""
_AT_ONCE = 10
QUERY_TIMEOUT = 10.0
"""Seconds for the answer of a gate."""
_RUNNING = f"WorkflowType = '{names.GATE_WORKFLOW}' AND ExecutionStatus = 'Running'"


@dataclass(frozen=True)
class GateNow:
    """Current use of a gate, or of several."""

    waiting: int = 0
    """Number of requests in the queue."""
    used: int = 0
    """Number of slots taken."""
    capacity: int = 0
    """Number of slots."""
    locks: int = 0
    """Number of locks."""

    def __add__(self, other: "GateNow") -> "GateNow":
        return GateNow(
            self.waiting + other.waiting,
            self.used + other.used,
            self.capacity + other.capacity,
            self.locks + other.locks,
        )


async def gates_now(client: Client) -> dict[str, GateNow]:
    """Return the use of the live gate and of tool gates by workflow id, and of all resource gates as one sum.

    Gates without holders, waiters and locks do not run, and are absent.

    Raises:
        NoAnswer: If one of them does not answer within ten seconds: a partial answer would look complete.
    """
    request = ListWorkflowExecutionsRequest(namespace=client.namespace, query=_RUNNING, page_size=MOST)
    page = await client.workflow_service.list_workflow_executions(request, retry=True)
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(gate: str) -> tuple[str, GateNow | None]:
        async with turns:
            return gate, await _ask(client, gate)

    asked = sorted({names.LIVE_GATE, *(info.execution.workflow_id for info in page.executions)})
    return _summed(await asyncio.gather(*(one(gate) for gate in asked)))


async def _ask(client: Client, gate: str) -> GateNow | None:
    view = await read_gate(client, gate)
    if view is None:
        return None
    return GateNow(waiting=view.waits, used=view.used, capacity=view.capacity, locks=len(view.locks))


async def read_gate(client: Client, gate: str, within: float = QUERY_TIMEOUT, *, patient: bool = False) -> GateView | None:
    """Return the current state of a gate; None if it was never started, and so has no holder and no lock.

    Args:
        client: A connected client.
        gate: Workflow id of the gate.
        within: Seconds for the answer.
        patient: True to ask again for as long as a worker polls: it is busy, not away.

    Raises:
        NoAnswer: If no worker answers.
    """
    called = "the live gate" if gate == names.LIVE_GATE else gate
    try:
        handle, limit = client.get_workflow_handle(gate), timedelta(seconds=within)

        def ask() -> Awaitable[GateView]:
            return handle.query("status", result_type=GateView, rpc_timeout=limit)

        return GateView.model_validate(await answered(client, ask, patient=patient))
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise NoAnswer(f"{called} cannot be read: {error.message}") from error
    except Exception as error:
        raise NoAnswer(f"{called} cannot be read: {error}") from error


def _summed(found: Iterable[tuple[str, GateNow | None]]) -> dict[str, GateNow]:
    gates: dict[str, GateNow] = {}
    for gate, now in found:
        if now is not None:
            label = RESOURCES if gate.startswith(f"{RESOURCES}-") else gate
            gates[label] = gates.get(label, GateNow()) + now
    return gates
