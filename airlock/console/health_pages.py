"""The page of health: score, metrics with their trend, anomalies, the worst tools, and the plots."""

import asyncio
from importlib.util import find_spec

from starlette.requests import Request
from starlette.responses import Response

from airlock.base.errors import AirlockError
from airlock.client.health_plot import hours_of_the_last_day, plotted
from airlock.client.monitors import CountedTotals, HealthReport, Monitors
from airlock.console.context import Console
from airlock.monitoring.health import Metrics
from airlock.monitoring.rolling import Window

SHARES = ("tool_success_rate", "rollback_frequency", "conflict_rate", "live_execution_ratio", "confidence_drift",
          "approval_rate")  # fmt: skip
"""The metrics that are shares, 0 to 1."""


class HealthPages:
    """The page of health and its plots.

    Args:
        console: The console.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._monitors = Monitors(console.airlock.client)
        self._drawing = asyncio.Lock()

    async def health(self, request: Request) -> Response:
        """Show health, or why it cannot be told."""
        session = self._console.require(request)
        window = _window(request)
        report, problem = None, ""
        try:
            report = await self._monitors.health(window)
        except AirlockError as error:
            problem = str(error)
        return await self._console.page(
            request, session, "health.html", report=report, problem=problem, window=window, windows=list(Window),
            rows=_rows(report) if report else [], plots=find_spec("matplotlib") is not None,
        )  # fmt: skip

    async def plot(self, request: Request) -> Response:
        """Draw the plots of `airlock health --plot`."""
        self._console.require(request)
        try:
            counted: CountedTotals = await self._monitors.counted()
            async with self._drawing:  # matplotlib's settings are those of the process
                drawn = await asyncio.to_thread(plotted, counted, _window(request), "svg")
        except AirlockError:
            return Response(status_code=404)
        return Response(drawn, media_type="image/svg+xml")


def _window(request: Request) -> Window:
    named = request.query_params.get("window", Window.DAY.value)
    return Window(named) if named in set(Window) else Window.DAY


def _rows(report: HealthReport) -> list[tuple[str, str, list[int | None]]]:
    """Return the name of each metric, its value, and its height in each of the last 24 hours, 0 to 100."""
    metrics = report.health.metrics
    rows = [(name, _percent(getattr(metrics, name)), _trend(report, name, 100.0)) for name in SHARES]
    score = report.health.score
    rows.append(("system_health_score", f"{score.value:.2f}" if score else "no data", _trend(report, "score", 1.0)))
    latency = metrics.execution_latency_ms
    rows.append(("execution_latency_ms", f"p50 {latency.p50:.0f}, p95 {latency.p95:.0f}" if latency else "no data", []))
    return rows


def _percent(share: float | None) -> str:
    return "no data" if share is None else f"{100 * share:.1f} %"


def _trend(report: HealthReport, name: str, scale: float) -> list[int | None]:
    found = {point.start: _value(point.health.metrics, name) for point in report.trend}
    heights = [found.get(hour) for hour in hours_of_the_last_day(report.at)]
    return [None if height is None else round(min(max(height * scale, 0.0), 100.0)) for height in heights]


def _value(metrics: Metrics, name: str) -> float | None:
    found = metrics.system_health_score if name == "score" else getattr(metrics, name)
    return None if found is None else float(found)
