"""Messages of monitors: reports, snapshots, and the wish to have the live gate locked."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field, ValidationError

from airlock.base.incoming import MalformedMessage, parse_as
from airlock.base.model import WireModel, WorkerMessage
from airlock.base.names import MONITOR_PREFIX
from airlock.base.text import shorten
from airlock.gates.protocol import LockWish
from airlock.monitoring.aggregation import Tally
from airlock.monitoring.anomaly import Anomaly
from airlock.monitoring.calibration import Calibration, ToolFidelity
from airlock.monitoring.feedback import Signal
from airlock.monitoring.health import Health, WorstTool
from airlock.monitoring.report import Report
from airlock.monitoring.rolling import Window, Windows
from airlock.monitoring.validation import problem_of

MAX_REPORTS = 20
"""Limit of reports in one signal."""
MAX_ASKED_TOOLS = 200
"""Limit of tools in one query `reliability`."""
_MONITOR = re.compile(rf"{MONITOR_PREFIX}\d{{1,3}}")


class Reports(WireModel, WorkerMessage):
    """Signal `report`: reports of ended stages of one plan."""

    reports: tuple[Report, ...] = Field(min_length=1, max_length=MAX_REPORTS)


class RefusedSignal(WireModel):
    """Signal to a monitor that was refused."""

    at: datetime
    """Time of the refusal, UTC."""
    what: str
    """Name of the signal."""
    why: str


class MonitorState(WireModel):
    """Complete state of a monitor, carried through continue-as-new."""

    windows: Windows = Windows()
    fresh: Windows | None = None
    """Counts since the last lock wish, without their total; None if there was no wish."""
    keys: tuple[str, ...] = ()
    """Hashes of the reports counted lately, see `airlock.monitoring.dedupe`."""
    counted: int = 0
    """Number of reports counted."""
    repeated: int = 0
    """Number of reports that were delivered again."""
    refused: int = 0
    """Number of signals refused."""
    refusals: tuple[RefusedSignal, ...] = ()
    """The latest of them."""
    wishes: tuple[LockWish, ...] = ()
    """The latest lock wishes."""
    asked_at: datetime | None = None
    """Time at which the policy was asked about an anomaly, UTC."""


class MonitorStart(WireModel, WorkerMessage):
    """Input of a MonitorWorkflow: empty, or the state that a continue-as-new carries."""

    state: MonitorState | None = None
    epoch: int = 0
    """Number of the rules that apply (`airlock.base.epoch`)."""


class WindowHealth(WireModel):
    """Health in one window."""

    health: Health
    worst_tools: tuple[WorstTool, ...]


class TrendPoint(WireModel):
    """Health in one hour."""

    start: datetime
    """Start of the hour, UTC."""
    health: Health


class HealthSnapshot(WireModel):
    """Answer of the query `health`."""

    monitor: str
    """Workflow id of the monitor."""
    at: datetime
    """Time of the answer, UTC."""
    counted: int
    """Number of reports counted."""
    repeated: int
    """Number of reports that were delivered again."""
    refused: int
    """Number of signals refused."""
    refusals: tuple[RefusedSignal, ...]
    """The latest of them."""
    wishes: tuple[LockWish, ...]
    """The latest lock wishes."""
    health: dict[Window, WindowHealth]
    trend: tuple[TrendPoint, ...]
    """The last day by hour, oldest first, without hours in which no stage ended."""
    anomalies: tuple[Anomaly, ...]
    windows: Windows
    """Counts behind the answer. `airlock.monitoring.rolling.merge` merges those of several monitors exactly."""


class SignalsSnapshot(WireModel):
    """Answer of the query `signals`."""

    monitor: str
    """Workflow id of the monitor."""
    at: datetime
    """Time of the answer, UTC."""
    signals: tuple[Signal, ...]
    calibration: Calibration
    fidelity: tuple[ToolFidelity, ...]
    windows: Windows
    """Counts behind the answer, as in `HealthSnapshot`."""


class ReliabilityQuestion(WireModel):
    """Argument of the query `reliability`: the names of tools."""

    tools: tuple[str, ...] = Field(max_length=MAX_ASKED_TOOLS)


class ToolTallies(WireModel):
    """Live calls of one tool, in the last day and in total."""

    day: Tally = Tally()
    all: Tally = Tally()


class ReliabilityAnswer(WireModel, WorkerMessage):
    """Answer of the query `reliability`: live calls, by tool."""

    tools: dict[str, ToolTallies] = Field(default_factory=dict)


class AlarmRequest(WireModel, WorkerMessage):
    """Question of a monitor: does the operator's policy want the live gate locked for this anomaly?"""

    monitor: str
    anomaly: Anomaly


class AlarmAnswer(WireModel, WorkerMessage):
    """Answer to an `AlarmRequest`."""

    lock: bool
    """True if the policy wants the lock."""


class AutoLock(WireModel, WorkerMessage):
    """Signal `auto_lock` of the live gate. The gate asks the named monitor to confirm: any client can send this signal."""

    monitor: str


class WishAnswer(WireModel, WorkerMessage):
    """Answer of a monitor to the live gate: its last lock wish, None if it has none."""

    wish: LockWish | None = None


def parse_reports(arguments: tuple[Any, ...]) -> tuple[Report, ...]:
    """Parse and check the signal `report`.

    Raises:
        MalformedMessage: If a field is wrong, or a report is inconsistent.
    """
    reports = parse_as(Reports, "report", arguments, strict=False).reports
    for report in reports:
        if why := problem_of(report):
            raise MalformedMessage(f"report: {report.key.name[:100]}: {why}")
    return reports


def parse_auto_lock(arguments: tuple[Any, ...]) -> AutoLock:
    """Parse the signal `auto_lock`.

    Raises:
        MalformedMessage: If it names no monitor.
    """
    asked = parse_as(AutoLock, "auto_lock", arguments, strict=False)
    if not _MONITOR.fullmatch(asked.monitor):
        raise MalformedMessage(f"auto_lock: monitor: {shorten(asked.monitor, 100)!r} is not the id of a monitor")
    return asked


def parse_question(arguments: tuple[Any, ...]) -> ReliabilityQuestion:
    """Parse the query `reliability`; without an argument it names no tools.

    Raises:
        MalformedMessage: If a field is wrong.
    """
    given = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], Mapping) else {"tools": ()}
    try:
        return ReliabilityQuestion.model_validate(given)
    except ValidationError as error:
        raise MalformedMessage(f"reliability: takes a field tools, at most {MAX_ASKED_TOOLS} names") from error
