"""Approvals between their arrival and their verdict: each is judged by today's policy too."""

import asyncio
from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from airlock.admission.admitted import ASKED_EPOCH, POLICY_EPOCH, SIGNED_EPOCH
    from airlock.admission.policy import Policy
    from airlock.base import names
    from airlock.base.incoming import Verdict
    from airlock.plans.state import State
    from airlock.run.decisions.approval import judge_by_plan, may_mean_next_seal, rehearses
    from airlock.run.decisions.authority import is_of_airlock
    from airlock.run.decisions.decision import decide, refuse
    from airlock.run.messages import Approve, Lock, Message
    from airlock.run.standing_decisions import Vote
    from airlock.run.state import Run
    from airlock.temporal.seeds import seeds
    from airlock.wire import PolicyRequest, StoredAtRequest
    from airlock.workflows import commands
    from airlock.workflows.answers import NoAnswer, answered
    from airlock.workflows.patches import DECIDED_EARLY, patched
    from airlock.workflows.policy_questions import PolicyQuestions

MAX_PENDING = 100
"""The approvals that may wait for a verdict at the same time; any client can send more."""
MAX_WAITING = 4
"""The updates that may wait for the end of the dry runs; Temporal lets ten be in progress at the same time."""


class Votes:
    """The approvals of a run that are on their way to a verdict.

    A run admitted before there were epochs judges each at once, by its own policy alone.

    Args:
        run: The plan's run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._judging = 0
        self._questions = PolicyQuestions()
        self._asking = asyncio.Lock()
        self._early: list[tuple[str, Message]] = []

    @property
    def judging(self) -> bool:
        """True while an update waits for its verdict."""
        return self._judging > 0

    def take(self, name: str, message: Message) -> bool:
        """Keep a decision that arrived as a signal until its seal is there, or until `settle`.

        Return False if it can be judged at once.
        """
        if len(self._early) < MAX_PENDING and may_mean_next_seal(self._run, message):
            self._early.append((name, message))
            return True
        return self._take_vote(message)

    async def release(self) -> None:
        """Judge the decisions that waited for the dry runs to end; approvals of the new seal stay until `settle`."""
        early, self._early = self._early, []
        for name, message in early:
            if self._take_vote(message):
                continue
            if self._run.admitted is not None and self._run.admitted.epoch >= ASKED_EPOCH:
                await self.judge(name, message)
            else:
                decide(self._run, name, message, workflow.now())

    def _take_vote(self, message: Message) -> bool:
        if not isinstance(message, Approve) or not self._may_count(message):
            return False
        if len(self._run.pending_votes) >= MAX_PENDING:
            refuse(self._run, "approve", "too many approvals at the same time: send it again", workflow.now())
            return True
        self._run.pending_votes = (*self._run.pending_votes, Vote(approval=message, at=workflow.now()))
        return True

    async def decide(self, name: str, message: Message) -> Verdict:
        """Judge a decision that arrived as an update. It is judged again in full once today's policy is known."""
        if self._judging < MAX_WAITING and may_mean_next_seal(self._run, message):
            await self._dry_runs_ended()
        if isinstance(message, Approve) and self._may_count(message) and not self._late(workflow.now()):
            return await self._judge_by_today(name, message)
        return await self.judge(name, message)

    async def judge(self, name: str, message: Message) -> Verdict:
        """Judge a decision that is not kept. It may have to wait for today's policy; a lock waits for nothing."""
        if self._asks_for(message):
            return await self._judge_by_today(name, message)
        return decide(self._run, name, message, workflow.now())

    async def _judge_by_today(self, name: str, message: Message) -> Verdict:
        given = workflow.now()
        if self._judging >= MAX_PENDING:
            return refuse(self._run, name, "too many decisions at the same time: send it again", given)
        self._judging += 1
        try:
            today = await self._policy_now(believing=isinstance(message, Approve))
        finally:
            self._judging -= 1
        if isinstance(today, str):
            return refuse(self._run, name, today, workflow.now())
        return decide(self._run, name, message, workflow.now(), today=today, given=given)

    async def policy_now(self) -> Policy | str | None:
        """Return today's policy for a decision that is no approval, or why it is not known; None if it is the plan's own."""
        return await self._policy_now(believing=False)

    def _asks_for(self, message: Message) -> bool:
        """Return True if a decision other than an approval is judged by today's policy too.

        Before admission, when the plan has no policy yet, today's is the only one.
        """
        run = self._run
        if isinstance(message, Approve | Lock) or is_of_airlock(message) or run.outcome is not None:
            return False
        return patched(DECIDED_EARLY) if run.admitted is None else run.admitted.epoch >= SIGNED_EPOCH

    async def settle(self) -> None:
        """Judge the approvals that arrived as signals, in the order of their arrival."""
        run = self._run
        while run.pending_votes:
            votes = run.pending_votes
            waits = run.state is State.AWAITING_APPROVAL and run.outcome is None
            today = await self._policy_now(believing=True) if waits else None
            given = await self._given(votes) if waits else {}
            run.pending_votes = run.pending_votes[len(votes) :]
            for vote in votes:
                if isinstance(today, str):
                    refuse(run, "approve", today, workflow.now())
                else:
                    decide(run, "approve", vote.approval, workflow.now(), today=today, given=given.get(vote))

    async def _dry_runs_ended(self) -> None:
        run = self._run
        self._judging += 1
        try:
            await workflow.wait_condition(lambda: not rehearses(run))
        finally:
            self._judging -= 1

    def _may_count(self, approval: Approve) -> bool:
        """Return True if the plan's own policy would let an approval count, signature aside, if it was given in time."""
        run = self._run
        if run.admitted is None or run.admitted.epoch < 1 or run.outcome is not None:
            return False
        return judge_by_plan(run, approval, run.since).accepted

    def _late(self, at: datetime) -> bool:
        return self._run.expires_at is not None and at >= self._run.expires_at

    async def _policy_now(self, *, believing: bool) -> Policy | str | None:
        """Return the policy of today, or why it is not known; None if it is the plan's own policy.

        The build id of the worker tells the last case at no cost: it is recorded with the workflow task, so that a replay
        sees the same. Otherwise an activity asks. Any client that completes a workflow task can name a build id. The
        live worker examines the approval of a plan again, but neither that of an undo nor any other decision: these always
        ask, where the answer of an activity can be proven and so tells more than the build id.

        Args:
            believing: True if the build id may tell.
        """
        admitted = self._run.admitted
        build = workflow.info().get_current_build_id()
        own = admitted is not None and names.is_under_policy(build, admitted.policy_hash)
        asks = not believing and seeds().proofs_due and admitted is not None and admitted.epoch >= ASKED_EPOCH
        if own and self._run.undoing is None and not asks:
            return None
        if admitted is not None and admitted.epoch < POLICY_EPOCH:
            return await self._asked_policy()
        async with self._asking:  # an answer fits only the latest question of this name
            return await self._asked_policy()

    async def _asked_policy(self) -> Policy | str:
        admitted, request = self._run.admitted, PolicyRequest(plan_id=self._run.plan.plan_id)
        try:
            answer = await answered(self._questions.ask(request, 0 if admitted is None else admitted.epoch))
        except (ActivityError, NoAnswer) as error:
            return f"today's policy could not be read, approve again: {error}"
        return answer.policy

    async def _given(self, votes: tuple[Vote, ...]) -> dict[Vote, datetime]:
        """Return when each approval was given.

        That is when the run learned of it. No worker was there to tell it in time, perhaps: for an approval that seems too
        late, the time at which Temporal stored it counts.
        """
        given = {vote: vote.at for vote in votes}
        late = [vote for vote in votes if self._late(vote.at)]
        if not late:
            return given
        request = StoredAtRequest(plan_id=self._run.plan.plan_id, approvals=tuple(vote.approval for vote in late))
        try:
            found = await answered(commands.stored_at(request))
        except (ActivityError, NoAnswer) as error:
            workflow.logger.warning("it is not known when an approval was stored, so it counts as too late: %s", error)
            return given
        return given | {vote: at for vote, at in zip(late, found.times, strict=False) if at is not None}
