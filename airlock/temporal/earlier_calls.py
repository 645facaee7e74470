"""Evidence that plans of a namespace were live before: a client that deletes the live gate deletes its locks with it."""

import asyncio
from typing import Final

from pydantic import TypeAdapter, ValidationError
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import WorkflowExecutionInfo as Info
from temporalio.api.workflowservice.v1 import CountWorkflowExecutionsRequest, ListWorkflowExecutionsRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from airlock.base.names import ATTRIBUTE_OUTCOME, ATTRIBUTE_STATE, LIVE_GATE, PLAN_WORKFLOW
from airlock.gates.answers import AcquireBusy, AcquireDenied, AcquireQueued, AcquireResult
from airlock.plans.state import State
from airlock.run.live.call_messages import ChainRequest, ChainResult
from airlock.temporal.history import Defaced, Gone, Unreadable, read_run
from airlock.temporal.past_activities import ActivityReader
from airlock.temporal.past_calls import CALL, ends_of

MAX_READ: Final = 100
"""Runs of plans whose histories are read. Where there are more, and none of these made a call, nothing is known."""
_AT_ONCE: Final = 10
_ACQUIRE: Final = "acquire"
_ACQUIRED: Final = TypeAdapter[AcquireResult](AcquireResult)
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
    runs, whole = await _plans(client)
    for first in range(0, len(runs), _AT_ONCE):
        if any(await asyncio.gather(*(_asked_the_live_gate(client, run) for run in runs[first : first + _AT_ONCE]))):
            return _DELETED
    return "" if whole else _UNKNOWN


async def _plans(client: Client) -> tuple[list[Info], bool]:
    """Return the latest runs of plans, at most `MAX_READ`, and whether these are all."""
    found, token = list[Info](), b""
    while True:
        page = await client.workflow_service.list_workflow_executions(
            ListWorkflowExecutionsRequest(
                namespace=client.namespace, query=f"WorkflowType = '{PLAN_WORKFLOW}'", page_size=MAX_READ + 1,
                next_page_token=token,
            ),
            retry=True,
        )  # fmt: skip
        found += page.executions
        token = page.next_page_token
        if not token or len(found) > MAX_READ:
            return found[:MAX_READ], len(found) <= MAX_READ


async def _asked_the_live_gate(client: Client, run: Info) -> bool:
    """Return True if a history tells that the live gate has answered a run, or if it can never be read.

    The first calls of a plan ask that gate themselves. While they are under way they may be the reason why it starts, and
    so may those that no worker began in time, or that were turned away before they came to it.

    Raises:
        Unreadable: If Temporal does not answer.
    """
    workflow_id = run.execution.workflow_id
    try:
        events = await read_run(client, workflow_id, run.execution.run_id)
    except Gone:
        return False  # deleted since visibility listed it
    except Defaced:
        return True
    ends = ends_of(events)
    for each in events:
        activity = each.activity_task_scheduled_event_attributes.activity_type.name
        if activity not in (CALL, _ACQUIRE):
            continue
        reader, end = ActivityReader(client, workflow_id, each), ends.get(each.event_id)
        tells = _call_tells if activity == CALL else _acquisition_tells
        try:
            if await tells(reader, end):
                return True
        except (ValidationError, Unreadable):  # a client has asked or answered this: no worker denies it
            return True
    return False


async def _call_tells(reader: ActivityReader, end: HistoryEvent | None) -> bool:
    chain = ChainRequest.model_validate(await reader.question())
    if chain.enter is None:
        return reader.asked_by_airlock  # the run had entered LIVE
    if end is None or not getattr(end, str(end.WhichOneof("attributes"))).started_event_id:
        return False
    result = ChainResult.model_validate(await reader.answer(end.activity_task_completed_event_attributes.result))
    if result.attempts or not reader.asked_by_airlock:
        return True
    return result.entered is not None and _came_to_the_live_gate(result.entered)


async def _acquisition_tells(reader: ActivityReader, end: HistoryEvent | None) -> bool:
    if end is None or not end.HasField("activity_task_completed_event_attributes"):
        return False  # it may be the reason why the gate starts
    await reader.question()
    answer = await reader.answer(end.activity_task_completed_event_attributes.result)
    return _came_to_the_live_gate(_ACQUIRED.validate_python(answer))


def _came_to_the_live_gate(answer: AcquireResult) -> bool:
    """Return True if the live gate has answered, as far as is known: it is asked after those of resources and tools."""
    match answer:
        case AcquireDenied():
            gate = ""
        case AcquireQueued(waiting=place) | AcquireBusy(busy=place):
            gate = place.gate
        case _:
            return True
    return LIVE_GATE in (gate, *(slot.gate for slot in answer.held))
