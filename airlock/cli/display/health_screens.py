"""The screens of health, on a terminal and in a log. Missing data is shown as missing."""

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from airlock.base.text import count
from airlock.cli.display.screens import moment
from airlock.cli.display.sparkline import ASCII_BARS, BARS, sparkline
from airlock.cli.output import console, safe
from airlock.client.health_plot import HOURS, hours_of_the_last_day
from airlock.client.monitors import HealthReport
from airlock.monitoring.anomaly import MIN_CALLS, MIN_PLANS
from airlock.monitoring.health import Metrics, Score, Tier
from airlock.monitoring.rolling import Window
from airlock.program import program

NO_DATA = "no data"
_WISHES = 3
_TIER_STYLES = {Tier.EXCELLENT: "bold green", Tier.GOOD: "green", Tier.FAIR: "bold yellow", Tier.POOR: "bold red"}
_WINDOWS = {Window.HOUR: "the last hour", Window.DAY: "the last day", Window.ALL: "all time"}


@dataclass(frozen=True)
class _Row:
    """One row of the table of metrics."""

    name: str
    shown: Callable[[Metrics], str | None]
    """Returns the value as text."""
    drawn: Callable[[Metrics], float | None]
    """Returns the value that the trend draws."""
    range: Callable[[float, float], str]
    """Returns the lowest and the highest value as text."""
    top: float | None = 1.0
    """The value of the highest bar; None takes the highest value that occurs."""


def _span(low: float, high: float) -> str:
    lowest, highest = f"{low:.0f}", f"{high:.0f}"
    return lowest if lowest == highest else f"{lowest}-{highest}"


def _share_row(name: str) -> _Row:
    def value(metrics: Metrics) -> float | None:
        found = getattr(metrics, name)
        return None if found is None else float(found)

    def shown(metrics: Metrics) -> str | None:
        share = value(metrics)
        return None if share is None else percent(share)

    return _Row(name, shown, value, lambda low, high: f"{_span(100 * low, 100 * high)} %")


def _latency_shown(metrics: Metrics) -> str | None:
    latency = metrics.execution_latency_ms
    return f"p50 {latency.p50:.0f}, p95 {latency.p95:.0f}" if latency else None


def _latency_drawn(metrics: Metrics) -> float | None:
    return metrics.execution_latency_ms.p95 if metrics.execution_latency_ms else None


def _score_shown(metrics: Metrics) -> str | None:
    return None if metrics.system_health_score is None else f"{metrics.system_health_score:.2f}"


_ROWS = (
    _share_row("tool_success_rate"),
    _Row("execution_latency_ms", _latency_shown, _latency_drawn, lambda low, high: f"p95 {_span(low, high)}", top=None),
    _share_row("rollback_frequency"),
    _share_row("conflict_rate"),
    _share_row("live_execution_ratio"),
    _share_row("confidence_drift"),
    _share_row("approval_rate"),
    _Row("system_health_score", _score_shown, lambda metrics: metrics.system_health_score,
         _span, top=100.0),
)  # fmt: skip


def percent(share: float) -> str:
    """Return a share (0.0-1.0) as a percentage."""
    return f"{100 * share:.1f} %"


def bars_of(screen: Console) -> str:
    """Return the bars that a console can print."""
    return BARS if screen.encoding.lower().startswith("utf") else ASCII_BARS


def health_screen(report: HealthReport, bars: str = BARS) -> RenderableType:
    """Return everything about health: score, metrics with trends, anomalies with recommended actions, the worst tools."""
    return Group(
        _headline(report),
        Text(_rests_on(report)),
        Text(),
        _metrics_table(report, bars),
        Text(),
        *_anomaly_lines(report),
        *_wish_lines(report),
        Text(),
        *_tool_lines(report),
        *_refused_lines(report),
    )


def print_screen(screen: RenderableType) -> None:
    """Print a screen, wrapped on a terminal. In a pipe each line stays one line."""
    where = console()
    where.print(screen, soft_wrap=not where.is_terminal)


def health_line(report: HealthReport) -> Text:
    """Return health in one line, for logs."""
    found = ", ".join(f"{anomaly.kind.value} (severity {anomaly.severity})" for anomaly in report.anomalies)
    calls = count(report.health.samples.calls, "live call")
    return Text.assemble(
        f"{moment(report.at)}  ", _score_text(report.health.score), f"  {calls}  anomalies: {found or 'none'}"
    )


