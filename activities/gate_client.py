"""Requests to gates by update and signal: repeated while a gate's run ends, and answered from its last run."""

import asyncio
import random
from typing import Any, TypeVar, cast

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from airlock.admission.admitted import EPOCH
from airlock.base import names
from airlock.base.visible import visible
from airlock.gates.answers import (
    AcquireBusy,
    AcquireClosed,
    AcquireQueued,
    AcquireRefused,
    AcquireResult,
    GateAnswer,
    GateBusy,
    GateClosed,
    OverBudget,
    SlotQueued,
)
from airlock.gates.messages import INVALID, GateStart
from airlock.gates.protocol import ClosedGate, GateWait, HeldSlot, Release, SlotRequest
from airlock.temporal.carried import demands_proofs
from airlock.temporal.gate_memory import left_behind
from airlock.temporal.proof_converter import UnprovenAnswer

Answer = TypeVar("Answer")

_ASKS = 12
"""Attempts to get an answer from one gate before the activity fails and is retried."""
_STORED_WITHIN = 1.0
"""Seconds for the SDK to store the error of a question."""
_ASK_AGAIN = (
    RPCStatusCode.NOT_FOUND,
    RPCStatusCode.ABORTED,
    RPCStatusCode.FAILED_PRECONDITION,
    RPCStatusCode.RESOURCE_EXHAUSTED,
)
"""Answers of Temporal while a gate's run ends or continues as new, or while too many plans ask it at once."""


async def ask(client: Client, gate: str, wanted: SlotRequest) -> GateAnswer:
    """Return the answer of one gate; ask again while its run is ending or too many plans ask it."""
    for attempt in range(_ASKS):
        try:
            answer = await _answer(client, gate, wanted)
        except (RPCError, WorkflowUpdateFailedError) as error:
            if attempt + 1 == _ASKS or not _worth_asking_again(error):
                raise
            # jitter: plans that were turned away together must not come back together
            await asyncio.sleep(min(0.02 * 2**attempt, 1.0) * random.uniform(0.5, 1.5))
        else:
            if demands_proofs(client) and answer.nonce != wanted.nonce:
                raise UnprovenAnswer(f"{gate} answered another question than this one")
            return answer
    raise AssertionError("unreachable")


async def _answer(client: Client, gate: str, wanted: SlotRequest) -> GateAnswer:
    if gate == names.LIVE_GATE:  # it never ends by itself, so that it runs almost always: one request instead of two
        try:
            found: GateAnswer = await client.get_workflow_handle(gate).execute_update(
                "acquire", wanted, result_type=cast(Any, GateAnswer)
            )
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
        else:
            return found
    start = GateStart(capacity=wanted.capacity, after=await left_behind(client, gate), epoch=EPOCH)
    answer: GateAnswer = await updated(client, gate, wanted.name, start, "acquire", wanted, cast(Any, GateAnswer))
    return answer


async def updated(
    client: Client, gate: str, name: str, start: GateStart, update: str, question: object, answer: type[Answer]
) -> Answer:
    """Return the answer of one gate to an update; the gate is started if it is not there.

    Args:
        client: A client of the namespace.
        gate: The gate's workflow id.
        name: The name of its resource or tool, for the Temporal UI.
        start: The input of a gate that is started.
        update: The name of the update.
        question: Its argument.
        answer: The type of its answer.
    """
    operation: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
        names.GATE_WORKFLOW,
        start,
        id=gate,
        task_queue=names.WORKFLOW_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        static_summary=f"gate: {visible(name)}"[:200],
    )
    try:
        found: Answer = await client.execute_update_with_start_workflow(
            update, question, start_workflow_operation=operation, result_type=answer
        )
    except BaseException:
        # the SDK stores the error in the start operation too; unread, asyncio logs it as never retrieved. Where the question
        # itself was cancelled it may store nothing, and that is waited for in vain
        stored = asyncio.ensure_future(asyncio.gather(operation.workflow_handle(), return_exceptions=True))
        await asyncio.wait((stored,), timeout=_STORED_WITHIN)
        stored.cancel()
        raise
    return found


def _worth_asking_again(error: RPCError | WorkflowUpdateFailedError) -> bool:
    if isinstance(error, RPCError):
        return error.status in _ASK_AGAIN
    return isinstance(error.cause, ApplicationError) and error.cause.type in ("AcceptedUpdateCompletedWorkflow", INVALID)


async def release_slots(client: Client, gate: str, release: Release) -> bool:
    """Release the slots of one request at a gate. Return False if that gate no longer exists."""
    try:
        await client.get_workflow_handle(gate).signal("release", release)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
    else:
        return True
    if not (after := await left_behind(client, gate)):
        return False
    # the gate's next run restores the slots of the terminated one: without this signal it would never free this slot
    await client.start_workflow(
        names.GATE_WORKFLOW,
        GateStart(after=after, epoch=EPOCH),
        id=gate,
        task_queue=names.WORKFLOW_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        start_signal="release",
        start_signal_args=[release],
    )
    return True


def not_granted(
    gate: str, name: str, answer: SlotQueued | GateBusy | GateClosed | OverBudget, held: tuple[HeldSlot, ...]
) -> AcquireResult:
    """Return the result of an acquisition that ends at a gate without a slot there.

    Args:
        gate: The gate.
        name: The name of its resource or tool.
        answer: The gate's answer.
        held: The slots that other gates granted before.
    """
    match answer:
        case SlotQueued(position=position, holders=holders):
            return AcquireQueued(held=held, waiting=GateWait(gate=gate, name=name, position=position, holders=holders))
        case GateBusy(holders=holders):
            return AcquireBusy(held=held, busy=GateWait(gate=gate, name=name, holders=holders))
        case GateClosed(by=by, why=why, proof=proof):
            return AcquireClosed(held=held, closed=ClosedGate(by=by, reason=why, proof=proof))
        case OverBudget(why=why):
            return AcquireRefused(held=held, refused=why or "the gate refused")
