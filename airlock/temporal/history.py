"""Calls and compensations of a workflow's runs, read from their histories."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import TypeAdapter, ValidationError
from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.api.enums.v1 import TimeoutType, WorkflowExecutionStatus
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryRequest,
    ListWorkflowExecutionsRequest,
)
from temporalio.client import Client, WorkflowHistoryEventFilterType
from temporalio.service import RPCError, RPCStatusCode

from airlock.admission.admitted import UNBEGUN_EPOCH
from airlock.base.names import SENT_BACK
from airlock.plans.outcome import Attempt, UndoOutcome
from airlock.run.live.call_messages import ChainRequest, ChainResult, MadeCall
from airlock.run.live.recovery import CallActivity, HistoryEvidence, UndoActivity, lost_after
from airlock.run.live.sent_back import QUIET, SentBack
from airlock.temporal.past_activities import ActivityReader
from airlock.temporal.past_activities import Unreadable as Unreadable

CALL = "call"
COMPENSATE = "compensate"
_OPEN = (
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING,
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_PAUSED,
)
_CLOSING = (
    "activity_task_completed_event_attributes",
    "activity_task_failed_event_attributes",
    "activity_task_timed_out_event_attributes",
    "activity_task_canceled_event_attributes",
)
_ATTEMPTS = TypeAdapter[list[Attempt]](list[Attempt])
_UNDO_OUTCOME = TypeAdapter[UndoOutcome](UndoOutcome)


async def described(client: Client, workflow_id: str, run_id: str = "") -> WorkflowExecutionInfo | None:
    """Return Temporal's description of a run, or None if it does not exist. Without a run id, describe the latest.

    Raises:
        Unreadable: If Temporal does not answer.
    """
    execution = WorkflowExecution(workflow_id=workflow_id, run_id=run_id)
    request = DescribeWorkflowExecutionRequest(namespace=client.namespace, execution=execution)
    try:
        return (await client.workflow_service.describe_workflow_execution(request, retry=True)).workflow_execution_info
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise Unreadable(f"Temporal cannot say what became of {workflow_id}: {error.message}") from error


def is_open(info: WorkflowExecutionInfo) -> bool:
    """Return True if a run is not closed. A paused run is open."""
    return info.status in _OPEN


async def runs_where_listed(client: Client, workflow_id: str) -> list[WorkflowExecutionInfo]:
    """Return the runs of a workflow like `runs_by_visibility`; none on a server without visibility.

    Raises:
        Unreadable: If Temporal does not answer.
    """
    try:
        return await runs_by_visibility(client, workflow_id)
    except Unreadable as error:
        if not (isinstance(error.__cause__, RPCError) and error.__cause__.status is RPCStatusCode.UNIMPLEMENTED):
            raise
        return []  # only the time-skipping test server cannot list


async def runs_by_visibility(client: Client, workflow_id: str) -> list[WorkflowExecutionInfo]:
    """Return the runs of a workflow, newest first. Visibility may lag by seconds.

    Raises:
        Unreadable: If Temporal does not answer.
    """
    found: list[WorkflowExecutionInfo] = []
    token = b""
    while True:
        request = ListWorkflowExecutionsRequest(
            namespace=client.namespace, query=f"WorkflowId = '{workflow_id}'", page_size=200, next_page_token=token
        )
        try:
            page = await client.workflow_service.list_workflow_executions(request, retry=True)
        except RPCError as error:
            raise Unreadable(f"the runs of {workflow_id} cannot be listed: {error.message}") from error
        found += page.executions
        token = page.next_page_token
        if not token:
            return sorted(found, key=lambda info: info.start_time.ToNanoseconds(), reverse=True)


async def first_event(client: Client, run: WorkflowExecutionInfo, wanted: WorkflowHistoryEventFilterType) -> HistoryEvent:
    """Return the first event of a run, or with the filter `CLOSE_EVENT` the one that closed it.

    Raises:
        Unreadable: If its history has none.
    """
    workflow_id, run_id = run.execution.workflow_id, run.execution.run_id
    handle = client.get_workflow_handle(workflow_id, run_id=run_id)
    async for event in handle.fetch_history_events(page_size=1, event_filter_type=wanted):
        return event
    raise Unreadable(f"the history of {workflow_id}, run {run_id}, does not tell how the run began or ended")


async def read_run(client: Client, workflow_id: str, run_id: str) -> list[HistoryEvent]:
    """Return the history of one run.

    Raises:
        Unreadable: If it is gone, or Temporal does not answer.
    """
    try:
        return [event async for event in _events(client, workflow_id, run_id)]
    except RPCError as error:
        raise Unreadable(f"the history of {workflow_id}, run {run_id}, cannot be read: {error.message}") from error


async def _events(client: Client, workflow_id: str, run_id: str) -> AsyncIterator[HistoryEvent]:
    token = b""
    while True:
        request = GetWorkflowExecutionHistoryRequest(
            namespace=client.namespace,
            execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
            next_page_token=token,
        )
        page = await client.workflow_service.get_workflow_execution_history(request, retry=True)
        for event in page.history.events:
            yield event
        token = page.next_page_token
        if not token:
            return


async def evidence_of(client: Client, workflow_id: str, run_ids: tuple[str, ...], leave_out: str = "") -> HistoryEvidence:
    """Return the evidence of a workflow's runs: the given runs, the runs linked to them, and those in visibility.

    A run leads to the one it was reset from and to the one that continues it; these must be readable. Where a run was
    reset more than once, the runs of the earlier resets are known from visibility alone.

    Args:
        client: A connected client.
        workflow_id: The workflow.
        run_ids: The runs to begin with.
        leave_out: A run whose own events do not count; only its links are followed.

    Raises:
        Unreadable: If a history that is needed cannot be read.
    """
    needed, optional = list(run_ids), [info.execution.run_id for info in await runs_by_visibility(client, workflow_id)]
    read: dict[str, list[HistoryEvent]] = {}
    while needed or optional:
        must = bool(needed)
        run_id = needed.pop() if must else optional.pop()
        if run_id in read:
            continue
        try:
            events = await read_run(client, workflow_id, run_id)
        except Unreadable:
            if must:
                raise
            continue  # deleted since visibility, or another run, named it
        read[run_id] = events
        sure, perhaps = _links(events)
        needed += sure
        optional += perhaps
    first: FirstAsked = {}
    found = [
        await activities_of(client, workflow_id, run_id, events, first)
        for run_id, events in _oldest_first(read)
        if run_id != leave_out
    ]
    return HistoryEvidence(
        calls=tuple(call for each in found for call in each.calls),
        undos=tuple(undo for each in found for undo in each.undos),
    )


def _oldest_first(read: dict[str, list[HistoryEvent]]) -> list[tuple[str, list[HistoryEvent]]]:
    # sorted by the last event: a reset run begins with the events, and times, of the run it was reset from
    return sorted(read.items(), key=lambda item: (item[1][-1].event_time.ToNanoseconds(), item[0]))


def _links(events: list[HistoryEvent]) -> tuple[list[str], list[str]]:
    """Return the runs that a history names: the required ones, and those that retention may have removed."""
    sure: list[str] = []
    perhaps: list[str] = []
    for event in events:
        kind = event.WhichOneof("attributes")
        if kind == "workflow_task_failed_event_attributes":
            sure.append(event.workflow_task_failed_event_attributes.base_run_id)
        elif kind == "workflow_execution_continued_as_new_event_attributes":
            sure.append(event.workflow_execution_continued_as_new_event_attributes.new_execution_run_id)
        elif kind == "workflow_execution_started_event_attributes":
            # this run carries the calls of the earlier run; that one matters only for its links to runs that were reset
            perhaps.append(event.workflow_execution_started_event_attributes.continued_execution_run_id)
    return [run for run in sure if run], [run for run in perhaps if run]


FirstAsked = dict[tuple[str, str], tuple[int, int]]
"""The event, by number and time, that asked a question first; a run that was reset has the event of its base."""


async def activities_of(
    client: Client, workflow_id: str, run_id: str, events: list[HistoryEvent], first: FirstAsked
) -> HistoryEvidence:
    """Return the calls and compensations of one history.

    What no worker of Airlock is known to have said counts as lost, never as "not made". So does what was asked before: a
    client can command a copy of a genuine question, and answer it with a copy of the genuine answer.

    Args:
        client: A client of the namespace.
        workflow_id: The workflow.
        run_id: Its run.
        events: The run's history.
        first: The questions that were read already; those of this history are added.

    Raises:
        Unreadable: If what was asked for in a call cannot be read.
    """
    closed: dict[int, HistoryEvent] = {}
    for event in events:
        kind = event.WhichOneof("attributes")
        if kind in _CLOSING:
            closed[getattr(event, kind).scheduled_event_id] = event
    told = _Told(events[-1].event_time.ToDatetime(UTC), await _sent_back(client, events))
    calls: list[CallActivity] = []
    undos: list[UndoActivity] = []
    for event in events:
        name = event.activity_task_scheduled_event_attributes.activity_type.name
        end = closed.get(event.event_id)
        if name == CALL:
            calls.append(await _call(ActivityReader(client, workflow_id, event), run_id, end, first, told))
        elif name == COMPENSATE:
            undos.append(await _undo(ActivityReader(client, workflow_id, event), run_id, end, first))
    return HistoryEvidence(calls=tuple(calls), undos=tuple(undos))


async def _call(
    reader: ActivityReader, run_id: str, end: HistoryEvent | None, first: FirstAsked, told: "_Told"
) -> CallActivity:
    chain = ChainRequest.model_validate(await reader.question())
    every = tuple(call.step.id for call in chain.calls)
    if not reader.asked_by_airlock or _is_copy(reader, first):
        # nothing that it says about the calls is known, their undo tokens least of all; nor does it settle what was before
        calls = tuple(call.model_copy(update={"undo": None, "attempt": max(call.attempt, 2)}) for call in chain.calls)
        return CallActivity(run_id=run_id, request=chain.model_copy(update={"calls": calls}), lost=every)
    kind = end.WhichOneof("attributes") if end is not None else None
    if end is None:
        return CallActivity(run_id=run_id, request=chain, lost=every)
    if kind == "activity_task_canceled_event_attributes":
        # a worker completes the activity of a call that has begun; any client may have cancelled it instead
        begun = end.activity_task_canceled_event_attributes.started_event_id != 0
        begun = begun or _may_be_begun(reader, chain, end, told)
        return CallActivity(run_id=run_id, request=chain, lost=every if begun else ())
    if kind == "activity_task_timed_out_event_attributes":
        failure = end.activity_task_timed_out_event_attributes.failure
        if failure.timeout_failure_info.timeout_type == TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START:
            lost = every if _may_be_begun(reader, chain, end, told) else ()  # else no worker began it in time
            return CallActivity(run_id=run_id, request=chain, lost=lost)
        attempts = await _heartbeat(reader, failure.timeout_failure_info.last_heartbeat_details)
        if attempts is None:
            return CallActivity(run_id=run_id, request=chain, lost=every)
        return CallActivity(run_id=run_id, request=chain, attempts=attempts, lost=lost_after(chain, attempts))
    if kind == "activity_task_completed_event_attributes":
        try:
            said = await reader.answer(end.activity_task_completed_event_attributes.result)
            result = ChainResult.model_validate(said)
        except (ValidationError, Unreadable):
            return CallActivity(run_id=run_id, request=chain, lost=every)
        if result.stopped or result.attempts:
            return CallActivity(run_id=run_id, request=chain, attempts=result.attempts)
    return CallActivity(run_id=run_id, request=chain, lost=every)


@dataclass(frozen=True)
class _Told:
    """The word of workers, in one history, about calls that they began and that Temporal forgot."""

    until: datetime
    """The time of the last event: what happened right before it was perhaps not told any more."""
    fences: frozenset[int]
    """The fencing tokens of those calls."""


async def _sent_back(client: Client, events: list[HistoryEvent]) -> frozenset[int]:
    """Return the fencing tokens of the calls that were told to be begun. Any client may have said so."""
    found: set[int] = set()
    for event in events:
        signal = event.workflow_execution_signaled_event_attributes
        if signal.signal_name == SENT_BACK:
            with suppress(Exception):  # any client may have sent it, with anything
                (value,) = await client.data_converter.decode(signal.input.payloads)
                found.add(SentBack.model_validate(value).fence)
    return frozenset(found)


def _may_be_begun(reader: ActivityReader, chain: ChainRequest, end: HistoryEvent, told: _Told) -> bool:
    """Return True if a worker may have begun an activity that ended unbegun: one says so, or could not any more.

    Without keys, and in runs of earlier epochs, no worker tells.
    """
    known = reader.is_due and any(call.epoch >= UNBEGUN_EPOCH and not call.contract.read_only for call in chain.calls)
    quiet = (told.until - end.event_time.ToDatetime(UTC)).total_seconds() >= QUIET
    return known and (not quiet or chain.calls[0].fence in told.fences)


async def _heartbeat(reader: ActivityReader, details: Payloads) -> tuple[Attempt, ...] | None:
    """Return the attempts that were recorded; None if no worker of Airlock is known to have recorded them."""
    if not details.payloads:
        return ()
    try:
        return tuple(_ATTEMPTS.validate_python(await reader.answer(details)))
    except ValidationError:
        return ()
    except Unreadable:
        return None


def _is_copy(reader: ActivityReader, first: FirstAsked) -> bool:
    """Return True if another event asked this question before; only questions that are proved have a mark to tell."""
    return bool(reader.asked[1]) and first.setdefault(reader.asked, reader.event) != reader.event


async def _undo(reader: ActivityReader, run_id: str, end: HistoryEvent | None, first: FirstAsked) -> UndoActivity:
    made = MadeCall.model_validate(await reader.question())
    outcome: UndoOutcome | None = None
    asked = reader.asked_by_airlock and not _is_copy(reader, first)
    if asked and end is not None and end.HasField("activity_task_completed_event_attributes"):
        with suppress(ValidationError, Unreadable):
            said = await reader.answer(end.activity_task_completed_event_attributes.result)
            outcome = _UNDO_OUTCOME.validate_python(said)
    return UndoActivity(run_id=run_id, request=made, outcome=outcome)
