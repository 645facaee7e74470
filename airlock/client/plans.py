"""Submission of plans, and handles to follow them, for any Python program.

airlock = await Airlock.connect()
run = await airlock.submit("plan.json")
async for status in run.follow():
    print(status.state, status.waits_for)
print((await run.result()).outcome)
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from airlock.admission.examination import Examination, examine
from airlock.base import names
from airlock.base.errors import AirlockError, PlanError
from airlock.base.incoming import Verdict
from airlock.client.documents import read_document
from airlock.client.errors import IS_ONE_RUNNING, NoAnswer, PlanConflict, PlanEnded, RunFailed, no_such_plan, rejection
from airlock.client.facts import PlanFacts, plan_facts
from airlock.client.listing import PlanSummary, list_plans
from airlock.client.patience import answered
from airlock.client.visibility import attributes_of, summary_line
from airlock.plans.assignments import read_plan
from airlock.plans.plan import Plan
from airlock.plans.state import State
from airlock.run.outcome import Outcome
from airlock.run.presentation.preview_check import checked_preview
from airlock.run.presentation.views import AuditView, PlanResult, PreviewView, StatusView
from airlock.temporal.connection import connect
from airlock.wire import PlanStart

QUERY_TIMEOUT = timedelta(seconds=15)
DECISION_TIMEOUT = 30.0
"""Seconds for a worker's answer to a decision."""
ENDED_CHECK = 2.0
"""Seconds without a change after which a follower checks that the run is open."""
MEMO_DIGEST = "airlock_plan_digest"

_View = TypeVar("_View", StatusView, PreviewView, AuditView)


