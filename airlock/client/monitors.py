"""The counts of the monitors, for programs and screens: every shard asked, and merged exactly."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import reduce

from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from airlock.base import names
from airlock.base.errors import AirlockError
from airlock.base.model import WireModel
from airlock.client.errors import NoAnswer
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
    """The namespace has no monitor: no worker has ever run there."""


class CountedTotals(WireModel):
    """Everything that was counted, as of `at`, UTC, by the `monitors` that are named.

    `repeated` reports came again and were not counted again. `refused` signals made no sense. `wishes` are the last locks of
    the live gate that monitors asked for, oldest first.
    """

    at: datetime
    monitors: tuple[str, ...]
    windows: Windows
    repeated: int = 0
    refused: int = 0
    wishes: tuple[LockWish, ...] = ()

    @property
    def latest(self) -> datetime | None:
        """The time of the last report, UTC; None when there was none."""
        return datetime.fromtimestamp(self.windows.latest, UTC) if self.windows.latest else None


class HealthReport(WireModel):
    """The health of the whole.

    `health`, `worst_tools` and the counts are of the `window` that ends at `at`, UTC; `trend` is the last day hour by hour,
    oldest first, without the hours in which nothing ended. `anomalies` are looked for in the last hour and the last day
    whatever the window; `lately` is what the last day has to judge them by. `reports` counts those of the window, by stage;
    `repeated`, `refused` and `wishes` are as in `CountedTotals`.
    """

    at: datetime
    window: Window
    monitors: tuple[str, ...]
    latest: datetime | None
    reports: dict[Stage, int]
    repeated: int
    refused: int
    wishes: tuple[LockWish, ...]
    health: Health
    trend: tuple[TrendPoint, ...]
    anomalies: tuple[Anomaly, ...]
    lately: Samples
    worst_tools: tuple[WorstTool, ...]


class SignalsReport(WireModel):
    """The learning signals at `at`, UTC. Calibration and dry-run fidelity are over everything counted."""

    at: datetime
    monitors: tuple[str, ...]
    latest: datetime | None
    signals: tuple[Signal, ...]
    calibration: Calibration
    fidelity: tuple[ToolFidelity, ...]


def health_report(counted: CountedTotals, window: Window) -> HealthReport:
    """Return the health of what was counted."""
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
    """Return the learning signals of these counts."""
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
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def counted(self) -> CountedTotals:
        """Return the counts of all monitors up to now, merged as if one had counted all.

        Raises:
            NoMonitor: If there is none.
            NoAnswer: If one of them does not answer within 15 seconds; a part would pass for the whole.
        """
        found = await asyncio.gather(*(self._snapshot(monitor) for monitor in await self._running()))
        windows = reduce(merge, (snapshot.windows for snapshot in found))
        # a monitor's clock may be ahead of ours: what it has counted has happened
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
        """Return the health of the whole; raises like `counted`."""
        return health_report(await self.counted(), window)

    async def signals(self) -> SignalsReport:
        """Return the learning signals; raises like `counted`."""
        return signals_report(await self.counted())

    async def _running(self) -> tuple[str, ...]:
        """Return every monitor that runs. The first is there before visibility, seconds behind at worst, knows of it."""
        request = ListWorkflowExecutionsRequest(namespace=self._client.namespace, query=_RUNNING, page_size=1_000)
        try:
            page = await self._client.workflow_service.list_workflow_executions(request)
        except RPCError as error:
            raise NoAnswer(f"Temporal did not list the monitors: {error.message}") from error
        return tuple(sorted({names.monitor_id(0), *(info.execution.workflow_id for info in page.executions)}))

    async def _snapshot(self, monitor: str) -> HealthSnapshot:
        handle = self._client.get_workflow_handle(monitor)
        try:
            answer = await handle.query("health", result_type=HealthSnapshot, rpc_timeout=QUERY_TIMEOUT)
            return HealthSnapshot.model_validate(answer)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise NoMonitor(f"there is no {monitor}, so nothing is counted: start a worker, which starts it") from error
            raise NoAnswer(f"no worker answered for {monitor}; is one running? ({error.message})") from error
        except Exception as error:
            raise NoAnswer(f"{monitor} cannot answer: {error}") from error
