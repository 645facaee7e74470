"""Undo of a plan after its end: a separate run, `undo-<plan_id>`, previewed and approved like any plan."""

import asyncio
from contextlib import suppress

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from airlock.base import names
from airlock.base.errors import AirlockError
from airlock.base.incoming import MalformedMessage
from airlock.base.markdown import code
from airlock.base.visible import visible
from airlock.client.errors import NoSuchPlan, UndoRefused
from airlock.client.facts import plan_facts
from airlock.client.plan_handle import PlanHandle
from airlock.client.visibility import attributes_of
from airlock.plans.plan import Plan
from airlock.plans.state import State
from airlock.run.decisions.consequences import asked_undo
from airlock.run.undo import Undoing
from airlock.wire import PlanStart

_ENDING = 10.0
"""Seconds to wait for the end of a refused undo."""
_REHEARSING = (State.MOCK, State.DRY_RUN)


async def undo(client: Client, plan_id: str, *, by: str, reason: str, to_step: str | None = None) -> PlanHandle:
    """Start the undo of a plan that has ended. Nothing is undone before another person approves its preview.

    Args:
        client: A connected client.
        plan_id: Id of the plan.
        by: Name of the requester, who cannot approve the undo.
        reason: Reason of the undo.
        to_step: Undo this step, and every step after it or dependent on it; None for all steps.

    Returns:
        The handle of the undo.

    Raises:
        NoSuchPlan: If there is no such plan, or its retention has expired.
        UndoRefused: If an undo of this plan is open.
        AirlockError: If the start of the plan cannot be read.
    """
    plan = await _plan_of(client, plan_id)
    undo_id = names.undo_workflow_id(plan.plan_id)
    try:
        undoing = asked_undo(Undoing(by=by, reason=reason, to_step=to_step, previous=await _previous(client, undo_id)))
    except MalformedMessage as error:
        raise AirlockError(str(error)) from error
    try:
        await client.start_workflow(
            names.PLAN_WORKFLOW,
            PlanStart(plan=plan, undo=undoing),
            id=undo_id,
            task_queue=names.WORKFLOW_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            search_attributes=attributes_of(plan),
            static_summary=f"Undo of {plan.plan_id}, by {code(visible(' '.join(by.split()))[:60])}",
        )
    except WorkflowAlreadyStartedError as error:
        raise UndoRefused(
            f"an undo of plan {plan.plan_id!r} is open already: {undo_id}. See it: airlock show {undo_id}"
        ) from error
    return PlanHandle(client, undo_id)


async def previewed(handle: PlanHandle) -> State:
    """Wait until the preview of an undo is there.

    Returns:
        The state of the undo.

    Raises:
        UndoRefused: If there is nothing to undo, or its preview failed; the text is the reason.
        NoAnswer: If no worker answers.
    """
    status = await handle.wait_for(*(state for state in State if state not in _REHEARSING))
    if status.state in _REHEARSING or (status.state is State.ABORTED and not status.digest):
        with suppress(TimeoutError, AirlockError):  # another undo cannot be started until this run has ended
            await asyncio.wait_for(handle.result(), _ENDING)
        raise UndoRefused(f"{status.why}. Nothing was undone: {handle.workflow.id} is ABORTED, and can be requested again")
    return status.state


async def _previous(client: Client, undo_id: str) -> str:
    """Return the run id of the latest undo of a plan, or an empty text. Visibility may be behind, so it is not asked."""
    try:
        return (await plan_facts(client, undo_id, last=1)).summary.run_id
    except NoSuchPlan:
        return ""


async def _plan_of(client: Client, plan_id: str) -> Plan:
    execution = WorkflowExecution(workflow_id=names.plan_workflow_id(plan_id))
    request = GetWorkflowExecutionHistoryRequest(namespace=client.namespace, execution=execution, maximum_page_size=1)
    try:
        page = await client.workflow_service.get_workflow_execution_history(request)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            text = f"there is no plan {plan_id!r} (workflow {execution.workflow_id}), or its retention has passed"
            raise NoSuchPlan(
                f"{text}: a plan that Temporal does not retain cannot be undone. See which there are: airlock list"
            ) from error
        raise
    given = page.history.events[0].workflow_execution_started_event_attributes.input
    try:
        (start,) = await client.data_converter.decode(given.payloads)
        return _plan_in(PlanStart.model_validate(start)).on_occasion(execution.workflow_id)
    except Exception as error:
        raise AirlockError(f"the input of plan {plan_id!r} cannot be read: {error}") from error


def _plan_in(start: PlanStart) -> Plan:
    plan = start.plan or (start.run.plan if start.run else None)
    if plan is None:
        raise ValueError("it was started without a plan")
    return plan
