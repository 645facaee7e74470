"""The final state of an ended plan, for its undo; and the calls of earlier runs, for a run that was reset."""

from datetime import UTC, datetime, timedelta

from temporalio import activity
from temporalio.api.enums.v1 import WorkflowExecutionStatus as Status
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from airlock.activities.options import HEARTBEAT_INTERVAL
from airlock.activities.toolbox import Toolbox
from airlock.admission.admitted import EPOCH
from airlock.base import names
from airlock.base.text import shorten
from airlock.plans.outcome import CallInDoubt, CallSucceeded
from airlock.run.live.call_messages import CallRequest, ChainRequest
from airlock.run.live.recovery import HistoryEvidence, keep_follows, overlay, repeat_or_answer, seconds_until_quiet
from airlock.run.state import Run
from airlock.run.undo import EndedPlan
from airlock.temporal.carried import carried_by
from airlock.temporal.history import Unreadable, described, earlier_runs, evidence_of, is_open, runs_by_visibility
from airlock.temporal.proof_converter import UnprovenAnswer
from airlock.wire import Recovered, RecoverRequest

_QUERY_TIMEOUT = timedelta(seconds=20)


class RecoverActivities:
    """Recovery activity of the operator's worker, on the workflows' queue; it queries closed runs and reads histories."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox

    @activity.defn(name="recover")
    async def recover(self, request: RecoverRequest) -> Recovered:
        """Return the run of an ended plan, completed from its history, under the policy of today.

        If an earlier undo of the plan succeeded only in part, its run is newer than the plan's and is returned instead.

        Raises:
            ApplicationError: If a run or a history cannot be read; Temporal retries, and nothing is assumed.
        """
        self._toolbox.require_plan(request.plan_id, undo=True)
        client = activity.client()
        try:
            plan = await described(client, names.plan_workflow_id(request.plan_id))
            if plan is None:
                text = "Temporal's retention has passed, or there never was one"
                return Recovered(refused=f"there is no plan {request.plan_id!r} any more: {text}")
            if is_open(plan):
                return Recovered(refused=f"plan {request.plan_id!r} has not ended: use rollback on the plan itself")
            latest, run = plan, None
            for undo in await self._earlier_undos(client, request, after=plan):
                if await _did_nothing(client, undo):
                    continue
                run = await _carried(client, undo)
                if run.undoing is not None and run.undoing.recovered:
                    latest = undo
                    break
                run = None
            run = run or await _carried(client, latest)
            ended = await _as_it_ended(client, request.plan_id, plan, run) if request.signed else None
            found = await self._brought_up_to_date(client, run, latest)
            return found.model_copy(update={"ended": ended})
        except Unreadable as error:
            raise ApplicationError(str(error), type="Unreadable") from error

    async def _earlier_undos(
        self, client: Client, request: RecoverRequest, after: WorkflowExecutionInfo
    ) -> list[WorkflowExecutionInfo]:
        """Return the closed undos that began after the plan's last run, newest first.

        Visibility may lag: the requester of this undo names the latest one.
        """
        workflow_id = names.undo_workflow_id(request.plan_id)
        found = {info.execution.run_id: info for info in await runs_by_visibility(client, workflow_id)}
        if request.previous and (previous := await described(client, workflow_id, request.previous)) is not None:
            found[request.previous] = previous
        own = activity.info().workflow_run_id
        began = after.start_time.ToNanoseconds()
        closed = [info for run, info in found.items() if run != own and not is_open(info)]
        later = [info for info in closed if info.start_time.ToNanoseconds() > began]
        return sorted(later, key=lambda info: info.start_time.ToNanoseconds(), reverse=True)

    async def _brought_up_to_date(self, client: Client, run: Run, info: WorkflowExecutionInfo) -> Recovered:
        execution = info.execution
        closed_at = info.close_time.ToDatetime(tzinfo=UTC)
        quiet_at: datetime | None = None
        if run.in_flight or run.reset_from:
            evidence = await evidence_of(client, execution.workflow_id, (execution.run_id,))
            if run.reset_from:  # calls that the reset forgot may have been undone before it
                evidence = await _with_undos(client, run.plan.plan_id, evidence)
            wait = seconds_until_quiet(run, evidence)
            overlay(run, evidence, closed_at, was_reset=bool(run.reset_from))
            quiet_at = closed_at + timedelta(seconds=wait + HEARTBEAT_INTERVAL) if wait else None
        if run.admitted is not None:
            policy = self._toolbox.policy
            today = {"policy": policy, "policy_hash": policy.digest(), "epoch": EPOCH}
            run.admitted = run.admitted.model_copy(update=today)
        keep_follows(run)
        # the undo keeps its own audit and its own seal
        run.audit, run.lately_refused, run.sealed, run.previews, run.replaced, run.votes = [], (), None, {}, (), ()
        return Recovered(run=run, quiet_at=quiet_at)


async def _as_it_ended(client: Client, plan_id: str, plan: WorkflowExecutionInfo, run: Run) -> EndedPlan:
    """Return what a signed request must be about. The run may be that of an earlier undo.

    Raises:
        Unreadable: If the plan cannot answer, or visibility does not show this undo yet: it may lack another one.
    """
    last = run if run.undoing is None else await _carried(client, plan)
    undo_id, own = names.undo_workflow_id(plan_id), str(activity.info().workflow_run_id)
    earlier = await earlier_runs(client, undo_id, own, certain=True)
    began = max(earlier, key=lambda info: info.start_time.ToNanoseconds(), default=None)
    previous = "" if began is None else began.execution.run_id
    return EndedPlan(life=last.life, digest=last.digest, previous=previous)


async def _did_nothing(client: Client, info: WorkflowExecutionInfo) -> bool:
    """Return True if a run failed on its input, before it started any activity.

    Such a run has no state to recover.
    """
    if info.status != Status.WORKFLOW_EXECUTION_STATUS_FAILED:
        return False
    handle = client.get_workflow_handle(info.execution.workflow_id, run_id=info.execution.run_id)
    try:
        events = [event async for event in handle.fetch_history_events()]
    except RPCError as error:
        raise Unreadable(f"the history of {info.execution.workflow_id} cannot be read: {error.message}") from error
    return not any(event.HasField("activity_task_scheduled_event_attributes") for event in events)


async def _carried(client: Client, info: WorkflowExecutionInfo) -> Run:
    """Return the whole run of an execution, open or closed, as a worker answers it.

    Raises:
        Unreadable: If no worker answers.
    """
    execution = info.execution
    try:
        return await carried_by(client, execution.workflow_id, execution.run_id, Run, within=_QUERY_TIMEOUT)
    except (RPCError, WorkflowQueryFailedError, UnprovenAnswer, ValueError) as error:
        raise Unreadable(f"run {execution.run_id} of {execution.workflow_id} cannot answer: {error}") from error


class EarlierRuns:
    """The calls that a chain of a reset run must not repeat. Without a reset it reads no history.

    Args:
        request: The chain.
    """

    def __init__(self, request: ChainRequest) -> None:
        self._request = request
        self._evidence: HistoryEvidence | None = None
        own = str(activity.info().workflow_run_id)
        # a call that was already scheduled at the reset point still names the run that scheduled it
        self._reset = bool(request.run_id) and not request.run_id == request.first_run_id == own

    async def look(self, call: CallRequest) -> tuple[CallRequest, CallSucceeded | CallInDoubt | None]:
        """Return the call to make and None, or the call and its outcome from an earlier run.

        If the other runs cannot be read, the call is in doubt and must not be made.
        """
        if not self._reset:
            return call, None
        try:
            if self._evidence is None:
                self._evidence = await _evidence(self._request)
        except Unreadable as error:
            text = shorten(f"an earlier run may have made it, and nothing was called now: {error}")
            return call, CallInDoubt(step=call.step.id, error=text, undo=call.undo, token_lost=call.undo is None, lost=True)
        known = repeat_or_answer(call, self._evidence)
        return (known, None) if isinstance(known, CallRequest) else (call, known)


async def _evidence(request: ChainRequest) -> HistoryEvidence:
    """Return the calls of other runs of this plan, and of its undo.

    Raises:
        Unreadable: If a history cannot be read, or an undo of the plan is running.
    """
    client, own = activity.client(), str(activity.info().workflow_run_id)
    undo_id = names.undo_workflow_id(request.plan_id)
    undo = await described(client, undo_id)
    if undo is not None and is_open(undo):
        raise Unreadable(f"{undo_id} is undoing this plan at this moment")
    runs = (own, request.run_id, *((request.first_run_id,) if request.first_run_id else ()))
    made = await evidence_of(client, names.plan_workflow_id(request.plan_id), runs, leave_out=own)
    return made if undo is None else await _with_undos(client, request.plan_id, made)


async def _with_undos(client: Client, plan_id: str, made: HistoryEvidence) -> HistoryEvidence:
    """Add the compensations of the plan's undos to the evidence of its own runs."""
    own, undo_id = str(activity.info().workflow_run_id), names.undo_workflow_id(plan_id)
    latest = await described(client, undo_id)
    runs = (latest.execution.run_id,) if latest is not None else ()
    undone = await evidence_of(client, undo_id, runs, leave_out=own)
    return HistoryEvidence(calls=made.calls, undos=(*made.undos, *undone.undos))
