"""Submission of plans, for any Python program.

airlock = await Airlock.connect()
run = await airlock.submit("plan.json")
async for status in run.follow():
    print(status.state, status.waits_for)
print((await run.result()).outcome)
"""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from airlock.admission.examination import Examination, examine
from airlock.base import names
from airlock.base.errors import AirlockError, PlanError
from airlock.client.documents import read_document
from airlock.client.errors import PlanConflict
from airlock.client.listing import PlanSummary, list_plans
from airlock.client.plan_handle import PlanHandle
from airlock.client.visibility import attributes_of, summary_line
from airlock.plans.assignments import read_plan
from airlock.plans.plan import Plan
from airlock.plans.state import State
from airlock.run.outcome import Outcome
from airlock.run.presentation.views import rehearsal_failed
from airlock.temporal.connection import connect
from airlock.wire import PlanStart

MEMO_DIGEST = "airlock_plan_digest"
MEMO_REQUESTER = "airlock_requested_by"
"""The requester of the plan, so that a program can tell whose plan it is without a worker."""
CLOSED_WITHIN = 30.0
"""Seconds for which a submission waits for an earlier run of the plan that has an outcome to close."""
_NOT_REHEARSED = (Outcome.UNREHEARSED.value, Outcome.REHEARSED.value)


class Airlock:
    """Connection to Airlock, for programs that submit plans and follow them."""

    def __init__(self, client: Client) -> None:
        self.client = client

    @classmethod
    async def connect(cls) -> "Airlock":
        """Connect with Temporal's own settings.

        Raises:
            airlock_client.connection.ConnectionFailed: If nothing answers.
        """
        return cls(await connect())

    def plan(self, plan_id: str) -> PlanHandle:
        """Return the handle of a submitted plan, by its plan id or workflow id.

        `undo-<plan_id>` gives the handle of its undo.
        """
        return PlanHandle(self.client, names.plan_id_of(plan_id))

    async def plans(
        self, *, state: State | None = None, open_only: bool = False, limit: int = 100
    ) -> tuple[PlanSummary, ...]:
        """Return the plans of the namespace, newest first, from Temporal's visibility.

        Visibility may be seconds behind. It needs no worker.
        """
        return await list_plans(self.client, state=state, open_only=open_only, limit=limit)

    async def submit(
        self,
        plan: Plan | Examination | Mapping[str, Any] | str | Path,
        validation: Any = None,
        *,
        once: bool = False,
    ) -> PlanHandle:
        """Submit a plan. The same plan submitted again starts nothing, and returns the same handle.

        A plan that ended as `unrehearsed`, or because its mocks or dry runs failed, has called nothing: the same plan starts
        once more and is rehearsed again, except with `once`.

        Args:
            plan: A plan, its examination, a decoded JSON document in either format, or the path of a file with one.
            validation: The decoded validations file of a plan in the older format, if there is one.
            once: True to start no second run, however the first one ended: its end is the answer.

        Raises:
            PlanError: If the plan cannot be accepted; nothing was started.
            PlanConflict: If the same id was submitted with other content.
        """
        if not isinstance(plan, Examination):
            plan = examine(plan if isinstance(plan, Plan) else read_plan(read_document(plan), validation))
        if plan.problems:
            raise PlanError(plan.problems)
        read, digest = plan.plan, plan.digest
        handle = PlanHandle(self.client, read.plan_id)
        try:
            if await self._started(read, digest, WorkflowIDReusePolicy.REJECT_DUPLICATE):
                return handle
            described = await handle.workflow.describe()
            known = await described.memo_value(MEMO_DIGEST, default=None)
            if known != digest:
                raise PlanConflict(
                    f"plan {read.plan_id!r} was submitted before with other content; give the new one another plan_id"
                )
            if (
                not once
                and await _unrehearsed(handle)
                and await self._started(read, digest, WorkflowIDReusePolicy.ALLOW_DUPLICATE)
            ):
                return handle
            return PlanHandle(self.client, read.plan_id, already=True)
        except RPCError as error:
            if error.status is RPCStatusCode.INVALID_ARGUMENT:
                raise AirlockError(_refused(error.message)) from error
            raise

    async def _started(self, plan: Plan, digest: str, reuse: WorkflowIDReusePolicy) -> bool:
        """Start the run of a plan; return False if Temporal has one that does not allow another."""
        try:
            await self.client.start_workflow(
                names.PLAN_WORKFLOW,
                PlanStart(plan=plan),
                id=names.plan_workflow_id(plan.plan_id),
                task_queue=names.WORKFLOW_QUEUE,
                request_eager_start=True,  # a worker of this very client begins at once
                id_reuse_policy=reuse,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                memo={MEMO_DIGEST: digest, MEMO_REQUESTER: plan.requested_by},
                search_attributes=attributes_of(plan),
                static_summary=summary_line(plan),
            )
        except WorkflowAlreadyStartedError:
            return False
        return True


async def _unrehearsed(handle: PlanHandle) -> bool:
    """Return True if the last run of a plan has ended because it could not be rehearsed, and so without any call."""
    facts, until = await handle.facts(last=1), time.monotonic() + CLOSED_WITHIN
    # a status tells the outcome while the run still gives its slots back; the next program may submit the plan by then
    while facts.summary.open and facts.summary.outcome in _NOT_REHEARSED and time.monotonic() < until:
        await asyncio.sleep(0.05)
        facts = await handle.facts(last=1)
    if facts.summary.open:
        return False
    if facts.result is not None and rehearsal_failed(facts.result):
        return True
    outcome = facts.result.outcome.value if facts.result else facts.summary.outcome
    return outcome == Outcome.UNREHEARSED.value


def _refused(said: str) -> str:
    if "search attribute" in said.lower() and "limit" not in said.lower():
        return f"the namespace lacks Airlock's search attributes; start a worker once, it registers them ({said})"
    return f"Temporal refused to start the plan: {said}"
