"""All plans of a namespace, read from Temporal alone: listed by visibility, read a few at a time, told in one order.

Visibility lists plans in no order that an export could keep, so they are read as they come and put aside in a temporary
file; in memory there is one small entry a plan, and the few plans that are being read.
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
from airlock.export.documents import SystemHealth
from airlock.export.lines import LearningSignal
from airlock.export.monitor_lines import learning_signal, system_health
from airlock.export.plan_lines import PlanRecord
from airlock.monitoring.aggregation import Aggregate
from airlock.monitoring.anomaly import anomalies
from airlock.monitoring.feedback import learning_signals
from airlock.monitoring.health import health_of

AT_ONCE = 8
"""The number of plans that are read at the same time: a worker replays each of them."""
GIVE_UP = 20
"""So many plans that cannot be read, and the others are not tried any more; sooner where none could be read at all."""
_PAGE = 1_000

Key = tuple[str, str]
"""A plan's workflow id, and the first run of its chain: what tells it from all others, in the files and in Temporal."""
Tell = Callable[[int, int], None]
"""Called with how many plans were read, of how many."""


@dataclass(frozen=True)
class UnreadablePlan:
    """A plan that could not be read, and why."""

    workflow_id: str
    run_id: str
    why: str


@dataclass(frozen=True)
class SpooledPlan:
    """The place of a spooled plan. `order` is that of the files; `gone` as in `PlanReading`."""

    order: tuple[datetime, str, str]
    latest: tuple[datetime, bool]
    gone: str
    offset: int


def key_of(record: PlanRecord) -> Key:
    """Return the key that tells a plan from all others."""
    return record.execution.workflow_id, record.execution.first_run_id


class Plans:
    """The plans that were read, put aside in a temporary file; `unread` are those that could not be read."""

    def __init__(self) -> None:
        self.unread: list[UnreadablePlan] = []
        self.kept: dict[Key, SpooledPlan] = {}
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as this does

    def close(self) -> None:
        """Let go of the temporary file."""
        self._file.close()

    def keep(self, reading: PlanReading) -> None:
        """Put a plan aside. Of a run that was reset and the one that took its place, only the latter stands for the plan."""
        key, latest = key_of(reading.record), (reading.read_to, reading.was_reset)
        if key in self.kept and self.kept[key].latest >= latest:
            return
        offset = self._file.seek(0, 2)
        self._file.write(reading.record.model_dump_json().encode() + b"\n")
        self.kept[key] = SpooledPlan(reading.record.order, latest, reading.gone, offset)

    def record(self, key: Key) -> PlanRecord | None:
        """Return one plan; None when it was not read."""
        if key not in self.kept:
            return None
        self._file.seek(self.kept[key].offset)
        return PlanRecord.model_validate_json(self._file.readline())

    def in_order(self) -> tuple[Key, ...]:
        """Return all plans, in the order of the files."""
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
        tell: Is told about the progress.
    """
    listed = [found async for found in _listed(client, since) if found[0] not in without]
    plans = Plans()
    try:
        left = iter(listed)
        done = 0

        async def read_some() -> None:
            nonlocal done
            for workflow_id, run_id in left:
                if len(plans.unread) >= (GIVE_UP if plans.kept else AT_ONCE):
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
        return  # its retention passed since it was listed: there is no such plan any more
    except (AirlockError, ValueError) as error:  # one plan must not hide which others cannot be read either
        plans.unread.append(UnreadablePlan(workflow_id, run_id, shorten(str(error))))


async def _listed(client: Client, since: datetime | None) -> AsyncIterator[tuple[str, str]]:
    """Yield the workflow and run id of the last run of each plan, in visibility's order, seconds behind at worst."""
    query = f"WorkflowType = '{PLAN_WORKFLOW}' AND ExecutionStatus != 'ContinuedAsNew'"
    query += f" AND (CloseTime IS NULL OR CloseTime >= '{since.isoformat()}')" if since else ""
    token, seen = b"", set[str]()
    while True:
        request = ListWorkflowExecutionsRequest(
            namespace=client.namespace, query=query, page_size=_PAGE, next_page_token=token
        )
        page = await client.workflow_service.list_workflow_executions(request, retry=True)
        for info in page.executions:
            if info.execution.run_id not in seen:  # one that closes while it is listed may come on two pages
                seen.add(info.execution.run_id)
                yield info.execution.workflow_id, info.execution.run_id
        token = page.next_page_token
        if not token:
            return


async def monitored(client: Client) -> tuple[SystemHealth, tuple[LearningSignal, ...]]:
    """Return the conclusions of the monitors, as of the last report: the same reports give the same files.

    Without a monitor, or before the first report, it says that there is no data.

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
