"""Undo of a plan after its end: a separate run, `undo-<plan_id>`, previewed and approved like any plan."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest
from temporalio.client import Client
from temporalio.common import TypedSearchAttributes, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
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
from airlock.client.signing import VALID_FOR, ToSign, to_sign
from airlock.client.visibility import attributes_of
from airlock.plans.plan import Plan
from airlock.plans.state import State
from airlock.run.decisions.consequences import asked_undo, request_message
from airlock.run.undo import Undoing
from airlock.signing.evidence import DecisionEvidence
from airlock.signing.nonces import request_nonce
from airlock.wire import PlanStart

_ENDING = 10.0
"""Seconds to wait for the end of a run that has reached its last state."""
_REHEARSING = (State.MOCK, State.DRY_RUN)


@dataclass(frozen=True)
class UndoRequest:
    """The request for an undo: the start of a workflow, before it is sent."""

    plan: Plan
    """The plan that has ended."""
    undoing: Undoing

    @property
    def workflow_id(self) -> str:
        """The id of the undo."""
        return names.undo_workflow_id(self.plan.plan_id)

    @property
    def start(self) -> PlanStart:
        """The input of the workflow."""
        return PlanStart(plan=self.plan, undo=self.undoing)

    @property
    def attributes(self) -> TypedSearchAttributes:
        """The search attributes with which it starts."""
        return attributes_of(self.plan)

    @property
    def summary(self) -> str:
        """The line under which Temporal lists it."""
        return f"Undo of {self.plan.plan_id}, by {code(visible(' '.join(self.undoing.by.split()))[:60])}"


async def undo_to_sign(
    client: Client,
    plan_id: str,
    *,
    by: str,
    reason: str,
    to_step: str | None = None,
    valid_for: timedelta = VALID_FOR,
) -> ToSign:
    """Return the request for the undo of a plan that has ended, for its person to sign; `undo` sends it with the evidence.

    Args:
        client: A connected client.
        plan_id: Id of the plan.
        by: Name of the requester.
        reason: Reason of the undo.
        to_step: As in `undo`.
        valid_for: The time from now for which the signed request counts.

    Raises:
        NoSuchPlan: If there is no such plan, or its retention has expired.
        NoAnswer: If no worker answers for the plan.
        AirlockError: If a field is malformed, or the plan cannot take a signed request.
    """
    plan = await _plan_of(client, plan_id)
    handle = PlanHandle(client, plan.plan_id)
    await _closed(handle)
    undo_id = names.undo_workflow_id(plan.plan_id)
    try:
        message = request_message(Undoing(by=by, reason=reason, to_step=to_step))
    except MalformedMessage as error:
        raise AirlockError(str(error)) from error
    status, previous = await handle.status(), await _previous(client, undo_id)
    nonce = request_nonce(undo_id, status.life, previous)
    return to_sign(
        "rollback", message, namespace=client.namespace, subject=undo_id, life=status.life, nonce=nonce,
        seal=status.digest, valid_for=valid_for,
    )  # fmt: skip


async def undo(
    client: Client,
    plan_id: str,
    *,
    by: str,
    reason: str,
    to_step: str | None = None,
    evidence: DecisionEvidence | None = None,
) -> PlanHandle:
    """Start the undo of a plan that has ended. Nothing is undone before another person approves its preview.

    Args:
        client: A connected client.
        plan_id: Id of the plan.
        by: Name of the requester, who cannot approve the undo.
        reason: Reason of the undo.
        to_step: Undo this step, and every step after it or dependent on it; None for all steps.
        evidence: Evidence that the requester made this request, see `undo_to_sign`; None to send it unsigned.

    Returns:
        The handle of the undo.

    Raises:
        NoSuchPlan: If there is no such plan, or its retention has expired.
        UndoRefused: If an undo of this plan is open.
        AirlockError: If the start of the plan cannot be read.
    """
    request = await undo_request(client, plan_id, by=by, reason=reason, to_step=to_step, evidence=evidence)
    undo_id = request.workflow_id
    try:
        await client.start_workflow(
            names.PLAN_WORKFLOW,
            request.start,
            id=undo_id,
            task_queue=names.WORKFLOW_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            search_attributes=request.attributes,
            static_summary=request.summary,
        )
    except WorkflowAlreadyStartedError as error:
        raise UndoRefused(
            f"an undo of plan {request.plan.plan_id!r} is open already: {undo_id}. See it: airlock show {undo_id}"
        ) from error
    return PlanHandle(client, undo_id)


async def undo_request(
    client: Client,
    plan_id: str,
    *,
    by: str,
    reason: str,
    to_step: str | None = None,
    evidence: DecisionEvidence | None = None,
) -> UndoRequest:
    """Return the request for the undo of a plan that has ended, without sending it. It takes and raises what `undo` does."""
    plan = await _plan_of(client, plan_id)
    await _closed(PlanHandle(client, plan.plan_id))
    try:
        previous = await _previous(client, names.undo_workflow_id(plan.plan_id))
        undoing = asked_undo(Undoing(by=by, reason=reason, to_step=to_step, previous=previous, evidence=evidence))
    except MalformedMessage as error:
        raise AirlockError(str(error)) from error
    return UndoRequest(plan, undoing)


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
        await _closed(handle)  # another undo cannot be started until this run has ended
        raise UndoRefused(f"{status.why}. Nothing was undone: {handle.workflow.id} is ABORTED, and can be requested again")
    return status.state


async def _closed(handle: PlanHandle) -> None:
    """Wait for the end of a run that is in its last state, and still gives back what it holds."""
    with suppress(TimeoutError, AirlockError):
        if not await handle.ended() and (await handle.status()).state.closed:
            await asyncio.wait_for(handle.result(), _ENDING)


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
        page = await client.workflow_service.get_workflow_execution_history(request, retry=True)
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
