"""Nexus service for agents that are workflows of another namespace: a plan is an operation, its result the operation's.

    Worker(client, task_queue="airlock-nexus", nexus_service_handlers=[PlanOperations(airlock)])

An endpoint leads to that queue. The workflow of an agent names it: `answers_in_workflow(..., endpoint="plans")`.
"""

import json
from typing import Any

from nexusrpc import HandlerError, HandlerErrorType
from nexusrpc.handler import (
    CancelOperationContext,
    OperationHandler,
    StartOperationContext,
    operation_handler,
    service_handler,
    sync_operation,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.nexus import (
    TemporalNexusClient,
    TemporalOperationHandler,
    TemporalOperationResult,
    TemporalStartOperationContext,
)
from temporalio.service import RPCError, RPCStatusCode

from airlock.admission.examination import Examination, examine
from airlock.base import names
from airlock.base.errors import AirlockError, PlanError
from airlock.client.errors import NoAnswer
from airlock.client.plans import MEMO_DIGEST, MEMO_REQUESTER, Airlock
from airlock.client.visibility import attributes_of, summary_line
from airlock.plans.assignments import read_plan
from airlock.wire import PlanStart

SERVICE = "airlock"
PROPOSE = "propose"
RESULT = "result"
_PART = 30_000
"""Characters of ASCII: as JSON of JSON they are less than what the converter deflates."""
_WRONG = HandlerErrorType.BAD_REQUEST


class _Propose(TemporalOperationHandler[dict[str, Any], dict[str, Any]]):
    """The operation that starts a plan, or joins it, and ends with it."""

    def __init__(self, operations: "PlanOperations") -> None:
        self._operations = operations

    async def start_operation(
        self, _ctx: TemporalStartOperationContext, client: TemporalNexusClient, input: dict[str, Any]
    ) -> TemporalOperationResult[dict[str, Any]]:
        """Start the run of a plan with the operation's callback; a plan that has ended answers at once."""
        examined = self._operations.examined(input)
        plan = examined.plan
        await self._operations.refuse_another(examined)  # first: who joins a run gets its result
        try:
            started = await client.start_workflow(
                names.PLAN_WORKFLOW,
                PlanStart(plan=plan),
                id=names.plan_workflow_id(plan.plan_id),
                task_queue=names.WORKFLOW_QUEUE,
                result_type=dict,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                memo={MEMO_DIGEST: examined.digest, MEMO_REQUESTER: plan.requested_by},
                search_attributes=attributes_of(plan),
                static_summary=summary_line(plan),
            )
        except WorkflowAlreadyStartedError:
            return TemporalOperationResult.sync(await self._operations.ended(examined))
        await self._operations.require_same(examined)  # another plan may have been started under this id meanwhile
        return started

    async def cancel(self, _ctx: CancelOperationContext, _token: str) -> None:
        """Refuse to end the plan: cancelled, it would roll back, which the proposer does not decide.

        Whatever the token says: any caller can write one, and one may name an activity or a workflow that is no plan.
        """
        raise HandlerError("the plan goes on: withdraw it, or deny it", type=HandlerErrorType.NOT_IMPLEMENTED)


@service_handler(name=SERVICE)
class PlanOperations:
    """The operations that an endpoint of Airlock's namespace offers to agents in others.

    Args:
        airlock: A connection.
        requested_by: The requester of all plans that come by this endpoint; a plan that names another one is refused. None
            leaves it to the caller, as everywhere where Temporal alone says who may call.
    """

    def __init__(self, airlock: Airlock, *, requested_by: str | None = None) -> None:
        self._airlock, self._requested_by = airlock, requested_by

    @operation_handler(name=PROPOSE)
    def propose(self) -> OperationHandler[dict[str, Any], dict[str, Any]]:
        """Propose a plan, and return its result when it has ended."""
        return _Propose(self)

    @sync_operation(name=RESULT)
    async def result(self, _ctx: StartOperationContext, asked: dict[str, Any]) -> dict[str, Any]:
        """Return one part of the result of a plan that has ended: `{plan, part}` is answered `{text, parts}`.

        The parts are so small that no converter of Airlock deflates them; together they are the result as JSON.
        """
        plan, part = asked.get("plan"), asked.get("part")
        if not isinstance(plan, dict) or not isinstance(part, int) or part < 0:
            raise HandlerError('asked for as {"plan": {...}, "part": 0}', type=_WRONG)
        text = json.dumps(await self.ended(self.examined(plan)))
        return {"text": text[part * _PART : (part + 1) * _PART], "parts": -(-len(text) // _PART)}

    def examined(self, plan: dict[str, Any]) -> Examination:
        """Return the examination of a plan without problems."""
        try:
            found = examine(read_plan(plan))
            if found.problems:
                raise PlanError(found.problems)
        except PlanError as error:
            raise HandlerError(str(error), type=_WRONG) from error
        if self._requested_by not in (None, found.plan.requested_by):
            raise HandlerError(f"plans of this endpoint are requested by {self._requested_by!r}", type=_WRONG)
        return found

    async def refuse_another(self, examined: Examination) -> None:
        """Refuse a plan whose id another one has; accept one that was not submitted."""
        try:
            await self.require_same(examined)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise

    async def require_same(self, examined: Examination) -> None:
        """Refuse a plan whose id another one has.

        Raises:
            RPCError: If there is none with this id, or Temporal does not answer.
        """
        handle = self._airlock.plan(examined.plan.plan_id)
        if await (await handle.workflow.describe()).memo_value(MEMO_DIGEST, default=None) != examined.digest:
            raise HandlerError(f"plan {examined.plan.plan_id!r} was submitted before with other content", type=_WRONG)

    async def ended(self, examined: Examination) -> dict[str, Any]:
        """Return the result of a plan whose run has closed."""
        await self.require_same(examined)
        try:
            return (await self._airlock.plan(examined.plan.plan_id).result()).model_dump(mode="json")
        except NoAnswer as error:
            raise HandlerError(str(error), type=HandlerErrorType.UNAVAILABLE) from error
        except AirlockError as error:
            raise HandlerError(str(error), type=_WRONG) from error
