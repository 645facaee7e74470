"""Plans of a namespace for the export, read from Temporal alone: listed by visibility, read a few at a time, then sorted.

Visibility lists plans in no stable order, so they are read as they come and spooled into a temporary file. Memory holds one
small entry per plan, and the few plans that are being read.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, ListWorkflowExecutionsRequest
from temporalio.client import Client

from airlock.base.errors import AirlockError
from airlock.base.names import PLAN_WORKFLOW
from airlock.base.text import shorten
from airlock.client.monitors import Monitors, NoMonitor
from airlock.client.plan_history import NotRetained, PlanReading, read_plan
from airlock.client.pollers import last_poll
from airlock.export.documents import SystemHealth, UnreadablePlan
from airlock.export.lines import LearningSignal
from airlock.export.monitor_lines import learning_signal, system_health
from airlock.export.plan_lines import PlanRecord
from airlock.monitoring.aggregation import Aggregate
from airlock.monitoring.anomaly import anomalies
from airlock.monitoring.feedback import learning_signals
from airlock.monitoring.health import health_of

AT_ONCE = 8
"""Number of plans read concurrently: a worker replays each of them."""
GIVE_UP = 20
"""Number of unreadable plans from which on a worker must be polling; `AT_ONCE` where no plan could be read at all."""
_PAGE = 1_000

Key = tuple[str, str]
"""Workflow id of a plan and the first run of its chain: unique in the files and in Temporal."""
Tell = Callable[[int, int], None]
"""Callback for the progress: the number of plans read, and the number of all."""


@dataclass(frozen=True)
class SpooledPlan:
    """Entry of a plan in the temporary file."""

    order: tuple[datetime, str, str]
    """Value of `PlanRecord.order`."""
    latest: tuple[datetime, bool]
    """Time of the last event read, and True if a run of the plan was reset."""
    gone: str
    """Value of `PlanReading.gone`."""
    offset: int
    """Position in the temporary file, in bytes."""


def key_of(record: PlanRecord) -> Key:
    """Return the key of a plan."""
    return record.execution.workflow_id, record.execution.first_run_id


class Plans:
    """Plans that were read, spooled into a temporary file; `unread` lists the plans that could not be read."""

    def __init__(self) -> None:
        self.unread: list[UnreadablePlan] = []
        self.gave_up = False
        """True if plans were not tried any more, because no worker was there."""
        self.kept: dict[Key, SpooledPlan] = {}
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as this does

    def close(self) -> None:
        """Delete the temporary file."""
        self._file.close()

    def keep(self, reading: PlanReading) -> None:
        """Spool a plan. A run that replaced a reset one also replaces its record."""
        key, latest = key_of(reading.record), (reading.read_to, reading.was_reset)
        if key in self.kept and self.kept[key].latest >= latest:
            return
        offset = self._file.seek(0, 2)
        self._file.write(reading.record.model_dump_json().encode() + b"\n")
        self.kept[key] = SpooledPlan(reading.record.order, latest, reading.gone, offset)

    def record(self, key: Key) -> PlanRecord | None:
        """Return one plan; None if it was not read."""
        if key not in self.kept:
            return None
        self._file.seek(self.kept[key].offset)
        return PlanRecord.model_validate_json(self._file.readline())

    def in_order(self) -> tuple[Key, ...]:
        """Return the keys of all plans, in the order of the files."""
        return tuple(sorted(self.kept, key=lambda key: self.kept[key].order))

    async def records(self) -> AsyncIterator[PlanRecord]:
        """Yield all plans, in the order of the files."""
        for key in self.in_order():
            record = self.record(key)
            assert record is not None
            yield record


@asynccontextmanager
async def plans_of(
    client: Client, *, since: datetime | None = None, without: Collection[str] = (), tell: Tell | None = None
) -> AsyncIterator[Plans]:
    """Read all plans of the client's namespace.

    Args:
        client: A client made by `airlock_client.connection`.
        since: Only plans that are open or were closed at this time, UTC, or later.
        without: Workflow ids to leave out.
        tell: Callback for the progress.
    """
    listed = [found async for found in _listed(client, since) if found[0] not in without]
    plans = Plans()
    try:
        left = iter(listed)
        done = 0

        async def read_some() -> None:
            nonlocal done
            for workflow_id, run_id in left:
                most = GIVE_UP if plans.kept else AT_ONCE
                # while a worker polls, a plan that cannot be read is no sign that none can
                if plans.gave_up or (len(plans.unread) >= most and await last_poll(client) is None):
                    plans.gave_up = True
                    return
                await _read_into(plans, client, workflow_id, run_id)
                done += 1
                if tell is not None:
                    tell(done, len(listed))

        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(listed))):
                group.create_task(read_some())
        plans.unread.sort(key=lambda plan: (plan.workflow_id, plan.run_id))
        yield plans
    finally:
        plans.close()


async def _read_into(plans: Plans, client: Client, workflow_id: str, run_id: str) -> None:
    try:
        plans.keep(await read_plan(client, workflow_id, run_id))
    except NotRetained:
        return  # its retention expired since it was listed
    except (AirlockError, ValueError) as error:  # go on: the error lists all plans that cannot be read
        why = shorten(str(error))
        plans.unread.append(UnreadablePlan(workflow_id=workflow_id, run_id=run_id, why=why))


async def _listed(client: Client, since: datetime | None) -> AsyncIterator[tuple[str, str]]:
    """Yield the workflow and run id of the last run of each plan. Visibility may be seconds behind."""
    query = f"WorkflowType = '{PLAN_WORKFLOW}' AND ExecutionStatus != 'ContinuedAsNew'"
    query += f" AND (CloseTime IS NULL OR CloseTime >= '{since.isoformat()}')" if since else ""
    token, seen = b"", set[str]()
    while True:
        request = ListWorkflowExecutionsRequest(
            namespace=client.namespace, query=query, page_size=_PAGE, next_page_token=token
        )
        page = await client.workflow_service.list_workflow_executions(request, retry=True)
        for info in page.executions:
            if info.execution.run_id not in seen:  # a run that closes during the listing may be on two pages
                seen.add(info.execution.run_id)
                yield info.execution.workflow_id, info.execution.run_id
        token = page.next_page_token
        if not token:
            return


async def monitored(client: Client) -> tuple[SystemHealth, tuple[LearningSignal, ...]]:
    """Return health and learning signals of the monitors at the time of the last report.

    The same reports give the same files. Without a monitor, or before the first report, there is no data.

    Raises:
        airlock_client.errors.NoAnswer: If a monitor does not answer.
    """
    try:
        counted = await Monitors(client).counted()
    except NoMonitor:
        return system_health(health_of(Aggregate()), (), None), ()
    windows, latest = counted.windows, counted.latest
    if latest is None:
        return system_health(health_of(Aggregate()), (), None), ()
    found = tuple(learning_signal(signal) for signal in learning_signals(windows, latest))
    return system_health(health_of(windows.total), anomalies(windows, latest), latest), found


async def retention_of(client: Client) -> timedelta:
    """Return the time for which the namespace keeps a run after it was closed."""
    request = DescribeNamespaceRequest(namespace=client.namespace)
    described = await client.workflow_service.describe_namespace(request, retry=True)
    return described.config.workflow_execution_retention_ttl.ToTimedelta()
