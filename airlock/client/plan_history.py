"""Reading of one plan from Temporal: the state of its run, and the events of its histories."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from airlock.base.names import UNDO_PREFIX, plan_id_of
from airlock.base.text import shorten
from airlock.client.origins import Task, tasks_of, traced, workflow_time
from airlock.client.seals import keys_of_the_day, seals_of
from airlock.export.plan_lines import PlanRecord, PlanTrace, plan_record
from airlock.plans.state import State
from airlock.run.audit import AuditKind
from airlock.run.presentation.views import step_views
from airlock.run.state import Run
from airlock.temporal.history import Unreadable, described, read_run
from airlock.temporal.past_calls import answered_calls
from airlock.wire import PlanStart

QUERY_TIMEOUT = timedelta(seconds=20)
"""Time for the answer of a worker, which replays the whole plan first."""
OPEN = "RUNNING"
_CLOSED = {
    "workflow_execution_completed_event_attributes": "COMPLETED",
    "workflow_execution_failed_event_attributes": "FAILED",
    "workflow_execution_timed_out_event_attributes": "TIMED_OUT",
    "workflow_execution_canceled_event_attributes": "CANCELED",
    "workflow_execution_terminated_event_attributes": "TERMINATED",
}
_COMPLETED = _CLOSED["workflow_execution_completed_event_attributes"]
_PAUSED = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_PAUSED


class NotRetained(Unreadable):
    """Temporal does not retain the run any more."""


@dataclass(frozen=True)
class PlanReading:
    """Plan as it was read, with its lines for the files."""

    record: PlanRecord
    read_to: datetime
    """Time of the last event read, UTC."""
    gone: str = ""
    """Latest run that Temporal does not retain any more; the origin of its entries is the event that carried them on."""
    was_reset: bool = False
    """True if one of its runs began as the reset of another one."""


@dataclass(frozen=True)
class _RunRead:
    """Facts from the history of one run."""

    run_id: str
    first: HistoryEvent
    last: HistoryEvent
    tasks: list[Task]
    keys: tuple[str, ...]
    """Keys of approvers in the policies that the run asked for."""
    carried_out: bool
    was_reset: bool
    called: frozenset[str]
    """The steps about whose calls a worker answered that they were made, failed or are in doubt."""

    @property
    def status(self) -> str:
        return _CLOSED.get(self.last.WhichOneof("attributes") or "", OPEN)

    @property
    def continued_to(self) -> str:
        return self.last.workflow_execution_continued_as_new_event_attributes.new_execution_run_id

    @property
    def continued_from(self) -> str:
        return self.first.workflow_execution_started_event_attributes.continued_execution_run_id

    @property
    def failure(self) -> Failure:
        return self.last.workflow_execution_failed_event_attributes.failure

    @property
    def is_no_plan(self) -> bool:
        """True if the run failed at its start, because its input was not a plan."""
        return self.failure.application_failure_info.type == "InvalidPlan"


async def read_plan(client: Client, workflow_id: str, run_id: str) -> PlanReading:
    """Return a plan with everything recorded up to now. The reading of a closed plan never changes.

    Args:
        client: A client made by `airlock_client.connection`.
        workflow_id: Workflow id of the plan, or of its undo.
        run_id: Any run of it; the runs that it continues, and that continue it, are read too.

    Raises:
        NotRetained: If Temporal does not retain the run any more.
        Unreadable: If no worker answers for it, or its history cannot be read; the message says which.
    """
    last = await _read(client, workflow_id, run_id)
    while True:
        if last.continued_to:
            last = await _read(client, workflow_id, last.continued_to)
            continue
        run = await _run_of(client, workflow_id, last)
        if last.status != OPEN:
            break
        # the query may be newer than the history: read the history again, so that it covers all entries of the query
        last = await _read(client, workflow_id, last.run_id)
        if last.status == OPEN and not last.continued_to:
            break
    runs, gone = [last], ""
    while (earlier := runs[0].continued_from) and not gone:
        try:
            runs.insert(0, await _read(client, workflow_id, earlier))
        except NotRetained:
            gone = earlier
    if run is not None:
        _require_calls(workflow_id, run, runs)
    status = await _status(client, workflow_id, last)
    trace = _trace(workflow_id, last, status, run, runs) if run else _no_plan(workflow_id, last)
    if run is not None and run.digest is not None:
        carried_out = [read.run_id for read in runs if read.carried_out]
        trace = trace.model_copy(update={"seals": await seals_of(client, workflow_id, run, carried_out)})
    was_reset = any(read.was_reset for read in runs)
    return PlanReading(plan_record(trace), workflow_time(last.last), gone, was_reset)


async def _read(client: Client, workflow_id: str, run_id: str) -> _RunRead:
    try:
        events = await read_run(client, workflow_id, run_id)
    except Unreadable as error:
        if await described(client, workflow_id, run_id) is None:
            raise NotRetained(f"run {run_id} of {workflow_id} is not retained in Temporal any more") from error
        raise
    return _RunRead(
        run_id=run_id,
        first=events[0],
        last=events[-1],
        tasks=await tasks_of(client, run_id, events),
        keys=await keys_of_the_day(client, events),
        carried_out=any(event.HasField("workflow_task_completed_event_attributes") for event in events),
        was_reset=any(event.workflow_task_failed_event_attributes.base_run_id for event in events),
        called=await answered_calls(client, events),
    )


def _require_calls(workflow_id: str, run: Run, runs: Sequence[_RunRead]) -> None:
    """Refuse a state that leaves out a call which the histories hold.

    Any client that polls the queue of the workflows can answer the query for the state.

    Raises:
        Unreadable: With the step.
    """
    told = {entry.step for entry in run.audit if entry.kind is AuditKind.CALL}
    if hidden := sorted({step for read in runs for step in read.called} - told):
        raise Unreadable(
            f"what was answered for {workflow_id} leaves out the call of step {hidden[0]!r}, which its history holds: "
            "another client may have answered in the place of a worker"
        )


async def _run_of(client: Client, workflow_id: str, read: _RunRead) -> Run | None:
    """Return the state of the run from a worker; None if it has none, because its input was not a plan."""
    if read.is_no_plan:
        return None
    if not read.carried_out:
        return await _as_started(client, workflow_id, read)
    handle = client.get_workflow_handle(workflow_id, run_id=read.run_id)
    try:
        # with a type: a payload without one counts as a message from outside, whose size is limited
        carried = await handle.query("carry", result_type=dict[str, object], rpc_timeout=QUERY_TIMEOUT)
        return Run.model_validate(carried)
    except RPCError as error:
        why = shorten(error.message, 200)
        raise Unreadable(f"no worker answers for {workflow_id}, run {read.run_id}: {why}") from error
    except (WorkflowQueryFailedError, ValidationError) as error:
        raise Unreadable(f"{workflow_id}, run {read.run_id}, cannot answer: {shorten(str(error), 200)}") from error


async def _as_started(client: Client, workflow_id: str, read: _RunRead) -> Run | None:
    """Return the state of a run that no worker has begun, from its input."""
    given = read.first.workflow_execution_started_event_attributes.input.payloads
    try:
        (content,) = await client.data_converter.decode(given)
        start = PlanStart.model_validate(content)
    except Exception:  # noqa: BLE001  any client may start it, with any input: it will be refused
        return None
    at = workflow_time(read.first)
    plan = start.plan.on_occasion(workflow_id) if start.plan else None
    return start.run or (Run(plan=plan, undoing=start.undo, submitted_at=at, since=at) if plan else None)


async def _status(client: Client, workflow_id: str, read: _RunRead) -> str:
    if read.status != OPEN:
        return read.status
    info = await described(client, workflow_id, read.run_id)
    return "PAUSED" if info is not None and info.status == _PAUSED else OPEN


def _trace(workflow_id: str, last: _RunRead, status: str, run: Run, runs: list[_RunRead]) -> PlanTrace:
    tasks = [task for read in runs for task in read.tasks]
    return PlanTrace(
        plan_id=run.plan.plan_id,
        workflow_id=workflow_id,
        first_run_id=_first_run(last),
        last_run_id=last.run_id,
        last_event_id=last.last.event_id,
        goal=run.plan.goal,
        requested_by=run.requester,
        submitted_at=run.submitted_at,
        closed_at=workflow_time(last.last) if last.status != OPEN else None,
        temporal_status=status,
        state=run.state,
        outcome=run.outcome if status == _COMPLETED else None,
        why=run.why,
        digest=run.digest,
        steps=step_views(run),
        entries=traced(run.audit, tasks, runs[0].run_id),
        keys=tuple(dict.fromkeys(key for read in runs for key in read.keys)),
        phase21_plan_id=run.plan.phase21_plan_id,
        phase22_validation_id=run.plan.phase22_validation_id,
        refused=run.refused,
        confidence={step.id: step.confidence for step in run.plan.steps},
        # calls that failed or are in doubt have no recorded duration
        seconds={step: record.seconds for step, record in run.calls.items() if record.seconds > 0},
    )


def _no_plan(workflow_id: str, read: _RunRead) -> PlanTrace:
    """Return the trace of a run whose input was not a plan, from its history alone."""
    return PlanTrace(
        plan_id=plan_id_of(workflow_id.removeprefix(UNDO_PREFIX)),
        workflow_id=workflow_id,
        first_run_id=_first_run(read),
        last_run_id=read.run_id,
        last_event_id=read.last.event_id,
        requested_by="",
        submitted_at=workflow_time(read.first),
        closed_at=workflow_time(read.last) if read.status != OPEN else None,
        temporal_status=read.status,
        state=State.MOCK,
        outcome=None,
        why=shorten(read.failure.message) or "it was not started with a plan",
        digest=None,
        steps=(),
        entries=(),
    )


def _first_run(read: _RunRead) -> str:
    return read.first.workflow_execution_started_event_attributes.first_execution_run_id or read.run_id
