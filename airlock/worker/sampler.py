"""Gauges of open plans, pending approvals, gates and health.

No process counts these by itself, so every orchestrating worker asks Temporal at intervals and sets its gauges to the
answer. Several workers report the same values: a Prometheus query takes the maximum, not the sum.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from temporalio.api.workflowservice.v1 import CountWorkflowExecutionsRequest, ListWorkflowExecutionsRequest
from temporalio.client import Client
from temporalio.common import MetricMeter, SearchAttributeKey
from temporalio.converter import decode_typed_search_attributes

from airlock.base import metrics, names
from airlock.base.metrics import Metric
from airlock.client.gate_status import GateNow, gates_now
from airlock.client.monitors import Monitors, NoMonitor, health_report
from airlock.gates.protocol import AnomalyKind
from airlock.monitoring.rolling import Window
from airlock.plans.state import State

EVERY = 15.0
"""Seconds between two samples by default."""
HEALTH_EVERY = 4
"""Samples per sample of health, whose windows are an hour and a day, and whose answer is large."""
_PAGE = 1_000
_ROUNDS = 10
_OPEN = "WorkflowType = 'PlanWorkflow' AND ExecutionStatus = 'Running'"
_AWAITING = f"{_OPEN} AND {names.ATTRIBUTE_STATE} = '{State.AWAITING_APPROVAL.value}'"
_GIVEN_UP = f"WorkflowType = '{names.NOTIFY_WORKFLOW}' AND ExecutionStatus = 'Failed'"
_GIVEN_UP_WITHIN = timedelta(hours=1)
_SINCE = SearchAttributeKey.for_datetime(names.ATTRIBUTE_SINCE)

logger = logging.getLogger(__name__)


class Sampler:
    """Sampler of the gauges. A sample that fails leaves them as they were; `airlock_sampled_at_seconds` tells their age.

    Args:
        client: A client made by `airlock_client.connection`.
        meter: The meter of the client's runtime, which serves the gauges.
    """

    def __init__(self, client: Client, meter: MetricMeter) -> None:
        self._client = client
        self._meter = meter
        self._gates: set[str] = set()
        self._troubled: set[str] = set()

    async def run(self, every: float = EVERY) -> None:
        """Sample at intervals of so many seconds, until cancelled."""
        turn = 0
        while True:
            await self.sample(health=turn % HEALTH_EVERY == 0)
            turn += 1
            await asyncio.sleep(every)

    async def sample(self, *, health: bool = True) -> None:
        """Sample plans, gates and messages once, and health too if asked for."""
        await self._part("plans", self._plans)
        await self._part("gates", self._gate_gauges)
        await self._part("messages", self._messages)
        if health:
            await self._part("health", self._health)

    async def _part(self, what: str, look: Callable[[], Awaitable[None]]) -> None:
        try:
            await look()
        except Exception as error:  # noqa: BLE001  # a failure of one part must not stop the others
            if what not in self._troubled:  # one warning per outage
                logger.warning("the gauges of %s cannot be looked up: %s", what, error)
            self._troubled.add(what)
            return
        self._troubled.discard(what)
        self._set(metrics.SAMPLED_AT, datetime.now(UTC).timestamp(), what=what)

    async def _plans(self) -> None:
        states = [state for state in State if not state.closed]
        numbers = await asyncio.gather(
            *(self._count(f"{_OPEN} AND {names.ATTRIBUTE_STATE} = '{state.value}'") for state in states)
        )
        for state, number in zip(states, numbers, strict=True):
            self._set(metrics.PLANS, number, state=state.value)
        waiting = numbers[states.index(State.AWAITING_APPROVAL)]
        since = await self._first_waiting() if waiting else None
        self._set(metrics.APPROVALS_WAITING, waiting)
        age = (datetime.now(UTC) - since).total_seconds() if since else 0.0
        self._set(metrics.APPROVAL_OLDEST, max(age, 0.0))

    async def _messages(self) -> None:
        since = datetime.now(UTC) - _GIVEN_UP_WITHIN
        self._set(metrics.MESSAGES_GIVEN_UP, await self._count(f"{_GIVEN_UP} AND CloseTime > '{since.isoformat()}'"))

    async def _count(self, query: str) -> int:
        request = CountWorkflowExecutionsRequest(namespace=self._client.namespace, query=query)
        return (await self._client.workflow_service.count_workflow_executions(request, retry=True)).count

    async def _first_waiting(self) -> datetime | None:
        """Return the time since which the longest-waiting plan has awaited approval.

        Visibility on SQL cannot sort by a search attribute: after a full page, ask for older plans until none is left.
        """
        first: datetime | None = None
        for _ in range(_ROUNDS):
            query = _AWAITING + (f" AND {names.ATTRIBUTE_SINCE} < '{first.isoformat()}'" if first else "")
            request = ListWorkflowExecutionsRequest(namespace=self._client.namespace, query=query, page_size=_PAGE)
            page = (await self._client.workflow_service.list_workflow_executions(request, retry=True)).executions
            found = [decode_typed_search_attributes(info.search_attributes).get(_SINCE) for info in page]
            first = min((since for since in (*found, first) if since is not None), default=None)
            if len(page) < _PAGE:
                break
        return first

    async def _gate_gauges(self) -> None:
        gates = await gates_now(self._client)
        for gone in sorted(self._gates - gates.keys()):
            self._set_gate(gone, GateNow())
        self._gates = set(gates)
        for gate, now in gates.items():
            self._set_gate(gate, now)

    def _set_gate(self, gate: str, now: GateNow) -> None:
        self._set(metrics.GATE_WAITING, now.waiting, gate=gate)
        self._set(metrics.GATE_USED, now.used, gate=gate)
        self._set(metrics.GATE_CAPACITY, now.capacity, gate=gate)
        self._set(metrics.GATE_LOCKS, now.locks, gate=gate)

    async def _health(self) -> None:
        try:
            counted = await Monitors(self._client).counted()
        except NoMonitor:
            for window in (Window.HOUR, Window.DAY):
                self._set(metrics.HEALTH_SCORE, math.nan, window=window.value)
            for kind in AnomalyKind:
                self._set(metrics.ANOMALIES, math.nan, kind=kind.value)
            return
        reports = {window: health_report(counted, window) for window in (Window.HOUR, Window.DAY)}
        for window, report in reports.items():
            score = report.health.score
            self._set(metrics.HEALTH_SCORE, math.nan if score is None else score.value, window=window.value)
        found = [anomaly.kind for anomaly in reports[Window.DAY].anomalies]
        for kind in AnomalyKind:
            self._set(metrics.ANOMALIES, found.count(kind), kind=kind.value)

    def _set(self, metric: Metric, value: float, **labels: str) -> None:
        self._meter.create_gauge_float(metric.name, metric.text).set(value, labels)
