"""`health`: the health of everything, as the monitors have counted it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live

from airlock.cli.display.health_screens import bars_of, health_line, health_screen, print_screen
from airlock.cli.display.plot import plot as draw
from airlock.cli.display.plot import usable
from airlock.cli.output import OK, AsJson, command, console, emit, emit_line, plain, safe, say, warn
from airlock.cli.patience import patiently
from airlock.client import Airlock, NoAnswer
from airlock.client.monitors import HealthReport, Monitors, NoMonitor, health_report
from airlock.monitoring.rolling import Window

_EVERY = 2.0

WindowOption = Annotated[Window, typer.Option("--window", help="The window of the metrics, the score and the tools.")]
PlotOption = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        metavar="FILE",
        help="Draw score, success and latency of each tool, and the reliability diagram, as FILE.svg or FILE.png.",
    ),
]


@command
async def health(
    watch: Annotated[bool, typer.Option("--watch", help="Show every change until Ctrl-C.")] = False,
    window: WindowOption = Window.DAY,
    plot: PlotOption = None,
    as_json: AsJson = False,
) -> int:
    """Show health: score, metrics, anomalies, the worst tools.

    The numbers are those of the monitors. Metrics come with their trends, anomalies with a recommended action. Where there
    is no data the command says so. --watch redraws on a terminal; elsewhere, and with --json, it prints a line for each
    change.
    """
    if plot is not None:
        if watch:
            raise typer.BadParameter("either --watch or --plot")
        usable(plot)
    monitors = Monitors((await Airlock.connect()).client, patient=not watch)
    if watch:
        await _watch(monitors, window, as_json)
        return OK
    counted = await patiently(monitors.counted())
    report = health_report(counted, window)
    if plot is not None:
        draw(plot, counted, window)
    if as_json:
        emit({**plain(report), **({"plot": str(plot)} if plot else {})})
        return OK
    print_screen(health_screen(report, bars_of(console())))
    if plot is not None:
        say()
        say(f"Drawn: {plot}")
    return OK


async def _watch(monitors: Monitors, window: Window, as_json: bool) -> None:
    if as_json:
        async for report in _changes(monitors, window):
            emit_line(report)
        return
    screen = console()
    if not screen.is_terminal:
        async for report in _changes(monitors, window):
            screen.print(health_line(report), soft_wrap=True)
        return
    with Live(console=screen, auto_refresh=False, screen=False) as live:
        async for report in _changes(monitors, window):
            live.update(health_screen(report, bars_of(screen)), refresh=True)


async def _changes(monitors: Monitors, window: Window) -> AsyncIterator[HealthReport]:
    """Yield the health each time it changes.

    The first answer must come. Later silence is reported once, and waited out.
    """
    last: dict[str, Any] | None = None
    silent = False
    while True:
        try:
            report = await monitors.health(window)
        except (NoAnswer, NoMonitor) as error:
            if last is None:
                raise
            if not silent:
                warn(safe(str(error)))
            silent = True
        else:
            seen = report.model_dump(exclude={"at"})
            if silent or seen != last:  # after a silence the reader waits to see that it is over
                yield report
            last, silent = seen, False
        await asyncio.sleep(_EVERY)
