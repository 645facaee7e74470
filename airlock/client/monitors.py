"""Results of all monitors, for programs and screens: every shard is asked, and the counts are merged exactly."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from functools import reduce

from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from airlock.base import names
from airlock.base.errors import AirlockError
from airlock.base.model import WireModel
from airlock.client.errors import IS_ONE_RUNNING, NoAnswer
from airlock.client.patience import answered
from airlock.gates.protocol import LockWish
from airlock.monitoring.aggregation import Stage
from airlock.monitoring.anomaly import Anomaly, anomalies
from airlock.monitoring.calibration import Calibration, ToolFidelity, calibration, fidelities
from airlock.monitoring.feedback import Signal, learning_signals
from airlock.monitoring.health import Health, Samples, WorstTool, health_of, worst_tools
from airlock.monitoring.messages import HealthSnapshot, TrendPoint
from airlock.monitoring.rolling import Window, Windows, merge

QUERY_TIMEOUT = timedelta(seconds=15)
_RUNNING = f"WorkflowType = '{names.MONITOR_WORKFLOW}' AND ExecutionStatus = 'Running'"


class NoMonitor(AirlockError):
    """The namespace has no monitor, because no worker has ever run there."""


class CountedTotals(WireModel):
    """Counts of all monitors."""

    at: datetime
    """Time of the counts, UTC."""
    monitors: tuple[str, ...]
    """Workflow ids of the monitors."""
    windows: Windows
    repeated: int = 0
    """Number of reports that were delivered again, and counted once."""
    refused: int = 0
    """Number of signals refused."""
    wishes: tuple[LockWish, ...] = ()
    """Latest wishes for a lock of the live gate, oldest first."""

    @property
    def latest(self) -> datetime | None:
        """Time of the last report, UTC; None without one."""
        return datetime.fromtimestamp(self.windows.latest, UTC) if self.windows.latest else None


class HealthReport(WireModel):
    """Health of the whole system."""

    at: datetime
    """End of the window, UTC."""
    window: Window
    """Window of `reports`, `health` and `worst_tools`."""
    monitors: tuple[str, ...]
    """Workflow ids of the monitors."""
    latest: datetime | None
    """Time of the last report, UTC; None without one."""
    reports: dict[Stage, int]
    """Number of reports in the window, by stage."""
    repeated: int
    """As in `CountedTotals`."""
    refused: int
    """As in `CountedTotals`."""
    wishes: tuple[LockWish, ...]
    """As in `CountedTotals`."""
    health: Health
    trend: tuple[TrendPoint, ...]
    """The last day by hour, oldest first, without hours in which no stage ended."""
    anomalies: tuple[Anomaly, ...]
    """Anomalies in the last hour and the last day, for any window."""
    lately: Samples
    """Sample sizes of the last day, with which the anomalies are found."""
    worst_tools: tuple[WorstTool, ...]


class SignalsReport(WireModel):
    """Learning signals of the whole system."""

    at: datetime
    """Time of the signals, UTC."""
    monitors: tuple[str, ...]
    """Workflow ids of the monitors."""
    latest: datetime | None
    """Time of the last report, UTC; None without one."""
    signals: tuple[Signal, ...]
    calibration: Calibration
    """Calibration over everything counted."""
    fidelity: tuple[ToolFidelity, ...]
    """Dry-run fidelity over everything counted."""


def health_report(counted: CountedTotals, window: Window) -> HealthReport:
    """Return the health that these counts give."""
    windows, at = counted.windows, counted.at
    facts = windows.window(window, at)
    return HealthReport(
        at=at,
        window=window,
        monitors=counted.monitors,
        latest=counted.latest,
        reports=facts.reports,
        repeated=counted.repeated,
        refused=counted.refused,
        wishes=counted.wishes,
        health=health_of(facts),
        trend=tuple(TrendPoint(start=point.start, health=health_of(point.facts)) for point in windows.trend(at)),
        anomalies=anomalies(windows, at),
        lately=health_of(windows.window(Window.DAY, at)).samples,
        worst_tools=worst_tools(facts),
    )


def signals_report(counted: CountedTotals) -> SignalsReport:
    """Return the learning signals that these counts give."""
    total = counted.windows.total
    return SignalsReport(
        at=counted.at,
        monitors=counted.monitors,
        latest=counted.latest,
        signals=learning_signals(counted.windows, counted.at),
        calibration=calibration(total.confidence),
        fidelity=fidelities(total),
    )


class Monitors:
    """All monitors of a namespace.

    Args:
        client: A client made by `airlock_client.connection`.
        patient: True to wait for an answer for as long as a worker polls: it is busy, not away.
    """

    def __init__(self, client: Client, *, patient: bool = False) -> None:
        self._client = client
        self._patient = patient

    async def counted(self) -> CountedTotals:
        """Return the counts of all monitors up to now, merged as if one had counted everything.

        Raises:
            NoMonitor: If there is no monitor.
            NoAnswer: If one of them does not answer within 15 seconds; a partial answer would look complete.
        """
        found = await asyncio.gather(*(self._snapshot(monitor) for monitor in await self._running()))
        windows = reduce(merge, (snapshot.windows for snapshot in found))
        # the clock of a monitor may be ahead of this one: its last report must not lie in the future
        at = max(datetime.now(UTC), datetime.fromtimestamp(windows.latest, UTC))
        wishes = sorted((wish for snapshot in found for wish in snapshot.wishes), key=lambda wish: wish.at)
        return CountedTotals(
            at=at,
            monitors=tuple(snapshot.monitor for snapshot in found),
            windows=windows,
            repeated=sum(snapshot.repeated for snapshot in found),
            refused=sum(snapshot.refused for snapshot in found),
            wishes=tuple(wishes),
        )

    async def health(self, window: Window = Window.DAY) -> HealthReport:
        """Return the health of the whole system. Raises like `counted`."""
        return health_report(await self.counted(), window)

    async def signals(self) -> SignalsReport:
        """Return the learning signals. Raises like `counted`."""
        return signals_report(await self.counted())

    async def _running(self) -> tuple[str, ...]:
        """Return the running monitors. The first is always included, because visibility may be seconds behind."""
        request = ListWorkflowExecutionsRequest(namespace=self._client.namespace, query=_RUNNING, page_size=1_000)
        try:
            page = await self._client.workflow_service.list_workflow_executions(request, retry=True)
        except RPCError as error:
            raise NoAnswer(f"Temporal did not list the monitors: {error.message}") from error
        return tuple(sorted({names.monitor_id(0), *(info.execution.workflow_id for info in page.executions)}))

    async def _snapshot(self, monitor: str) -> HealthSnapshot:
        handle = self._client.get_workflow_handle(monitor)

        def ask() -> Awaitable[HealthSnapshot]:
            return handle.query("health", result_type=HealthSnapshot, rpc_timeout=QUERY_TIMEOUT)

        try:
            answer = await answered(self._client, ask, patient=self._patient)
            return HealthSnapshot.model_validate(answer)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise NoMonitor(f"there is no {monitor}, so nothing is counted: start a worker, which starts it") from error
            raise NoAnswer(f"no worker answered for {monitor}; {IS_ONE_RUNNING} ({error.message})") from error
        except Exception as error:
            raise NoAnswer(f"{monitor} cannot answer: {error}") from error
