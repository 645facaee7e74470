"""Calls and compensations of a workflow's runs, read from their histories."""

import asyncio
import math
from dataclasses import dataclass

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    ListWorkflowExecutionsRequest,
)
from temporalio.client import Client, WorkflowHistoryEventFilterType
from temporalio.service import RPCError, RPCStatusCode

from airlock.run.live.recovery import HistoryEvidence
from airlock.temporal.past_activities import Defaced as Defaced
from airlock.temporal.past_activities import Unreadable as Unreadable
from airlock.temporal.past_activities import is_undecodable
from airlock.temporal.past_calls import FirstAsked, activities_of

_SHOWN_WITHIN = 20.0
"""Seconds for visibility to show a run."""
_LOOK_AGAIN = 0.5
_OPEN = (
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING,
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_PAUSED,
)


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


async def earlier_runs(
    client: Client, workflow_id: str, latest: str, *, certain: bool = False
) -> list[WorkflowExecutionInfo]:
    """Return the runs of a workflow besides the latest, newest first; none on a server without visibility.

    Visibility lags: a run that it shows as open, although another one came after it, is described as it is now.

    Args:
        client: A client of the namespace.
        workflow_id: The workflow.
        latest: The id of its latest run.
        certain: True to wait until visibility shows the latest run, before which it was told of all others.

    Raises:
        Unreadable: If Temporal does not answer, or visibility does not show the latest run in time.
    """
    try:
        listed = await _visible_runs(client, workflow_id, latest if certain else "")
    except Unreadable as error:
        if not (isinstance(error.__cause__, RPCError) and error.__cause__.status is RPCStatusCode.UNIMPLEMENTED):
            raise
        return []  # only the time-skipping test server cannot list
    earlier = [info for info in listed if info.execution.run_id != latest]
    return [
        (await described(client, workflow_id, info.execution.run_id) or info) if is_open(info) else info for info in earlier
    ]


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
        Defaced: If that event cannot be decoded.
        Unreadable: If its history has none.
        RPCError: If Temporal does not answer.
    """
    workflow_id, run_id = run.execution.workflow_id, run.execution.run_id
    handle = client.get_workflow_handle(workflow_id, run_id=run_id)
    try:
        async for event in handle.fetch_history_events(page_size=1, event_filter_type=wanted):
            return event
    except RPCError as error:
        if is_undecodable(error):
            raise Defaced(f"no SDK can decode how {workflow_id}, run {run_id}, began or ended") from error
        raise
    raise Unreadable(f"the history of {workflow_id}, run {run_id}, does not tell how the run began or ended")


async def read_run(client: Client, workflow_id: str, run_id: str) -> list[HistoryEvent]:
    """Return the history of one run.

    Raises:
        Gone: If Temporal does not know it.
        Defaced: If an event of it can never be decoded.
        Unreadable: If Temporal does not answer.
    """
    found = await _read(client, workflow_id, run_id)
    if found.defect is not None:
        raise Defaced(f"the history of {workflow_id}, run {run_id}, cannot be read: {found.defect}")
    return found.events


class Gone(Unreadable):
    """A run that Temporal does not know."""


@dataclass(frozen=True)
class _Reading:
    """The history of one run, as far as it can be decoded."""

    events: list[HistoryEvent]
    defect: str | None = None
    """The reason why the rest cannot be decoded; None if the history is whole."""


async def _read(client: Client, workflow_id: str, run_id: str) -> _Reading:
    """Return the history of one run up to the first event that cannot be decoded.

    No worker can carry on a run beyond such an event, which any client can put there.

    Raises:
        Unreadable: If the run is gone, or Temporal does not answer.
    """
    execution = WorkflowExecution(workflow_id=workflow_id, run_id=run_id)
    events: list[HistoryEvent] = []
    token, size = b"", 0
    while True:
        request = GetWorkflowExecutionHistoryRequest(
            namespace=client.namespace, execution=execution, next_page_token=token, maximum_page_size=size
        )
        try:
            page = await _page(client, request)
        except RPCError as error:
            if not is_undecodable(error):
                kind = Gone if error.status is RPCStatusCode.NOT_FOUND else Unreadable
                raise kind(f"the history of {workflow_id}, run {run_id}, cannot be read: {error.message}") from error
            if size:
                return _Reading(events, "it holds an event that no SDK can decode")
            size = 1  # from here on what was stored together comes alone
            continue
        events += page.history.events
        token = page.next_page_token
        if not token:
            return _Reading(events)


async def _page(client: Client, request: GetWorkflowExecutionHistoryRequest) -> GetWorkflowExecutionHistoryResponse:
    service = client.workflow_service
    try:
        return await service.get_workflow_execution_history(request)
    except RPCError as error:
        if is_undecodable(error):  # the SDK would ask for ten seconds
            raise
    return await service.get_workflow_execution_history(request, retry=True)


async def evidence_of(client: Client, workflow_id: str, run_ids: tuple[str, ...], leave_out: str = "") -> HistoryEvidence:
    """Return the evidence of a workflow's runs: the given runs, the runs linked to them, and those in visibility.

    A run leads to the one it was reset from and to the one that continues it; these must be readable. Where a run was
    reset more than once, the runs of the earlier resets are known from visibility alone, which lags: it is waited for until
    it shows the first of the given runs. A run that no worker could carry on, as its history cannot be decoded from some
    event on, counts up to that event: a call without a known end is lost.

    Args:
        client: A connected client.
        workflow_id: The workflow.
        run_ids: The runs to begin with, the newest first.
        leave_out: A run whose own events do not count; only its links are followed.

    Raises:
        Unreadable: If a history that is needed cannot be read.
    """
    visible = await _visible_runs(client, workflow_id, run_ids[0] if run_ids else "")
    needed, optional = list(run_ids), [info.execution.run_id for info in visible]
    read: dict[str, _Reading] = {}
    while needed or optional:
        must = bool(needed)
        run_id = needed.pop() if must else optional.pop()
        if run_id in read:
            continue
        try:
            found = await _read(client, workflow_id, run_id)
        except Gone:
            if must:
                raise
            continue  # deleted since visibility, or another run, named it
        read[run_id] = found
        sure, perhaps = _links(found.events)
        needed += sure
        optional += perhaps
    first: FirstAsked = {}
    made = [
        await activities_of(client, workflow_id, run_id, read[run_id].events, first, whole=read[run_id].defect is None)
        for run_id in await _oldest_first(client, workflow_id, read)
        if run_id != leave_out and read[run_id].events
    ]
    return HistoryEvidence(
        calls=tuple(call for each in made for call in each.calls),
        undos=tuple(undo for each in made for undo in each.undos),
    )


async def _visible_runs(client: Client, workflow_id: str, newest: str) -> list[WorkflowExecutionInfo]:
    """Return the runs that visibility shows, newest first. Wait until it shows the newest one.

    Args:
        client: A client of the namespace.
        workflow_id: The workflow.
        newest: The run that began last, before which visibility was told of all others; empty to wait for nothing.

    Raises:
        Unreadable: If Temporal does not answer, or visibility does not show that run in time.
    """
    clock = asyncio.get_running_loop().time
    patience = clock() + _SHOWN_WITHIN
    while True:
        found = await runs_by_visibility(client, workflow_id)
        if not newest or any(info.execution.run_id == newest for info in found):
            return found
        if clock() > patience:
            raise Unreadable(f"the runs of {workflow_id} are not known yet: visibility does not show run {newest}")
        await asyncio.sleep(_LOOK_AGAIN)


async def _oldest_first(client: Client, workflow_id: str, read: dict[str, _Reading]) -> list[str]:
    # sorted by the last event: a reset run begins with the events, and times, of the run it was reset from
    last: dict[str, float] = {}
    for run_id, found in read.items():
        if found.defect is None:
            last[run_id] = found.events[-1].event_time.ToNanoseconds()
        else:
            info = await described(client, workflow_id, run_id)
            last[run_id] = math.inf if info is None or is_open(info) else info.close_time.ToNanoseconds()
    return sorted(read, key=lambda run_id: (last[run_id], run_id))


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
