"""The plots of health: the score over time, success and latency of each tool, and the reliability diagram."""

import io
import logging
from datetime import datetime, timedelta
from math import nan
from typing import TYPE_CHECKING

from airlock.base.errors import AirlockError
from airlock.base.proportion import wilson
from airlock.client.monitors import CountedTotals, health_report
from airlock.monitoring.aggregation import ToolStats
from airlock.monitoring.calibration import calibration
from airlock.monitoring.health import TIER_FROM, Tier
from airlock.monitoring.rolling import Window

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HOURS = 24
_TOOLS = 15
_NO_DATA = "no data"
_INK, _ACCENT, _SOFT = "#1f2933", "#0b69a3", "#9fb3c8"


class CannotDraw(AirlockError):
    """Nothing can be drawn, because the extra `plot` is not installed."""


def hours_of_the_last_day(at: datetime) -> list[datetime]:
    """Return the beginnings of the last 24 hours of the clock, UTC, the current hour last."""
    last = at.replace(minute=0, second=0, microsecond=0)
    return [last - timedelta(hours=back) for back in reversed(range(HOURS))]


def plotted(counted: CountedTotals, window: Window, form: str) -> bytes:
    """Return the plots as a picture. The same counts at the same time give the same bytes.

    Args:
        counted: The counts of the monitors.
        window: The window of the success of tools. Latency and reliability cover all time, the score the last day.
        form: `svg` or `png`.

    Raises:
        CannotDraw: If matplotlib is not installed.
    """
    # its messages about the place of its fonts help no reader of health
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CannotDraw(f"needs matplotlib: {error}") from error
    picture = io.BytesIO()
    with rc_context({"svg.hashsalt": "airlock", "svg.fonttype": "none", "font.size": 9, "text.color": _INK}):
        figure = Figure(figsize=(12, 8.5), layout="constrained")
        score, success, reliability, latency = figure.subplots(2, 2).flat
        _score(score, counted)
        _success(success, counted, window)
        _reliability(reliability, counted)
        _latency(latency, counted)
        figure.suptitle(f"Airlock, {counted.at:%Y-%m-%d %H:%M} UTC")
        # without the time and the version of matplotlib, so that the same counts give the same picture
        metadata = {"Date": None, "Creator": "Airlock"} if form == "svg" else {"Software": "Airlock"}
        figure.savefig(picture, format=form, dpi=120, metadata=metadata)
    return picture.getvalue()


def _score(axes: "Axes", counted: CountedTotals) -> None:
    hours = hours_of_the_last_day(counted.at)
    by_hour = {point.start: point.health.score for point in health_report(counted, Window.DAY).trend}
    scores = [by_hour.get(hour) for hour in hours]
    axes.set(title="Score over the last day, by hour (UTC)", ylim=(0, 104), ylabel="score, 0-100")
    if not any(score is not None for score in scores):
        _say_no_data(axes)
        return
    for tier in (Tier.EXCELLENT, Tier.GOOD, Tier.FAIR):
        axes.axhline(TIER_FROM[tier], color=_SOFT, linewidth=0.8, linestyle=":")
        axes.text(1.0, TIER_FROM[tier], f" {tier.value}", transform=axes.get_yaxis_transform(), va="center", color=_SOFT)
    for place, score in enumerate(scores):
        if score is not None:
            axes.vlines(place, score.low, score.high, color=_SOFT, linewidth=5)
    # an hour without data breaks the line
    axes.plot(range(len(hours)), [nan if score is None else score.value for score in scores], "o-", color=_ACCENT)
    axes.set_xlim(-0.5, len(hours) - 0.5)
    shown = range(len(hours) - 1, -1, -3)
    axes.set_xticks(shown, labels=[f"{hours[place]:%H:%M}" for place in shown])
    axes.set_xlabel("a grey bar: where the score may be, because some of it has no data")


