"""The plans of one agent. A plan of anyone else is told apart from none at all by nothing that is asked of it.

A proposal tells more: ids are shared by all plans, and one that is taken is refused.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from temporalio.service import RPCError, RPCStatusCode

from airlock.base.errors import AirlockError
from airlock.base.names import UNDO_PREFIX, undo_workflow_id
from airlock.client.errors import NoAnswer, NoSuchPlan
from airlock.client.facts import PlanFacts
from airlock.client.plan_handle import PlanHandle
from airlock.client.plans import MEMO_REQUESTER, Airlock
from airlock.run.presentation.views import PlanResult, StatusView

ANSWER_WITHIN = 8.0
"""Seconds for the answer of a worker. Whatever it would have said can be asked again; a host does not wait for long."""


class NotYours(AirlockError):
    """There is no plan of this id that the agent has proposed."""


@dataclass(frozen=True)
class Seen:
    """One plan of the agent, as far as it can be seen at the moment."""

    handle: PlanHandle
    facts: PlanFacts
    status: StatusView | None = None
    """None if no worker answers, or the plan has ended."""
    undo: PlanFacts | None = None
    """The undo of an ended plan: a run of its own, which only people start."""

    @property
    def result(self) -> PlanResult | None:
        """The result, once the run is closed and has one."""
        return self.facts.result

    @property
    def open(self) -> bool:
        """True if the run is open."""
        return self.facts.summary.open

    @property
    def changed_at(self) -> datetime | None:
        """The time of the last change that is known, UTC."""
        since = self.status.since if self.status else None
        return self.facts.summary.closed_at or since or self.facts.summary.started_at


async def own_plan(airlock: Airlock, plan_id: str, agent: str) -> PlanHandle:
    """Return the handle of a plan that the agent has proposed.

    Needs no worker: the name of the requester lies beside the run in Temporal since it was submitted.

    Raises:
        NotYours: If there is none.
        NoAnswer: If Temporal does not answer.
    """
    handle = airlock.plan(plan_id)
    unknown = NotYours(f"you have proposed no plan {plan_id[:128]!r}")
    if not plan_id or handle.workflow.id.startswith(UNDO_PREFIX):
        raise unknown
    try:
        described = await handle.workflow.describe()
        requester = await described.memo_value(MEMO_REQUESTER, default=None)
    except RPCError as error:
        if error.status in (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT):
            raise unknown from error
        raise NoAnswer("Temporal does not answer") from error
    if requester != agent:
        raise unknown
    return handle


async def _undo_of(airlock: Airlock, handle: PlanHandle, facts: PlanFacts) -> PlanFacts | None:
    if facts.result is None or not facts.result.live:
        return None
    try:
        return await airlock.plan(undo_workflow_id(handle.plan_id)).facts(last=1)
    except NoSuchPlan:
        return None


async def see(airlock: Airlock, plan_id: str, agent: str) -> Seen:
    """Return what can be seen of a plan that the agent has proposed. Raises like `own_plan`."""
    handle = await own_plan(airlock, plan_id, agent)
    try:
        facts = await handle.facts(last=1)
        if not facts.summary.open:
            return Seen(handle, facts, undo=await _undo_of(airlock, handle, facts))
        status = await asyncio.wait_for(handle.status(), timeout=ANSWER_WITHIN)
    except NoSuchPlan as error:  # retention has just removed it
        raise NotYours(f"you have proposed no plan {plan_id[:128]!r}") from error
    except (NoAnswer, TimeoutError):
        return Seen(handle, await handle.facts(last=1))
    except RPCError as error:
        raise NoAnswer("Temporal does not answer") from error
    if status.requested_by != agent:  # the run itself says so, whatever lies beside it
        raise NotYours(f"you have proposed no plan {plan_id[:128]!r}")
    return Seen(handle, facts, status)