def _headline(report: HealthReport) -> Text:
    line = Text.assemble(("Health: ", "bold"), _score_text(report.health.score), f"  ({_WINDOWS[report.window]})")
    score = report.health.score
    if score is not None and score.low < score.high:
        line.append(f"  between {score.low:.2f} and {score.high:.2f}, because some of it has no data yet", "dim")
    return line


def _score_text(score: Score | None) -> Text:
    if score is None:
        return Text(NO_DATA, style="dim")
    return Text(f"{score.value:.2f} {score.tier.value}", style=_TIER_STYLES[score.tier])


def _rests_on(report: HealthReport) -> str:
    monitors = ", ".join(report.monitors)
    if report.latest is None:
        return f"No plan has reported yet to {monitors}."
    latest = f"last report {moment(report.latest)} UTC to {monitors}."
    if not report.reports:
        return f"Nothing was reported in {_WINDOWS[report.window]}; {latest}"
    samples = report.health.samples
    found = (
        count(samples.calls, "live call"),
        f"{count(samples.rehearsals, 'plan')} admitted",
        f"{count(samples.ended_live, 'run')} that ended after LIVE",
        f"{count(samples.decisions, 'decision')} of people",
    )
    return f"It rests on {', '.join(found)}; {latest}"


def _metrics_table(report: HealthReport, bars: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("metric")
    table.add_column("now")
    table.add_column("last 24 h, hourly", no_wrap=True, min_width=HOURS)
    table.add_column("range")
    for row in _ROWS:
        by_hour = _by_hour(report, row)
        there = [value for value in by_hour if value is not None]
        top = row.top if row.top is not None else max(there, default=0.0) or 1.0
        table.add_row(
            row.name,
            row.shown(report.health.metrics) or Text(NO_DATA, style="dim"),
            sparkline(by_hour, top, bars) if there else Text(NO_DATA, style="dim"),
            row.range(min(there), max(there)) if there else "",
        )
    return table


def _by_hour(report: HealthReport, row: _Row) -> list[float | None]:
    found = {point.start: row.drawn(point.health.metrics) for point in report.trend}
    return [found.get(hour) for hour in hours_of_the_last_day(report.at)]


def _anomaly_lines(report: HealthReport) -> list[Text]:
    if report.anomalies:
        lines = [Text("Anomalies, the gravest first:", style="bold")]
        for anomaly in report.anomalies:
            lines.append(
                Text.assemble(
                    (f"  {anomaly.kind.value}", "bold red"),
                    f"  severity {anomaly.severity} of 10, {_WINDOWS[anomaly.window]}: {safe(anomaly.evidence)}",
                )
            )
            lines.append(Text(f"    what to do: {safe(anomaly.action)}"))
        return lines
    lately = report.lately
    enough = lately.calls >= MIN_CALLS and min(lately.rehearsals, lately.ended_live) >= MIN_PLANS
    lines = [Text.assemble(("Anomalies: ", "bold"), "none found.")]
    if not enough:
        lines.append(
            Text(
                f"  Too little happened in the last day to look for all of them: {lately.calls} of {MIN_CALLS} live calls, "
                f"{lately.rehearsals} of {MIN_PLANS} plans admitted, {lately.ended_live} of {MIN_PLANS} runs that ended "
                "after LIVE."
            )
        )
    return lines


def _wish_lines(report: HealthReport) -> list[Text]:
    if not report.wishes:
        return []
    lines = [
        Text(f"Locks of everything that monitors asked for, the latest last ({program()} list shows whether one holds):")
    ]
    return lines + [Text(f"  {moment(wish.at)} UTC  {safe(wish.reason)}") for wish in report.wishes[-_WISHES:]]


def _refused_lines(report: HealthReport) -> list[Text]:
    if not report.refused:
        return []
    said = f"{count(report.refused, 'signal')} to monitors made no sense and had no effect; their query health says which."
    return [Text(), Text(said, style="yellow")]


def _tool_lines(report: HealthReport) -> list[RenderableType]:
    if not report.worst_tools:
        calls = report.health.samples.calls
        said = f"none: all {calls} live calls worked." if calls else f"{NO_DATA}: no live calls."
        return [Text.assemble(("Worst tools: ", "bold"), said)]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("  tool", "worked", "success", "95 % sure between"):
        table.add_column(column)
    for tool in report.worst_tools:
        table.add_row(
            Text(f"  {safe(tool.tool)}"),
            f"{tool.ok} of {tool.calls}",
            percent(tool.ok / tool.calls),
            f"{percent(tool.interval.low)} and {percent(tool.interval.high)}",
        )
    return [Text("Worst tools, those that most surely fail first:", style="bold"), table]
