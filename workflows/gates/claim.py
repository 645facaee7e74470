"""The workflow of a claim. While it is open or settled as done, no other plan makes the same irreversible call."""

import asyncio
from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from pydantic import ValidationError

    from airlock.base import names
    from airlock.base.incoming import MalformedMessage
    from airlock.base.text import shorten
    from airlock.gates.claim import FREE, SettledByPlan, claim_details, parse_settle
    from airlock.gates.protocol import Claimed, ClaimOutcome
    from airlock.temporal import proof
    from airlock.temporal.proof_converter import SentObject
    from airlock.workflows import origin
    from airlock.workflows.history_budget import HistoryBudget

HISTORY = HistoryBudget(events=1_200)
"""Only a flood of signals takes a claim that far."""


@workflow.defn(name=names.CLAIM_WORKFLOW)
class ClaimWorkflow:
    """One claim. Its input is a `Claimed`; anything else fails the run at once, which leaves the id free.

    Stays open until its plan or a person settles it: `done` completes it, `free` fails it, which lets the id be taken
    again. A cancellation settles nothing: it would hand a call in doubt to the next plan.
    """

    @workflow.init
    def __init__(self, claimed: Any) -> None:
        self._problem = origin.repeated(workflow.info()) or _foreign(claimed)
        if self._problem:
            return
        try:
            self._claimed = Claimed.model_validate(claimed)
        except ValidationError as error:
            self._problem = shorten(f"the input is not a claim: {error}")
            return
        since = self._claimed.since or workflow.now()
        self._claimed = self._claimed.model_copy(update={"since": since, "outcome": None, "note": None})

    @workflow.run
    async def run(self, claimed: Any) -> Claimed:
        """Wait until the claim is settled.

        Raises:
            ApplicationError: Of type `Free` when the call was certainly not made.
        """
        if self._problem:
            raise ApplicationError(self._problem, type="InvalidClaim", non_retryable=True)
        self._publish()
        while not self._settled():
            try:
                await workflow.wait_condition(lambda: self._settled() or HISTORY.is_spent())
            except asyncio.CancelledError:
                self._refuse("cancelling a claim settles nothing: send the signal settle")
            if not self._settled() and HISTORY.is_spent():
                workflow.continue_as_new(self._claimed)
        self._publish()
        if self._claimed.outcome is ClaimOutcome.FREE:
            raise ApplicationError(self._why_free(), self._claimed, type=FREE, non_retryable=True)
        return self._claimed

    def _settled(self) -> bool:
        return self._claimed.outcome is not None

    def _why_free(self) -> str:
        told = self._claimed.note if isinstance(self._claimed.note, dict) else {}
        return shorten(f"free: {self._claimed.holder} did not make this call, says {told.get('by')}: {told.get('reason')}")

    def _publish(self) -> None:
        workflow.set_current_details(claim_details(self._claimed, workflow.info().workflow_id))

    def _refuse(self, why: str) -> None:
        refused = self._claimed.refused + 1
        self._claimed = self._claimed.model_copy(update={"refused": refused, "last_refusal": shorten(why)})
        self._publish()

    def refuse_signal(self, name: str, why: str) -> None:
        """Record a signal whose handler raised; called by the worker's interceptor."""
        if not self._problem:
            self._refuse(f"{shorten(name, 100)}: {why}")

    @workflow.signal(
        name="settle", description='{"by", "outcome": "done" or "free", "reason"}: the call was made, or certainly was not'
    )
    def settle(self, *arguments: Any) -> None:
        """Settle the claim. Only the first valid signal counts."""
        if self._problem:
            return
        try:
            said = parse_settle(arguments)
        except MalformedMessage as error:
            self._refuse(str(error))
            return
        if self._claimed.outcome is not None:
            self._refuse(f"settle: it is settled already as {self._claimed.outcome.value}")
            return
        if isinstance(said, SettledByPlan) and (why := self._foreign_settlement(said, arguments)):
            self._refuse(f"settle: {why}")
            return
        if isinstance(said, SettledByPlan) and said.holder != self._claimed.holder:
            self._refuse(f"settle: {shorten(said.holder, 150)} does not hold this claim, {self._claimed.holder} does")
            return
        by = said.holder if isinstance(said, SettledByPlan) else said.by
        self._claimed = self._claimed.model_copy(update={"outcome": said.outcome, "note": {"by": by, "reason": said.reason}})

    def _foreign_settlement(self, said: SettledByPlan, arguments: Sequence[Any]) -> str:
        """Return why no worker settles this very claim; empty if one does, or if no proof is demanded yet."""
        for given in arguments:
            if not isinstance(given, SentObject):
                continue
            why = given.objection(SettledByPlan.__name__, proof.BY_WORKER, workflow.now())
            if why:
                return f"no worker of Airlock is known to have sent it: {why}"
            if not given.is_due(workflow.now()):
                return ""  # workers of earlier versions do not say which claim they mean
        if (said.execution, said.stay) != (self._claimed.execution, self._claimed.stay):
            return "it means an earlier claim of the same call"
        return ""

    @workflow.signal(dynamic=True)
    def unknown_signal(self, name: str, arguments: Sequence[RawValue]) -> None:
        """Record an unknown signal."""
        self.refuse_signal(name, "unknown signal; there is settle")

    @workflow.query(name="status", description="whose claim it is, how it was settled, what was refused")
    def status(self) -> dict[str, Any]:
        """Return the claim."""
        if self._problem:
            raise ApplicationError(self._problem, type="InvalidClaim", non_retryable=True)
        return self._claimed.model_dump(mode="json")  # not the message: people read this, and a proof would hide the text


def _foreign(claimed: Any) -> str:
    """Return why a claim was made by no worker; empty if a worker made it, or a run of Airlock carried it on."""
    info = workflow.info()
    if not origin.proofs_are_due(claimed, info):
        return ""
    if info.continued_run_id is not None:
        why = origin.foreign(claimed, Claimed.__name__, info)
    else:
        why = claimed.objection(Claimed.__name__, proof.BY_WORKER, info.workflow_start_time)
    return why and f"claim: {why}"
