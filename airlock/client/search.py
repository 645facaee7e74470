"""Search among all plans, running or ended, by what Temporal keeps of them without a worker: newest first, page by page."""

import asyncio
from collections import OrderedDict
from datetime import date, datetime
from enum import StrEnum
from typing import Literal

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError

from airlock.base.model import WireModel
from airlock.base.person import folded
from airlock.client.facts import line_of
from airlock.client.listing import PlanSummary, list_page

PAGE = 200
"""Plans that one page of a search looks through."""
_AT_ONCE = 10
_REMEMBERED = 20_000
"""Lines that are remembered: a run keeps the line that it began with."""


class Whether(StrEnum):
    """The plans among which a search looks."""

    ANY = ""
    OPEN = "open"
    ENDED = "ended"


class PlanQuestion(WireModel):
    """One search."""

    words: str = ""
    """Words that must all stand in what is known of a plan, in any order and case."""
    whether: Whether = Whether.ANY
    since: date | None = None
    """The first day of submission, UTC."""
    until: date | None = None
    """The last day of submission, UTC."""

    @property
    def empty(self) -> bool:
        """True if it asks for nothing."""
        return self == PlanQuestion()


class FoundPlan(WireModel):
    """One plan that a search found."""

    summary: PlanSummary
    line: str = ""
    """The line under which Temporal keeps the run: the beginning of the goal, the size, the requester."""


class SearchPage(WireModel):
    """The plans that were found among those of one page."""

    found: tuple[FoundPlan, ...] = ()
    looked: int = 0
    """The plans that were looked through."""
    unread: int = 0
    """The plans among them whose line cannot be read, so that only the rest of what is known of them was searched."""
    oldest: datetime | None = None
    """The submission of the oldest plan that was looked through."""
    next_token: bytes = b""
    """The place at which the next page begins; empty if this was the last."""


class PlanSearch:
    """Searches of one connection.

    Visibility has no goals, so the line of each run is read once and remembered.

    Args:
        client: A connected client.
        size: The number of plans that one page looks through.
    """

    def __init__(self, client: Client, size: int = PAGE) -> None:
        self._client = client
        self._size = size
        self._lines: OrderedDict[str, str] = OrderedDict()
        """By run id; empty for one that cannot be read."""

    async def page(self, question: PlanQuestion, token: bytes = b"") -> SearchPage:
        """Return what is found among the next plans.

        Args:
            question: The search.
            token: The place at which the page before ended.

        Raises:
            AirlockError: If the namespace has no Airlock search attributes yet.
        """
        plans, next_token = await list_page(self._client, _query(question), token, self._size)
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(plan: PlanSummary) -> FoundPlan:
            async with turns:
                return FoundPlan(summary=plan, line=await self._line(plan))

        looked = await asyncio.gather(*map(one, plans))
        words = folded(question.words).split()
        return SearchPage(
            found=tuple(each for each in looked if _has(each, words)),
            looked=len(looked),
            unread=sum(not each.line for each in looked),
            oldest=plans[-1].started_at if plans else None,
            next_token=next_token,
        )

    async def _line(self, plan: PlanSummary) -> str:
        if plan.run_id not in self._lines:
            request = DescribeWorkflowExecutionRequest(
                namespace=self._client.namespace,
                execution=WorkflowExecution(workflow_id=plan.workflow_id, run_id=plan.run_id),
            )
            try:
                described = await self._client.workflow_service.describe_workflow_execution(request, retry=True)
            except RPCError:  # removed by retention in this moment, or not answered: it is asked again next time
                return ""
            self._lines[plan.run_id] = await line_of(self._client, described)
            while len(self._lines) > _REMEMBERED:
                self._lines.popitem(last=False)
        return self._lines[plan.run_id]


def _query(question: PlanQuestion) -> str:
    conditions = {Whether.OPEN: " AND CloseTime IS NULL", Whether.ENDED: " AND CloseTime IS NOT NULL"}
    query = conditions.get(question.whether, "")
    if question.since is not None:
        query += f" AND StartTime >= '{_moment(question.since, 'first')}'"
    if question.until is not None:
        query += f" AND StartTime <= '{_moment(question.until, 'last')}'"
    return query


def _moment(day: date, which: Literal["first", "last"]) -> str:
    return f"{day.isoformat()}T{'00:00:00' if which == 'first' else '23:59:59.999999999'}Z"


def _has(plan: FoundPlan, words: list[str]) -> bool:
    known = plan.summary
    parts = (known.plan_id, plan.line, known.state, known.outcome, known.risk, *known.agents, known.status)
    text = folded("\n".join(part for part in parts if part))
    return all(word in text for word in words)
