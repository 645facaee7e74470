"""Reading of what stands: plans that wait for a person, locks of the live gate, plans that were rolled back."""

import logging
from datetime import datetime, timedelta

from temporalio.client import Client

from airlock.admission.configuration.notify_config import AlertKind
from airlock.alerts.alert import Alert
from airlock.base import names
from airlock.base.errors import AirlockError
from airlock.client.errors import NoAnswer, NoSuchPlan
from airlock.client.inbox import InboxItem, SystemLock, WaitKind
from airlock.client.inbox_reader import InboxReader, highest_risk, item_of
from airlock.client.listing import PlanSummary, list_plans
from airlock.client.plan_handle import PlanHandle
from airlock.plans.state import State
from airlock.run.call_record import CallStatus
from airlock.run.presentation.views import StatusView

LOOK_BACK = timedelta(hours=24)
"""The time before its start in which a process looks for plans that were rolled back."""
_OVERLAP = timedelta(minutes=5)
"""Visibility may be that much behind."""
_MOST = 2_000
"""Plans of each state that are looked at."""
_KINDS = {
    WaitKind.APPROVAL: AlertKind.WAITING,
    WaitKind.LOCKED: AlertKind.LOCKED,
    WaitKind.UNDO_FAILED: AlertKind.PARKED,
    WaitKind.IN_DOUBT: AlertKind.IN_DOUBT,
}
"""Plans that the lock of the live gate has stopped have no alert of their own: the lock has one."""

logger = logging.getLogger(__name__)


class Standing:
    """Reader of what stands, for a program that looks again and again.

    Args:
        client: A connected client.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = InboxReader(client, most=_MOST)
        self._ended: dict[str, Alert | None] = {}
        """The alerts of closed runs by run id; None for one that has nothing to tell."""
        self._since: datetime | None = None

    async def read(self) -> tuple[Alert, ...]:
        """Return everything that stands now. What does not answer is left out, until it does.

        Raises:
            AirlockError: If the namespace has no Airlock search attributes yet.
        """
        inbox = await self._inbox.read()
        if inbox.not_listed:
            logger.warning("%s more plans wait than are looked at: the newest come first", inbox.not_listed)
        await self._look_at_ended(inbox.at)
        waiting = [alert for item in inbox.items if (alert := alert_of(item)) is not None]
        ended = [alert for alert in self._ended.values() if alert is not None]
        return (*waiting, *locks(inbox.lock), *ended)

    async def of_plan(self, plan_id: str) -> tuple[Alert, ...]:
        """Return what stands about one plan, as its run itself tells it now.

        Raises:
            NoAnswer: If no worker answers for it.
            NoSuchPlan: If there is no such plan.
        """
        if not names.is_of_plan(names.workflow_id_of(plan_id)):
            raise NoSuchPlan("no plan has such an id")
        handle = PlanHandle(self._client, plan_id)
        summary = (await handle.facts(last=1)).summary
        status = await handle.status()
        if not summary.open:
            found = rolled_back(summary, status)
        else:
            item = item_of(summary, status)
            found = None if item is None else alert_of(item)
        return () if found is None else (found,)

    async def of_system(self) -> tuple[Alert, ...]:
        """Return the locks of the live gate.

        Raises:
            NoAnswer: If the gate cannot be read.
        """
        lock = await self._inbox.system_lock()
        if lock.problem:
            raise NoAnswer(lock.problem)
        return locks(lock)

    async def _look_at_ended(self, now: datetime) -> None:
        since = now - LOOK_BACK if self._since is None else self._since
        found = await list_plans(self._client, state=State.ABORTED, since=since, limit=_MOST)
        complete = True
        for summary in found:
            if summary.open or summary.run_id in self._ended:
                continue
            try:
                status = await PlanHandle(self._client, summary.plan_id).status()
            except (AirlockError, TimeoutError):
                complete = False  # asked again with the next look
                continue
            self._ended[summary.run_id] = rolled_back(summary, status)
        if complete:
            self._since = now - _OVERLAP
        forgotten = now - LOOK_BACK - _OVERLAP
        ended = self._ended.items()
        # a run without an alert is remembered for as long as it can be listed again, one with an alert while it can be told
        listed = {summary.run_id for summary in found}
        self._ended = {run: alert for run, alert in ended if run in listed or (alert and alert.since > forgotten)}


def alert_of(item: InboxItem) -> Alert | None:
    """Return the alert of a plan that waits; None if it does not answer, or waits for no person."""
    kind = _KINDS.get(item.kind)
    if kind is None or item.problem or item.since is None:
        return None
    return Alert(
        kind=kind,
        since=item.since,
        plan_id=item.plan_id,
        goal=item.goal,
        requested_by=item.requested_by,
        why=item.why,
        by=item.why_by if kind is AlertKind.LOCKED else "",
        waits_for=item.waits_for,
        risk=item.risk,
        steps=item.steps,
        live_steps=item.live_steps,
        irreversible=item.irreversible,
        agents=item.agents,
        tools=item.tools,
        approvals=item.approvals,
        approvals_required=item.approvals_required,
        parked=item.parked,
        digest=item.digest if kind is AlertKind.WAITING else None,
        expires_at=item.expires_at,
    )


def rolled_back(summary: PlanSummary, status: StatusView) -> Alert | None:
    """Return the alert of a plan that has ended in a rollback; None if it ended in another way, or had nothing to undo."""
    undone = [step.id for step in status.steps if step.status == CallStatus.UNDONE.value]
    kept = [step.id for step in status.steps if step.status == CallStatus.KEPT.value]
    if status.state is not State.ABORTED or not (undone or kept):
        return None
    return Alert(
        kind=AlertKind.ROLLED_BACK,
        since=status.since,
        plan_id=summary.plan_id,
        goal=status.goal,
        requested_by=status.requested_by,
        why=status.why,
        risk=highest_risk(status.steps),
        steps=len(status.steps),
        agents=status.agents,
        tools=status.tools,
        undone=len(undone),
        kept=tuple(kept),
    )


def locks(lock: SystemLock) -> tuple[Alert, ...]:
    """Return an alert for each lock of the live gate."""
    return tuple(
        Alert(kind=AlertKind.SYSTEM_LOCKED, since=each.at, why=each.reason, scope=each.scope, by=each.by)
        for each in lock.locks
    )