class PlanHandle:
    """Handle of a submitted plan."""

    def __init__(self, client: Client, plan_id: str, *, already: bool = False) -> None:
        self.plan_id = plan_id
        self.workflow_client = client
        self.already = already
        """True if the same plan was submitted before, so that this submission started nothing."""
        self.patient = False
        """True to wait for an answer for as long as a worker polls: it is busy, not away."""
        self.workflow: WorkflowHandle[Any, Any] = client.get_workflow_handle(
            names.workflow_id_of(plan_id), result_type=PlanResult
        )

    async def status(self) -> StatusView:
        """Return the current status of the plan.

        Raises:
            NoAnswer: If no worker answers within 15 seconds; with `patient`, only if none polls.
            NoSuchPlan: If there is no such plan.
        """
        return await self._query("status", StatusView)

    async def preview(self) -> PreviewView:
        """Return the sealed preview, with a text made here from what its digest covers.

        Raises:
            PreviewMismatch: If the digest does not cover the content. Nothing of it may be approved.
            NoAnswer: If no worker answers within 15 seconds; with `patient`, only if none polls.
            NoSuchPlan: If there is no such plan.
        """
        return checked_preview(await self._query("preview", PreviewView), self.workflow.id)

    async def audit(self) -> AuditView:
        """Return the audit of the run. Raises like `status`."""
        return await self._query("audit", AuditView)

    async def decide(self, decision: str, **fields: Any) -> Verdict:
        """Send a decision to the plan, and return its verdict.

        Args:
            decision: approve, deny, lock, unlock, rollback, abort or resolve.
            fields: The fields of that signal, such as `by`, `digest` and `reason`.

        Raises:
            NoSuchPlan: If there is no such plan.
            PlanEnded: If it has ended.
            NoAnswer: If no worker answers within 30 seconds; the decision may still arrive.
            AirlockError: If the decision is malformed; the message names the field.
        """
        message = {"decision": decision, **{key: value for key, value in fields.items() if value is not None}}
        try:
            answer = await asyncio.wait_for(
                self.workflow.execute_update("decide", message, result_type=Verdict), timeout=DECISION_TIMEOUT
            )
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
            raise NoAnswer(f"no worker answered for plan {self.plan_id!r}; {IS_ONE_RUNNING}") from error
        except RPCError as error:
            translated = self._translated(error)
            raise await self._with_outcome(translated) if isinstance(translated, PlanEnded) else translated from error
        except Exception as error:
            raise AirlockError(rejection(error)) from error
        return Verdict.model_validate(answer)

    async def follow(self, every: float = 0.25) -> AsyncIterator[StatusView]:
        """Yield the status of the plan each time it changes, until the plan has ended.

        Args:
            every: Seconds between two queries.
        """
        last: StatusView | None = None
        look_again = time.monotonic() + ENDED_CHECK
        while True:
            try:
                status = await self.status()
            except NoAnswer:
                status = None
            if status is not None and status != last:
                yield status
                last, look_again = status, time.monotonic() + ENDED_CHECK
            if status is not None and (status.outcome is not None or status.state.closed):
                return
            if time.monotonic() > look_again:
                if await self.ended():  # terminated or timed out: its status would never change again
                    return
                look_again = time.monotonic() + ENDED_CHECK
            await asyncio.sleep(every)

    async def wait_for(self, *states: State, every: float = 0.1) -> StatusView:
        """Wait until the plan is in one of the states, or has ended, and return its status."""
        async for status in self.follow(every):
            if status.state in states:
                return status
        return await self.status()

    async def result(self) -> PlanResult:
        """Wait for the end of the plan, and return its result.

        Raises:
            RunFailed: If it ended without a result.
            NoSuchPlan: If there is no such plan.
        """
        try:
            return PlanResult.model_validate(await self.workflow.result())
        except WorkflowFailureError as error:
            raise RunFailed(f"plan {self.plan_id!r} ended without a result: {error.cause}") from error
        except RPCError as error:
            raise self._translated(error) from error

    async def ended(self) -> bool:
        """Return True if the run is closed, for any reason. Needs no worker."""
        return not (await self.facts(last=1)).summary.open

    async def facts(self, last: int = 12) -> PlanFacts:
        """Return the facts that Temporal has without a worker, with the `last` events of the history, newest first.

        Raises:
            NoSuchPlan: If there is no such plan.
        """
        return await plan_facts(self.workflow_client, self.plan_id, last)

    async def _query(self, name: str, model: type[_View]) -> _View:
        try:

            def ask() -> Awaitable[_View]:
                return self.workflow.query(name, result_type=model, rpc_timeout=QUERY_TIMEOUT)

            answer = await answered(self.workflow_client, ask, patient=self.patient)
            return model.model_validate(answer)
        except RPCError as error:
            raise self._translated(error) from error
        except Exception as error:
            if "WorkflowExecutionStatus" in str(error):  # the SDK does not know this status
                raise NoAnswer(self._paused()) from error
            raise NoAnswer(f"plan {self.plan_id!r} cannot answer: {error}") from error

    async def _with_outcome(self, ended: PlanEnded) -> PlanEnded:
        """Return the error with the way in which the plan ended, as far as Temporal tells."""
        try:
            result = (await self.facts(last=1)).result
        except (AirlockError, RPCError):
            return ended
        return ended if result is None else PlanEnded(f"{ended}: {result.outcome.value} ({result.why})")

    def _translated(self, error: RPCError) -> AirlockError:
        if error.status is RPCStatusCode.NOT_FOUND:
            if "completed" in error.message:
                return PlanEnded(f"plan {self.plan_id!r} has ended")
            return no_such_plan(self.plan_id, self.workflow.id)
        if "paused" in error.message:
            return NoAnswer(self._paused())
        return NoAnswer(f"no worker answered for plan {self.plan_id!r}: {error.message}")

    def _paused(self) -> str:
        unpause = f"temporal workflow unpause --workflow-id {self.workflow.id}"
        return f"plan {self.plan_id!r} is paused in Temporal and answers nothing until: {unpause}"


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

    async def submit(self, plan: Plan | Examination | Mapping[str, Any] | str | Path, validation: Any = None) -> PlanHandle:
        """Submit a plan. The same plan submitted again starts nothing, and returns the same handle.

        A plan that ended as `unrehearsed` has called nothing: the same plan starts once more and is rehearsed again.

        Args:
            plan: A plan, its examination, a decoded JSON document in either format, or the path of a file with one.
            validation: The decoded validations file of a plan in the older format, if there is one.

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
            if await _unrehearsed(handle) and await self._started(read, digest, WorkflowIDReusePolicy.ALLOW_DUPLICATE):
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
                id_reuse_policy=reuse,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                memo={MEMO_DIGEST: digest},
                search_attributes=attributes_of(plan),
                static_summary=summary_line(plan),
            )
        except WorkflowAlreadyStartedError:
            return False
        return True


async def _unrehearsed(handle: PlanHandle) -> bool:
    """Return True if the last run of a plan has ended without a rehearsal, and so without any call."""
    facts = await handle.facts(last=1)
    if facts.summary.open:
        return False
    outcome = facts.result.outcome.value if facts.result else facts.summary.outcome
    return outcome == Outcome.UNREHEARSED.value


def _refused(said: str) -> str:
    if "search attribute" in said.lower() and "limit" not in said.lower():
        return f"the namespace lacks Airlock's search attributes; start a worker once, it registers them ({said})"
    return f"Temporal refused to start the plan: {said}"
