"""Evidence that plans of a namespace were live before: a client that deletes the live gate deletes its locks with it."""

import asyncio
from typing import Final

from pydantic import ValidationError
from temporalio.api.common.v1 import Payloads
from temporalio.api.workflow.v1 import WorkflowExecutionInfo as Info
from temporalio.api.workflowservice.v1 import CountWorkflowExecutionsRequest, ListWorkflowExecutionsRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from airlock.base.names import ATTRIBUTE_OUTCOME, ATTRIBUTE_STATE, LIVE_GATE, PLAN_WORKFLOW
from airlock.gates.answers import AcquireBusy, AcquireDenied, AcquireQueued
from airlock.plans.state import State
from airlock.run.live.call_messages import ChainRequest, ChainResult
from airlock.temporal.history import Unreadable, read_run
from airlock.temporal.past_activities import ActivityReader
from airlock.temporal.past_calls import CALL

MAX_READ: Final = 100
"""Runs of plans whose histories are read. Where there are more, and none of these made a call, nothing is known."""
_AT_ONCE: Final = 10
_ENDED: Final = (
    "activity_task_completed_event_attributes",
    "activity_task_failed_event_attributes",
    "activity_task_timed_out_event_attributes",
    "activity_task_canceled_event_attributes",
)
_DELETED: Final = "no run of it is there any more, though plans were live: it was deleted"
_UNKNOWN: Final = "no run of it is there any more, and too many plans to see whether any was live: it may be deleted"


async def deleted_gate(client: Client) -> str:
    """Return why a live gate without earlier runs must have had one that was deleted, or may have; empty if it had none.

    Where plans were live or locked in this namespace before, there was a live gate, which never ends. Search attributes tell
    that at once. Any client can remove them and register them again, after which they tell nothing of earlier plans: the
    histories do.

    Raises:
        RPCError: If Temporal does not answer.
    """
    query = (
        f"WorkflowType = '{PLAN_WORKFLOW}' AND ({ATTRIBUTE_OUTCOME} IN ('completed', 'partial') "
        f"OR {ATTRIBUTE_STATE} = '{State.LOCKED}')"
    )
    counted = CountWorkflowExecutionsRequest(namespace=client.namespace, query=query)
    try:
        if (await client.workflow_service.count_workflow_executions(counted, retry=True)).count > 0:
            return _DELETED
    except RPCError as error:
        if error.status is not RPCStatusCode.UNIMPLEMENTED:
            raise
        return ""  # only the time-skipping test server cannot count
    request = ListWorkflowExecutionsRequest(
        namespace=client.namespace, query=f"WorkflowType = '{PLAN_WORKFLOW}'", page_size=MAX_READ + 1
    )
    runs = list((await client.workflow_service.list_workflow_executions(request, retry=True)).executions)
    for first in range(0, len(runs[:MAX_READ]), _AT_ONCE):
        if any(await asyncio.gather(*(_made_call(client, run) for run in runs[first : first + _AT_ONCE]))):
            return _DELETED
    return _UNKNOWN if len(runs) > MAX_READ else ""


async def _made_call(client: Client, run: Info) -> bool:
    """Return True if a run was let into LIVE, so far as answers to calls tell, or if its history cannot be read.

    The first calls of a plan ask the live gate themselves: one that is under way may be the reason why the gate starts, and
    so may one that no worker began in time, or that was turned away before it came to that gate.
    """
    workflow_id = run.execution.workflow_id
    try:
        events = await read_run(client, workflow_id, run.execution.run_id)
    except Unreadable:
        return True
    asked = [each for each in events if each.activity_task_scheduled_event_attributes.activity_type.name == CALL]
    calls = {each.event_id: ActivityReader(client, workflow_id, each) for each in asked}
    for each in events:
        kind = each.WhichOneof("attributes")
        end = getattr(each, kind) if kind in _ENDED else None
        if end is None or not end.started_event_id or end.scheduled_event_id not in calls:
            continue
        answer = each.activity_task_completed_event_attributes.result
        if not await _turned_away(calls[end.scheduled_event_id], answer):
            return True
    return False


async def _turned_away(reader: ActivityReader, answer: Payloads) -> bool:
    """Return True if a worker is known to have said that it made no call, and that the live gate had not answered it."""
    try:
        chain = ChainRequest.model_validate(await reader.question())
        result = ChainResult.model_validate(await reader.answer(answer))
    except (ValidationError, Unreadable):
        return False
    if chain.enter is None or result.attempts or not reader.asked_by_airlock:
        return False
    match result.entered:  # the live gate is asked last, and only its budgets and its locks refuse a plan
        case None:
            return True
        case AcquireDenied(held=held):
            gate = ""
        case AcquireQueued(held=held, waiting=place) | AcquireBusy(held=held, busy=place):
            gate = place.gate
        case _:
            return False
    return LIVE_GATE not in (gate, *(slot.gate for slot in held))
