"""The state of an earlier run of a gate: a terminated gate must not forget its holders, or that it was locked."""

import math
import secrets
from datetime import UTC

from temporalio.api.enums.v1 import WorkflowExecutionStatus as Status
from temporalio.api.workflow.v1 import WorkflowExecutionInfo as Info
from temporalio.client import Client, WorkflowHistoryEventFilterType
from temporalio.service import RPCError, RPCStatusCode

from airlock.base.names import LIVE_GATE
from airlock.gates.messages import CarriedGate, GateEnd, GateStart, RecallRequest, RecallResult
from airlock.temporal import proof
from airlock.temporal.carried import Reader, carried_by, demands_proofs
from airlock.temporal.earlier_calls import deleted_gate
from airlock.temporal.history import described, earlier_runs, first_event, is_open, read_run
from airlock.temporal.proof_converter import UnprovenAnswer

_RUNS = 50
_NOT_NOW = (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.UNAVAILABLE, RPCStatusCode.CANCELLED)


async def left_behind(client: Client, gate: str) -> str:
    """Return the last run of a gate if it did not end by itself, else "".

    The next run restores its state: its holders still rely on their slots.
    """
    found = await described(client, gate)
    if found is None or is_open(found) or await _ended_by_itself(client, gate, found):
        return ""
    return found.execution.run_id


async def _ended_by_itself(client: Client, gate: str, run: Info) -> bool:
    """Return True if a run completed, and no client did that by a workflow task that it took."""
    if run.status != Status.WORKFLOW_EXECUTION_STATUS_COMPLETED:
        return False
    run_id, at, reader = run.execution.run_id, run.close_time.ToDatetime(UTC), Reader(client, gate)
    if not reader.is_due(at):
        return True
    event = await first_event(client, run, WorkflowHistoryEventFilterType.CLOSE_EVENT)
    said = await reader.decoded(event.workflow_execution_completed_event_attributes.result.payloads)
    return any(not reader.objection(each, GateEnd.__name__, proof.BY_WORKFLOW, at, run_id) for each in said)


async def recalled(client: Client, request: RecallRequest) -> RecallResult:
    """Return the state of a gate's latest other run, if that run did not complete by itself.

    A run that ended before it had restored the state of an earlier one is skipped for that earlier one; its own state counts
    where none is found, as older code granted without asking. The run that the gate names only adds to those that Temporal
    lists: any client can start a gate, and name one. A live gate without earlier runs, where plans were live, was deleted:
    nothing is known of its locks and its holders.

    Raises:
        RPCError: If Temporal does not answer; retry.
        Unreadable: If Temporal does not answer; retry.
    """
    named = [request.after, *(await bases(client, request.gate, request.run) if request.reset else [])]
    earlier = await _earlier(client, request, named)
    if not earlier and not request.reset and request.gate == LIVE_GATE and (why := await deleted_gate(client)):
        return RecallResult(problem=why)
    own: CarriedGate | None = None
    while earlier:
        last = await _last_of_chain(client, request, earlier.pop(0).execution.run_id)
        if last is None:  # removed by retention, or continued by the run that asks
            continue
        # the live gate never completes by itself, and a run that was reset has forgotten what the completed one knew
        by_itself = not request.reset and request.gate != LIVE_GATE
        if by_itself and await _ended_by_itself(client, request.gate, last):
            return RecallResult(carried=own)
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
        own = own or carried
        named = [carried.after, *await bases(client, request.gate, run)]
        earlier = await _with(client, request, earlier, named, before=last)
    problem = "the run from which it was reset is not there any more" if request.reset else ""
    return RecallResult(carried=None if problem else own, problem=problem)


async def bases(client: Client, workflow_id: str, run_id: str) -> list[str]:
    """Return the runs from which a run was reset.

    Raises:
        Unreadable: If its history cannot be read.
    """
    events = await read_run(client, workflow_id, run_id)
    return [base for event in events if (base := event.workflow_task_failed_event_attributes.base_run_id)]


async def _carried(client: Client, gate: str, run: str) -> CarriedGate:
    nonce = secrets.token_hex(8) if demands_proofs(client) else ""
    carried = await carried_by(client, gate, run, CarriedGate, nonce)
    if carried.nonce != nonce:
        raise UnprovenAnswer("it answers another question")
    return carried


async def _with(
    client: Client, request: RecallRequest, known: list[Info], named: list[str], before: Info | None = None
) -> list[Info]:
    """Return the known runs together with the named ones that still exist, the latest first."""
    found = {info.execution.run_id: info for info in known}
    for run in named:
        if run and run != request.run and run not in found and (info := await described(client, request.gate, run)):
            found[run] = info
    limit = before.start_time.ToNanoseconds() if before else math.inf
    older = [info for info in found.values() if info.start_time.ToNanoseconds() < limit]
    return sorted(older, key=lambda info: info.start_time.ToNanoseconds(), reverse=True)


async def _earlier(client: Client, request: RecallRequest, named: list[str]) -> list[Info]:
    """Return the other runs of the gate, latest first: those that visibility lists, and the named ones."""
    others = await earlier_runs(client, request.gate, request.run)
    return await _with(client, request, others[:_RUNS], named)


async def _last_of_chain(client: Client, request: RecallRequest, run: str) -> Info | None:
    """Return the last run of a chain of continue-as-new; None if the run that asks belongs to the chain."""
    while run != request.run:
        found = await described(client, request.gate, run)
        if found is None or found.status != Status.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW:
            return found
        new, carried_on = await _successor(client, request.gate, found)
        if not carried_on:
            return found
        run = new
    return None


async def _successor(client: Client, gate: str, run: Info) -> tuple[str, bool]:
    """Return the run that continued another one, and whether that one itself carried its state on to it.

    A client that takes a workflow task can continue a gate as new with an input of its own.
    """
    event = await first_event(client, run, WorkflowHistoryEventFilterType.CLOSE_EVENT)
    went_on = event.workflow_execution_continued_as_new_event_attributes
    run_id, at, reader = run.execution.run_id, run.close_time.ToDatetime(UTC), Reader(client, gate)
    said = await reader.decoded(went_on.input.payloads)
    whys = [reader.objection(each, GateStart.__name__, proof.BY_WORKFLOW, at, run_id) for each in said]
    return went_on.new_execution_run_id, not any(whys) and (bool(said) or not reader.is_due(at))