def _success(axes: "Axes", counted: CountedTotals, window: Window) -> None:
    facts = counted.windows.window(window, counted.at)
    tools = [
        (name, stats, wilson(stats.live.ok, stats.live.calls)) for name, stats in facts.tools.items() if stats.live.calls
    ]
    worst = sorted(tools, key=lambda tool: (tool[2].high, tool[0]))[:_TOOLS]
    axes.set(
        title=_title("Success of live calls by tool", window.value, len(tools)), xlim=(0, 1.02), xlabel="share that worked"
    )
    if not worst:
        _say_no_data(axes)
        return
    shares = [stats.live.ok / stats.live.calls for _, stats, _ in worst]
    # an interval ends at the share itself where all or none worked; rounding must not make that a negative length
    left = [max(0.0, share - tool[2].low) for share, tool in zip(shares, worst, strict=True)]
    right = [max(0.0, tool[2].high - share) for share, tool in zip(shares, worst, strict=True)]
    places = range(len(worst))
    axes.barh(places, shares, color=_ACCENT, height=0.6)
    axes.errorbar(shares, places, xerr=[left, right], fmt="none", ecolor=_INK, capsize=3, linewidth=1)
    _name_rows(axes, [f"{name} ({stats.live.ok}/{stats.live.calls})" for name, stats, _ in worst])


def _latency(axes: "Axes", counted: CountedTotals) -> None:
    def p95(stats: ToolStats) -> float:
        return 1_000 * (stats.latency.quantile(0.95) or 0.0)

    tools = sorted(
        ((name, stats) for name, stats in counted.windows.total.tools.items() if stats.latency.count),
        key=lambda tool: (-p95(tool[1]), tool[0]),
    )
    slowest = tools[:_TOOLS]
    axes.set(title=_title("Latency of live calls by tool", "all time", len(tools)), xlabel="milliseconds, logarithmic")
    if not slowest:
        _say_no_data(axes)
        return
    places = range(len(slowest))
    half = [1_000 * (stats.latency.quantile(0.50) or 0.0) for _, stats in slowest]
    most = [p95(stats) for _, stats in slowest]
    axes.hlines(places, half, most, color=_SOFT, linewidth=3)
    axes.plot(half, places, "o", color=_ACCENT, label="half took at most (p50)")
    axes.plot(most, places, "s", color=_INK, label="95 % took at most (p95)")
    axes.set_xscale("log")
    axes.legend(loc="best", frameon=False)
    _name_rows(axes, [name for name, _ in slowest])


def _reliability(axes: "Axes", counted: CountedTotals) -> None:
    axes.set(title="Reliability: does stated confidence mean what it says? (all time)", xlim=(0, 1.02), ylim=(0, 1.02),
             xlabel="confidence agents stated", ylabel="share that worked")  # fmt: skip
    rows = [row for row in calibration(counted.windows.total.confidence).table if row.calls]
    if not rows:
        _say_no_data(axes)
        return
    axes.plot([0, 1], [0, 1], color=_SOFT, linestyle=":", label="as stated")
    for row in rows:
        if row.stated is None or row.observed is None or row.interval is None:
            continue
        axes.vlines(row.stated, row.interval.low, row.interval.high, color=_INK, linewidth=1)
        axes.plot(row.stated, row.observed, "o", color=_ACCENT)
        axes.annotate(f"{row.calls}", (row.stated, row.observed), xytext=(5, -10), textcoords="offset points")
    axes.legend(loc="upper left", frameon=False)


def _name_rows(axes: "Axes", names: list[str]) -> None:
    # as they are: a dollar sign in a name is no formula
    axes.set_yticks(range(len(names)), labels=names, parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)


def _title(what: str, when: str, number: int) -> str:
    return f"{what} ({when})" + (f": {_TOOLS} of {number}" if number > _TOOLS else "")


def _say_no_data(axes: "Axes") -> None:
    axes.text(0.5, 0.5, _NO_DATA, transform=axes.transAxes, ha="center", va="center", color=_SOFT, fontsize=14)
