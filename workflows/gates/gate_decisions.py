"""Decisions about a gate: each is judged by the policy of the worker that serves it, one after the other."""

import asyncio
from collections.abc import Callable

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from airlock.admission.admitted import BOUNDED_EPOCH, SIGNED_EPOCH
    from airlock.admission.policy import Policy
    from airlock.base.incoming import Verdict
    from airlock.gates.authority import Judged, judge
    from airlock.gates.parsing import GateDecision
    from airlock.gates.semaphore import Gate
    from airlock.wire import PolicyRequest
    from airlock.workflows.answers import NoAnswer, answered
    from airlock.workflows.patches import GATE_DECISIONS
    from airlock.workflows.policy_questions import PolicyQuestions

MAX_PENDING = 100
"""Decisions that may wait for the policy at the same time; any client can send more."""


class GateDecisions:
    """Decisions on their way to a verdict.

    Args:
        gate_id: The workflow id of the gate.
        gate: Returns the gate, which a recall replaces.
        epoch: The rules under which it was started, or went on.
    """

    def __init__(self, gate_id: str, gate: Callable[[], Gate], epoch: int) -> None:
        self._epoch = epoch
        self._id = gate_id
        self._gate = gate
        self._judging = 0
        self._questions = PolicyQuestions()
        self._latest: Policy | None = None
        self._asking = asyncio.Lock()

    async def settled(self) -> None:
        """Wait until every decision that has arrived is judged: what came after a lock must find the gate locked."""
        if self._judging:
            await workflow.wait_condition(lambda: not self._judging)

    async def judge(self, name: str, decision: GateDecision) -> Judged:
        """Return whether the gate may obey a decision."""
        if not (self._epoch >= SIGNED_EPOCH or workflow.patched(GATE_DECISIONS)):
            return Judged()
        if self._judging >= MAX_PENDING:
            return self._unread(name, decision, "too many decisions at the same time: send it again")
        self._judging += 1
        try:
            async with self._asking:  # in the order of their arrival: an unlock must not overtake its lock
                policy = await self._policy()
                if isinstance(policy, str):
                    return self._unread(name, decision, policy)
                self._latest = policy
                return self._judged(name, decision, policy)
        finally:
            self._judging -= 1

    async def _policy(self) -> Policy | str:
        try:
            return (await answered(self._questions.ask(PolicyRequest(gate=self._id), self._epoch))).policy
        except (ActivityError, NoAnswer) as error:
            return f"today's policy could not be read, decide again: {error}"

    def _judged(self, name: str, decision: GateDecision, policy: Policy) -> Judged:
        return judge(
            self._gate(), self._id, workflow.info().namespace, name, decision, policy, workflow.now(),
            bounded=self._epoch >= BOUNDED_EPOCH,
        )  # fmt: skip

    def _unread(self, name: str, decision: GateDecision, why: str) -> Judged:
        """Return the judgement where today's policy cannot be read: a lock is judged by the latest one that could.

        Where there is none either, the gate obeys a lock.
        """
        if name != "lock":
            return Judged(Verdict(accepted=False, reason=why))
        return Judged() if self._latest is None else self._judged(name, decision, self._latest)
