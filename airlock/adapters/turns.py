"""The way of one turn through Airlock, for agents in processes of their own: proposed, waited for, answered."""

import asyncio
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from temporalio.service import RPCError, RPCStatusCode

from airlock.adapters.agent_tools import AgentCall, AgentTools, Answer, refused, unknown
from airlock.base.errors import AirlockError, PlanError
from airlock.client.errors import NoAnswer, RunFailed
from airlock.client.plan_handle import PlanHandle
from airlock.client.plans import Airlock
from airlock.run.presentation.views import PlanResult

PAUSE = 1.0
"""Seconds after which Temporal is asked again when it did not answer."""
_AWAY = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)


class StillOpen(AirlockError):
    """A plan that has not ended within the patience of an adapter. It goes on; the same turn finds it again."""

    def __init__(self, plan_id: str, patience: float) -> None:
        self.plan_id = plan_id
        super().__init__(f"plan {plan_id!r} has not ended within {patience:g} s; continue the agent once it has")


@dataclass(frozen=True)
class Turn:
    """One turn that was proposed."""

    tools: AgentTools
    calls: Sequence[AgentCall]
    handle: PlanHandle | None
    """The plan; None if it was refused before it was submitted."""
    why: str = ""

    @property
    def plan_id(self) -> str:
        """The id of the plan; empty if it was refused."""
        return self.handle.plan_id if self.handle else ""

    async def ended(self) -> bool:
        """Return True if the answers are there."""
        return self.handle is None or await self.handle.ended()

    async def answers(self, patience: float | None = None) -> dict[str, Answer]:
        """Wait for the end of the plan, for days if need be, and return the answer to each call by its id.

        Args:
            patience: Seconds to wait; None to wait until the plan ends.

        Raises:
            StillOpen: If it has not ended in time.
        """
        if self.handle is None:
            return refused(self.calls, self.why)
        try:
            async with asyncio.timeout(patience):
                return self.tools.answers(self.calls, await _result(self.handle))
        except TimeoutError as error:
            raise StillOpen(self.plan_id, patience or 0.0) from error
        except RunFailed as error:
            return unknown(self.calls, str(error))


class Turns:
    """An agent's turns, each of them one plan.

    Args:
        airlock: A connection.
        tools: The tools of the agent.
        patience: Seconds to wait for the end of a plan; None to wait until it ends.
    """

    def __init__(self, airlock: Airlock, tools: AgentTools, *, patience: float | None = None) -> None:
        self.airlock, self.tools, self.patience = airlock, tools, patience

    async def propose(self, turn: Sequence[Hashable], calls: Sequence[AgentCall]) -> Turn:
        """Submit one turn as a plan. The same turn again starts nothing, and finds the plan that it started.

        Args:
            turn: The run of the agent and the place of the turn in it, as it is known after a restart too.
            calls: The calls of the turn.
        """
        try:
            return Turn(self.tools, calls, await self.airlock.submit(self.tools.plan(turn, calls), once=True))
        except PlanError as error:
            return Turn(self.tools, calls, None, str(error))

    async def answers(self, turn: Sequence[Hashable], calls: Sequence[AgentCall]) -> dict[str, Answer]:
        """Submit one turn, wait for the end of its plan, and return the answer to each call by its id.

        Raises:
            StillOpen: If the plan has not ended within the patience.
        """
        return await (await self.propose(turn, calls)).answers(self.patience)


async def _result(handle: PlanHandle) -> PlanResult:
    """Wait for the end of a plan, also while Temporal is away."""
    while True:
        try:
            return await handle.result()
        except NoAnswer as error:
            cause = error.__cause__
            if not isinstance(cause, RPCError) or cause.status not in _AWAY:
                raise
            await asyncio.sleep(PAUSE)
