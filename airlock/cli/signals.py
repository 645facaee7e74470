"""`signals`: evidence for people who train agents or write tools."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from airlock.cli.display.health_screens import NO_DATA, percent, print_screen
from airlock.cli.display.screens import moment
from airlock.cli.output import OK, AsJson, command, emit, safe
from airlock.client import Airlock
from airlock.client.monitors import Monitors, SignalsReport
from airlock.monitoring.calibration import Calibration, ToolFidelity
from airlock.monitoring.feedback import LEVEL, META_LEARNING, MIN_CALLS, MIN_PLANS, REWARD_MODEL, Signal
from airlock.monitoring.rolling import Window

_CONSUMERS = {REWARD_MODEL: "reward model", META_LEARNING: "meta-learning"}
_WINDOWS = {Window.HOUR: "the last hour", Window.DAY: "the last day", Window.ALL: "everything so far"}


@command
async def signals(as_json: AsJson = False) -> int:
    """Show learning signals, calibration, fidelity of dry runs.

    A signal is raised only with a minimum sample and beyond reasonable doubt. Without a signal there is nothing to act on.
    """
    report = await Monitors((await Airlock.connect()).client).signals()
    if as_json:
        emit(report)
    else:
        print_screen(signals_screen(report))
    return OK


def signals_screen(report: SignalsReport) -> RenderableType:
    """Return all signals, the table of calibration, and the fidelity of each tool's dry run."""
    latest = f"last report {moment(report.latest)} UTC" if report.latest else "no plan has reported yet"
    return Group(
        Text.assemble(("Learning signals", "bold"), f"  ({latest})"),
        *_signals(report.signals),
        Text(),
        *_calibration(report.calibration),
        Text(),
        *_fidelity(report.fidelity),
    )


def _signals(found: tuple[Signal, ...]) -> list[RenderableType]:
    if not found:
        return [
            Text(
                f"  none. A signal takes {MIN_CALLS} calls of a tool, or {MIN_PLANS} plans, and a certainty of {LEVEL:.0%}."
            )
        ]
    lines: list[RenderableType] = []
    for signal in found:
        lines += [
            Text.assemble((f"  {signal.signal_type.value}", "bold yellow"), f"  {safe(signal.insight)}"),
            Text(
                f"    observed {percent(signal.observed)} of {signal.sample} ({_WINDOWS[signal.window]}; 95 % sure between "
                f"{percent(signal.interval.low)} and {percent(signal.interval.high)}), compared with "
                f"{percent(signal.reference)}; certainty {signal.confidence:.2%}"
            ),
            Text(f"    recommended: {safe(signal.recommended_action)}  (for: {_CONSUMERS[signal.target_phase]})"),
        ]
    return lines


def _calibration(found: Calibration) -> list[RenderableType]:
    if found.brier is None or found.expected_error is None:
        return [Text.assemble(("Calibration of stated confidence: ", "bold"), f"{NO_DATA}: no live calls.")]
    table = _table("  stated from", "calls", "mean stated", "worked", "95 % sure between")
    for row in found.table:
        if row.stated is None or row.observed is None or row.interval is None:
            continue
        table.add_row(
            f"  {row.low:.1f} to {row.high:.1f}", str(row.calls), f"{row.stated:.3f}", percent(row.observed),
            f"{percent(row.interval.low)} and {percent(row.interval.high)}",
        )  # fmt: skip
    scores = f"Brier score {found.brier:.3f}, expected calibration error {found.expected_error:.3f}; 0 is perfect"
    return [Text.assemble(("Calibration of stated confidence: ", "bold"), f"{found.calls} live calls, {scores}"), table]


def _fidelity(found: tuple[ToolFidelity, ...]) -> list[RenderableType]:
    if not found:
        return [
            Text.assemble(("Fidelity of dry runs: ", "bold"), f"{NO_DATA}: no preview that went live predicted an output.")
        ]
    table = _table("  tool", "matched", "fidelity", "95 % sure between")
    for each in found:
        table.add_row(
            f"  {safe(each.tool)}", f"{each.matched} of {each.compared}", percent(each.share),
            f"{percent(each.interval.low)} and {percent(each.interval.high)}",
        )  # fmt: skip
    return [Text("Fidelity of dry runs, the least faithful first:", style="bold"), table]


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column)
    return table
