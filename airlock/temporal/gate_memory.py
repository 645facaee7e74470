"""The state of an earlier run of a gate: a terminated gate must not forget its holders, or that it was locked."""

from temporalio.api.enums.v1 import WorkflowExecutionStatus as Status
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import Client, WorkflowHistoryEventFilterType
from temporalio.service import RPCError, RPCStatusCode

from airlock.gates.messages import CarriedGate, RecallRequest, RecallResult
from airlock.temporal.history import Unreadable, described, runs_by_visibility

_ENDED_BADLY = (
    Status.WORKFLOW_EXECUTION_STATUS_TERMINATED,
    Status.WORKFLOW_EXECUTION_STATUS_FAILED,
    Status.WORKFLOW_EXECUTION_STATUS_TIMED_OUT,
    Status.WORKFLOW_EXECUTION_STATUS_CANCELED,
)

_RUNS = 50
_NOT_NOW = (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.UNAVAILABLE, RPCStatusCode.CANCELLED)


async def left_behind(client: Client, gate: str) -> str:
    """Return the last run of a gate if it was terminated, cancelled, failed or timed out, else "".

    The next run restores its state: its holders still rely on their slots.
    """
    found = await described(client, gate)
    return found.execution.run_id if found is not None and found.status in _ENDED_BADLY else ""


async def recalled(client: Client, request: RecallRequest) -> RecallResult:
    """Return the state of a gate's last run, if that run did not complete by itself.

        A run that ended before it had restored the state of an earlier one is skipped for that earlier one.

    Raises:
        RPCError: If Temporal does not answer; retry.
                Unreadable: If Temporal does not answer; retry.
    """
    runs = [request.after] if request.after else []
    runs += [run for run in await _earlier(client, request) if run not in runs]
    while runs:
        last = await _last_of_chain(client, request, runs.pop(0))
        if last is None:  # removed by retention, or continued by the run that asks
            continue
        if last.status == Status.WORKFLOW_EXECUTION_STATUS_COMPLETED:
            return RecallResult()
        run = last.execution.run_id
        try:
            carried = await _carried(client, request.gate, run)
        except RPCError as error:
            if error.status in _NOT_NOW:
                raise
            return RecallResult(problem=f"run {run} cannot be asked ({error.message[:200]})")
        except Exception as error:  # noqa: BLE001  # after any other error the state of that run is unknown
            return RecallResult(problem=f"run {run} cannot be asked ({type(error).__name__}: {str(error)[:200]})")
        if carried.ready:
            return RecallResult(carried=carried)
        if carried.after:
            runs.insert(0, carried.after)
    return RecallResult()


async def _carried(client: Client, gate: str, run: str) -> CarriedGate:
    answer: CarriedGate = await client.get_workflow_handle(gate, run_id=run).query("carry", result_type=CarriedGate)
    return answer


async def _earlier(client: Client, request: RecallRequest) -> list[str]:
    """Return the other runs of the gate, newest first, as visibility lists them."""
    try:
        found = await runs_by_visibility(client, request.gate)
    except Unreadable as error:
        if isinstance(error.__cause__, RPCError) and error.__cause__.status is RPCStatusCode.UNIMPLEMENTED:
            return []  # only the time-skipping test server cannot list
        raise
    return [run.execution.run_id for run in found[:_RUNS] if run.execution.run_id != request.run]


async def _last_of_chain(client: Client, request: RecallRequest, run: str) -> WorkflowExecutionInfo | None:
    """Return the last run of a chain of continue-as-new; None if the run that asks belongs to the chain."""
    while run != request.run:
        found = await described(client, request.gate, run)
        if found is None or found.status != Status.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW:
            return found
        run = await _successor(client, request.gate, run)
    return None


async def _successor(client: Client, gate: str, run: str) -> str:
    handle = client.get_workflow_handle(gate, run_id=run)
    async for event in handle.fetch_history_events(event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT):
        return event.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    raise Unreadable(f"run {run} of {gate} says that it went on, but not where")
