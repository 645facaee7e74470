"""Amendments between their arrival and their verdict: each waits for the end of a rehearsal, then for admission."""

import asyncio
from collections.abc import Awaitable, Callable

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from airlock.admission.admitted import Admission
    from airlock.admission.policy import Policy
    from airlock.base.errors import PlanError
    from airlock.base.incoming import Verdict
    from airlock.plans.plan import Plan
    from airlock.plans.state import State
    from airlock.run.decisions.amending import (
        STAYS,
        amend,
        amended_plan,
        judge_amendment,
        judge_author,
        look_at_amendment,
        problems_of,
        refuse_amendment,
    )
    from airlock.run.messages import Amend
    from airlock.run.state import Run
    from airlock.wire import AdmitRequest
    from airlock.workflows import commands
    from airlock.workflows.answers import NoAnswer, answered_unless_moved, apart

MAX_WAITING = 4
"""The amendments that may wait at the same time; Temporal lets ten updates be in progress, approvals among them."""


class Amendments:
    """The amendments of a run that are on their way to a verdict.

    Args:
        run: The plan's run.
        full: Returns True when the history is so long that the run must continue as new.
        policy_now: Returns today's policy, or why it is not known; None if it is the plan's own policy.
    """

    def __init__(self, run: Run, full: Callable[[], bool], policy_now: Callable[[], Awaitable[Policy | str | None]]) -> None:
        self._run, self._full, self._policy_now = run, full, policy_now
        self._waiting = 0
        self._one = asyncio.Lock()

    @property
    def waiting(self) -> bool:
        """True while an amendment waits for its verdict."""
        return self._waiting > 0

    async def decide(self, message: Amend) -> Verdict:
        """Judge an amendment, and apply it if it is accepted. A plan that refuses it stays as it was."""
        if self._waiting >= MAX_WAITING:
            return self._refused(message, f"too many amendments at the same time: send it again; {STAYS}")
        self._waiting += 1
        try:
            async with self._one:
                return await self._decide(message)
        finally:
            self._waiting -= 1

    async def _decide(self, message: Amend) -> Verdict:
        run = self._run
        if self._rehearses():
            await workflow.wait_condition(lambda: not self._rehearses() or self._full())
        if self._full():  # the run continues as new once none waits: more of them must not keep it from that
            return self._refused(message, f"the history of this plan is being cut: send it again; {STAYS}")
        # unsigned amendments ask for no policy: they make the commands that they always made
        today = await self._policy_now() if message.evidence is not None else None
        if isinstance(today, str):
            return self._refused(message, today)
        looked = look_at_amendment(run, message, today, workflow.now())
        verdict = judge_amendment(run, message)
        if verdict.accepted:
            verdict = judge_author(run, message, looked)
        if not verdict.accepted:
            return refuse_amendment(run, message, verdict, workflow.now(), looked.signed)
        try:
            plan = amended_plan(run.plan, message)
        except PlanError as error:
            return refuse_amendment(run, message, problems_of(error.problems), workflow.now(), looked.signed)
        admission = await self._admission(plan)
        if isinstance(admission, str):
            verdict = Verdict(accepted=False, reason=admission)
            return refuse_amendment(run, message, verdict, workflow.now(), looked.signed)
        return amend(run, message, plan, admission, workflow.now(), looked)

    def _rehearses(self) -> bool:
        """Return True while the preview that an amendment is for is being made."""
        run = self._run
        return run.undoing is None and run.outcome is None and run.state in (State.MOCK, State.DRY_RUN)

    async def _admission(self, plan: Plan) -> Admission | str:
        """Return what admission says of an amended plan, or why it could not say anything."""
        run = self._run
        try:
            answer = await answered_unless_moved(run, lambda: commands.admit_amended(AdmitRequest(plan=plan), apart(run)))
        except (ActivityError, NoAnswer) as error:
            return f"admission could not look at the amended plan, send it again: {error}; {STAYS}"
        if answer is None:
            return f"the plan has moved on to {run.state.value} meanwhile: {run.why}"
        return answer

    def _refused(self, message: Amend, why: str) -> Verdict:
        return refuse_amendment(self._run, message, Verdict(accepted=False, reason=why), workflow.now())
