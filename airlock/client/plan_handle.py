"""The handle of one submitted plan: its status and preview, decisions about it, its end."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

from airlock.base import names
from airlock.base.errors import AirlockError
from airlock.base.incoming import MalformedMessage, Verdict
from airlock.client.errors import IS_ONE_RUNNING, NoAnswer, PlanEnded, RunFailed, no_such_plan, rejection
from airlock.client.facts import PlanFacts, plan_facts
from airlock.client.patience import answered
from airlock.client.signing import VALID_FOR, ToSign, to_sign
from airlock.plans.plan import Step
from airlock.plans.seal import SIGNED_PREFIX_LENGTH, names_digest
from airlock.plans.state import State
from airlock.run.messages import parse_message
from airlock.run.presentation.preview_check import checked_preview
from airlock.run.presentation.views import AuditView, PlanResult, PreviewView, StatusView
from airlock.signing.evidence import DecisionEvidence

QUERY_TIMEOUT = timedelta(seconds=15)
DECISION_TIMEOUT = 30.0
"""Seconds for a worker's answer to a decision."""
ENDED_CHECK = 2.0
"""Seconds without a change after which a follower checks that the run is open."""

CLOSES_WITHIN = 15.0
"""Seconds for which the outcome of a run that takes no decisions any more is waited for: it gives back its slots."""
_ENDED = ("already completed", "closing workflow")
"""Words of Temporal about a run that takes no messages any more."""
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
            decision: approve, deny, lock, unlock, rollback, abort, resolve or amend.
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

    async def amend(
        self,
        steps: Iterable[Step | Mapping[str, Any]] = (),
        *,
        by: str,
        reason: str,
        remove: Iterable[str] = (),
        whole: bool = False,
        digest: str | None = None,
    ) -> Verdict:
        """Change steps of the plan while it waits for approval, and return the verdict.

        A plan that refuses stays as it was. Steps that do not change keep their approvals, see `docs/guides/amending.md`.

        Args:
            steps: Whole steps. One with the id of a step of the plan takes its place, any other is added.
            by: The requester of the plan, or a person who may approve.
            reason: The reason; it is recorded, and shown to the approvers.
            remove: The ids of the steps to remove.
            whole: True if `steps` are all steps that the plan is to have.
            digest: The digest of the preview that is amended; with it, no later one is.

        Raises:
            NoSuchPlan: If there is no such plan.
            PlanEnded: If it has ended.
            NoAnswer: If no worker answers within 30 seconds; the amendment may still arrive.
            AirlockError: If the amendment is malformed; the message names the field.
        """
        given = [step.model_dump(mode="json") if isinstance(step, Step) else dict(step) for step in steps]
        fields = {"steps": given or None, "remove": list(remove) or None, "whole": whole or None, "digest": digest}
        return await self.decide("amend", by=by, reason=reason, **fields)

    async def to_sign(self, decision: str, *, valid_for: timedelta = VALID_FOR, **fields: Any) -> ToSign:
        """Return a decision for its person to sign; `decide_signed` sends it with the evidence.

        Args:
            decision: approve, deny, lock, unlock, rollback, abort, resolve or amend.
            valid_for: The time from now for which the signed decision counts, 7 days at most.
            fields: The fields of that signal, such as `by` and `reason`; `digest` is that of the preview that was shown.

        Raises:
            AirlockError: If the decision is malformed, or names another seal than the one in force.
            NoAnswer: If no worker answers within 15 seconds; with `patient`, only if none polls.
            NoSuchPlan: If there is no such plan.
        """
        try:
            message = parse_message(decision, ({name: value for name, value in fields.items() if value is not None},))
        except MalformedMessage as error:
            raise AirlockError(str(error)) from error
        status = await self.status()
        named = getattr(message, "digest", None)
        if named is not None and not (len(named) >= SIGNED_PREFIX_LENGTH and names_digest(named, status.digest)):
            raise AirlockError(
                f"digest: {named[:12]!r} is not the seal in force, or fewer than {SIGNED_PREFIX_LENGTH} characters;"
                " look at the preview again, and name its digest whole"
            )
        return to_sign(
            decision,
            message,
            namespace=self.workflow_client.namespace,
            subject=self.workflow.id,  # not what a status says: any worker that polls answers a query
            life=status.life,
            nonce=status.nonce,
            seal=status.digest,
            valid_for=valid_for,
        )

    async def decide_signed(self, signed: ToSign, evidence: DecisionEvidence) -> Verdict:
        """Send a decision with the evidence of its person, and return the plan's verdict. Raises like `decide`."""
        return await self.decide(signed.decision, **signed.fields, evidence=evidence.model_dump(mode="json"))

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

    async def require_open(self) -> None:
        """Require that the plan takes decisions still. Needs no worker.

        Raises:
            NoSuchPlan: If there is no such plan.
            PlanEnded: If it has ended; the message tells how.
        """
        facts = await self.facts(last=1)
        if not facts.summary.open:
            raise self._ended(facts.result)

    async def _with_outcome(self, ended: PlanEnded) -> PlanEnded:
        """Return the error with the way in which the plan ended, as far as Temporal tells."""
        try:
            # the run may be closing only now
            return self._ended(await asyncio.wait_for(self.result(), CLOSES_WITHIN))
        except (AirlockError, RPCError, TimeoutError):
            return ended

    def _ended(self, result: PlanResult | None) -> PlanEnded:
        how = "" if result is None else f": {result.outcome.value} ({result.why})"
        return PlanEnded(f"plan {self.plan_id!r} has ended{how}")

    def _translated(self, error: RPCError) -> AirlockError:
        if error.status is RPCStatusCode.NOT_FOUND:
            if any(word in error.message for word in _ENDED):
                return self._ended(None)
            return no_such_plan(self.plan_id, self.workflow.id)
        if "paused" in error.message:
            return NoAnswer(self._paused())
        return NoAnswer(f"no worker answered for plan {self.plan_id!r}: {error.message}")

    def _paused(self) -> str:
        unpause = f"temporal workflow unpause --workflow-id {self.workflow.id}"
        return f"plan {self.plan_id!r} is paused in Temporal and answers nothing until: {unpause}"
