"""Adapter for agents that are Temporal workflows: each turn is a plan of its own, which outlives the agent.

    with workflow.unsafe.imports_passed_through():
        from airlock.adapters.temporal import answers_in_workflow
    ...
    answers = await answers_in_workflow(tools, "turn-1", calls)

The plan is a child that its parent's end leaves alone. Where it was started before, by a run that was reset since, or where
its result is one that only Airlock's converter reads, the activity `PlanActivities.plan_result` of the agent's worker
returns the result.

An agent in another namespace than Airlock's names a Nexus endpoint that leads to `airlock.adapters.nexus`: its plan is an
operation then, and no activity is needed.
"""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.common import RawValue, RetryPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    NexusOperationError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)

from airlock.adapters.agent_tools import AgentCall, AgentTools, Answer, refused, unknown
from airlock.adapters.nexus import PROPOSE, RESULT, SERVICE
from airlock.admission.examination import Examination, examine
from airlock.base import names
from airlock.base.errors import AirlockError, PlanError
from airlock.client.errors import NoAnswer
from airlock.client.plans import MEMO_DIGEST, Airlock
from airlock.client.visibility import attributes_of, summary_line
from airlock.plans.assignments import read_plan
from airlock.run.presentation.views import PlanResult

PLAN_RESULT = "airlock_plan_result"
LOOK = 20.0
"""Seconds for which one attempt of the activity waits for the end of a plan."""
_ATTEMPT = timedelta(seconds=60)
_AGAIN = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))
_JSON = b"json/plain"


async def answers_in_workflow(
    tools: AgentTools, turn: str, calls: Sequence[AgentCall], *, endpoint: str | None = None
) -> dict[str, Answer]:
    """Propose one turn out of a workflow, wait for the end of its plan, and return the answer to each call by its id.

    Args:
        tools: The tools of the agent.
        turn: The place of the turn in this workflow; the same in every replay, and after a reset.
        calls: The calls of the turn.
        endpoint: The Nexus endpoint of Airlock's namespace; without it, the plan is a child in this one.
    """
    info = workflow.info()
    try:
        plan = tools.plan([info.workflow_id, info.first_execution_run_id, turn], calls)
        examined = examine(read_plan(plan))
        if examined.problems:
            raise PlanError(examined.problems)
    except PlanError as error:
        return refused(calls, str(error))
    try:
        ended = await (_ended(plan, examined) if endpoint is None else _ended_elsewhere(plan, examined, endpoint))
    except (ChildWorkflowError, ActivityError, NexusOperationError) as error:
        if is_cancelled_exception(error):
            raise  # the agent was cancelled; its plan goes on
        return unknown(calls, f"the plan ended without a result: {error.cause or error}")
    return tools.answers(calls, PlanResult.model_validate(ended))


async def _ended(plan: dict[str, Any], examined: Examination) -> Any:
    """Start a plan, or find the one that was started before, and return its result as JSON."""
    try:
        # plain JSON in both directions: the worker of the agent may have another data converter
        raw = await workflow.execute_child_workflow(
            names.PLAN_WORKFLOW,
            {"plan": examined.plan.model_dump(mode="json", exclude_defaults=True)},
            id=names.plan_workflow_id(examined.plan.plan_id),
            task_queue=names.WORKFLOW_QUEUE,
            memo={MEMO_DIGEST: examined.digest},
            search_attributes=attributes_of(examined.plan),
            static_summary=summary_line(examined.plan),
            result_type=RawValue,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            cancellation_type=workflow.ChildWorkflowCancellationType.ABANDON,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )
        if raw.payload.metadata.get("encoding") == _JSON:
            return json.loads(raw.payload.data)
    except WorkflowAlreadyStartedError:
        pass  # by a run that was reset since
    return await workflow.execute_activity(
        PLAN_RESULT, plan, start_to_close_timeout=_ATTEMPT, retry_policy=_AGAIN, summary=examined.plan.plan_id
    )


async def _ended_elsewhere(plan: dict[str, Any], examined: Examination, endpoint: str) -> Any:
    """Propose a plan in another namespace, and return its result as JSON."""
    airlock = workflow.create_nexus_client(service=SERVICE, endpoint=endpoint)
    abandon = workflow.NexusOperationCancellationType.ABANDON  # the agent may end, and its plan goes on
    given = examined.plan.model_dump(mode="json", exclude_defaults=True)
    raw = await airlock.execute_operation(
        PROPOSE, given, output_type=RawValue, cancellation_type=abandon, summary=plan["plan_id"]
    )
    if raw.payload.metadata.get("encoding") == _JSON:
        return json.loads(raw.payload.data)
    # the operation ends with what the plan's workflow returned, and its converter may have deflated that
    text, part, parts = "", 0, 1
    while part < parts:
        asked = {"plan": given, "part": part}
        told = await airlock.execute_operation(RESULT, asked, output_type=dict, summary=plan["plan_id"])
        text, parts, part = text + told["text"], told["parts"], part + 1
    return json.loads(text)


class PlanActivities:
    """The activity with which the worker of an agent gets the result of a plan that no child tells it."""

    def __init__(self, airlock: Airlock) -> None:
        self._airlock = airlock

    @activity.defn(name=PLAN_RESULT)
    async def plan_result(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Return the result of a plan; fail the attempt while it is open, so that no slot is held for days."""
        try:
            handle = await self._airlock.submit(plan, once=True)
            async with asyncio.timeout(LOOK):
                return (await handle.result()).model_dump(mode="json")
        except TimeoutError as error:
            raise ApplicationError(f"plan {plan['plan_id']} has not ended", type="StillOpen") from error
        except AirlockError as error:
            raise ApplicationError(str(error), non_retryable=not isinstance(error, NoAnswer)) from error
