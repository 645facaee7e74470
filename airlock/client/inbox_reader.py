"""Reading of the inbox: the plans that visibility lists as waiting, and the status that each of them tells."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from temporalio.client import Client

from airlock.base import names
from airlock.base.errors import AirlockError
from airlock.client.errors import NoAnswer, NoSuchPlan
from airlock.client.facts import history_length
from airlock.client.gate_status import read_gate
from airlock.client.inbox import RISKS, Inbox, InboxItem, SystemLock, WaitKind, in_order
from airlock.client.listing import PlanSummary, count_plans, list_plans
from airlock.client.plan_handle import PlanHandle
from airlock.client.pollers import last_poll
from airlock.gates.locks import MAX_LOCKS, GateLock
from airlock.plans.contract import Mode
from airlock.plans.plan import MAX_STEPS
from airlock.plans.state import State
from airlock.run.call_record import CallStatus
from airlock.run.presentation.views import StatusView, StepView

MOST = 500
"""Plans of each waiting state that an inbox holds; of more it tells the number."""
ANSWER_WITHIN = 10.0
"""Seconds for the answer of one plan or of the gate."""
_AT_ONCE = 10
_WAITING = (State.AWAITING_APPROVAL, State.LOCKED)
_TEXT, _NAME = 2_000, 200
"""Characters of a text and of a name, as many as a plan may have. Any client can run a workflow that tells millions, and
every page of the inbox would take seconds."""
_SCOPE = 300


class InboxReader:
    """Reader of the inbox, for a program that shows it again and again.

    The status of a plan follows from its history alone. While a history does not grow, its plan is not asked again: a plan
    that waits costs no worker a replay each time a person looks at the list.

    Args:
        client: A connected client.
        most: Plans of each waiting state that are listed.
    """

    def __init__(self, client: Client, most: int = MOST) -> None:
        self._client = client
        self._most = most
        self._known: dict[tuple[str, int], InboxItem | None] = {}
        """The items by run id and length of the history."""

    async def read(self) -> Inbox:
        """Return everything that waits for a person now. Visibility may be a second behind.

        Raises:
            AirlockError: If the namespace has no Airlock search attributes yet.
        """
        listed, counted, lock = await asyncio.gather(
            asyncio.gather(*(list_plans(self._client, state=state, open_only=True, limit=self._most) for state in _WAITING)),
            asyncio.gather(*(count_plans(self._client, state=state, open_only=True) for state in _WAITING)),
            self.system_lock(),
        )
        found = [summary for plans in listed for summary in plans]
        asked = await self._asked(found)
        self._known = {key: item for key, item in self._known.items() if key in {key for key, _ in asked}}
        missing = sum(
            max(0, number - len(plans)) for number, plans in zip(counted, listed, strict=True) if len(plans) >= self._most
        )
        items = in_order(item for _, item in asked if item is not None)
        return Inbox(items=items, lock=lock, not_listed=missing, at=datetime.now(UTC))

    async def system_lock(self) -> SystemLock:
        """Return the locks of the live gate. A gate that does not answer is a problem of its own, and no error."""
        try:
            gate = await read_gate(self._client, names.LIVE_GATE, ANSWER_WITHIN)
        except NoAnswer as error:
            return SystemLock(problem=str(error))
        return SystemLock(locks=() if gate is None else tuple(map(_shown, gate.locks[:MAX_LOCKS])))

    async def _asked(self, found: Sequence[PlanSummary]) -> list[tuple[tuple[str, int], InboxItem | None]]:
        turns = asyncio.Semaphore(_AT_ONCE)
        silent = not found or await last_poll(self._client) is None
        why = "no worker polls: is one running?" if silent else ""

        async def one(summary: PlanSummary) -> tuple[tuple[str, int], InboxItem | None]:
            async with turns:
                return await self._item(summary, why)

        return list(await asyncio.gather(*map(one, found)))

    async def _item(self, summary: PlanSummary, why: str) -> tuple[tuple[str, int], InboxItem | None]:
        """Return what waits of a plan, None if nothing does, with the key under which it is remembered."""
        try:
            key = await history_length(self._client, summary.workflow_id, summary.run_id)
        except NoSuchPlan:  # retention has just removed it
            return (summary.run_id, -1), None
        if key in self._known:
            return key, self._known[key]
        if not why:
            try:
                status = await asyncio.wait_for(PlanHandle(self._client, summary.plan_id).status(), ANSWER_WITHIN)
            except TimeoutError:
                why = "no worker answered in time"
            except AirlockError as error:
                why = str(error)
            else:
                item = item_of(summary, status)
                self._known[key] = item
                return key, item
        return key, unanswered(summary, why)


def item_of(summary: PlanSummary, status: StatusView) -> InboxItem | None:
    """Return the item of a plan by its own status; None if it waits for no person."""
    kind = _kind(status)
    if kind is None:
        return None
    open_still = [step for step in status.steps if step.ceiling is Mode.LIVE and step.status == "waiting"]
    return InboxItem(
        plan_id=summary.plan_id,
        run_id=summary.run_id,
        kind=kind,
        state=status.state.value,
        undo=summary.workflow_id.startswith(names.UNDO_PREFIX),
        goal=_cut(status.goal, _TEXT),
        requested_by=_cut(status.requested_by, _NAME),
        waits_for=_cut(status.waits_for, _TEXT),
        why=_cut(status.why, _TEXT),
        why_by=_cut(status.why_by, _NAME),
        agents=_few(status.agents),
        tools=_few(status.tools),
        risk=highest_risk(status.steps),
        steps=len(status.steps),
        live_steps=len(open_still),
        irreversible=sum(step.reversibility == "irreversible" for step in open_still),
        approvals=_few(status.approvals),
        approvals_required=status.approvals_required,
        parked=_few(status.parked),
        digest=status.digest and _cut(status.digest, _NAME),
        expires_at=status.expires_at if kind is WaitKind.APPROVAL else None,
        since=status.since,
        started_at=summary.started_at,
    )


def _shown(lock: GateLock) -> GateLock:
    scope = lock.scope and _cut(lock.scope, _SCOPE)
    return lock.model_copy(update={"by": _cut(lock.by, _NAME), "reason": _cut(lock.reason, _TEXT), "scope": scope})


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _few(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(_cut(name, _NAME) for name in names[:MAX_STEPS])


def unanswered(summary: PlanSummary, why: str) -> InboxItem:
    """Return the item of a plan that does not answer, by what visibility knows."""
    return InboxItem(
        plan_id=summary.plan_id,
        run_id=summary.run_id,
        kind=WaitKind.LOCKED if summary.state == State.LOCKED else WaitKind.APPROVAL,
        state=summary.state or "",
        undo=summary.workflow_id.startswith(names.UNDO_PREFIX),
        agents=summary.agents,
        risk=summary.risk,
        started_at=summary.started_at,
        problem=why,
    )


def highest_risk(steps: Sequence[StepView]) -> str | None:
    """Return the highest risk among steps; None if none of them has one yet."""
    found = {step.risk for step in steps}
    return next((risk for risk in reversed(RISKS) if risk in found), None)


def _kind(status: StatusView) -> WaitKind | None:
    if status.outcome is not None:
        return None
    if status.state is State.AWAITING_APPROVAL:
        return WaitKind.APPROVAL
    if status.state is not State.LOCKED:
        return None
    parked = {step.status for step in status.steps if step.id in set(status.parked)}
    if CallStatus.IN_DOUBT in parked:
        return WaitKind.IN_DOUBT
    if parked:
        return WaitKind.UNDO_FAILED
    return WaitKind.LOCKED_BY_GATE if status.locked_by_gate else WaitKind.LOCKED
