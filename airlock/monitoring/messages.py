"""Messages to and from a monitor: reports, snapshots, its wish that the live gate be locked."""

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
"""The most reports in one signal."""
MAX_ASKED_TOOLS = 200
"""The most tools in one question about reliability."""
_MONITOR = re.compile(rf"{MONITOR_PREFIX}\d{{1,3}}")


class Reports(WireModel, WorkerMessage):
    """The signal `report`: what happened in stages of one plan that have ended."""

    reports: tuple[Report, ...] = Field(min_length=1, max_length=MAX_REPORTS)


class RefusedSignal(WireModel):
    """Something that was sent to a monitor and refused. `at` is UTC."""

    at: datetime
    what: str
    why: str


class MonitorState(WireModel):
    """All that a monitor knows; carried through continue-as-new.

    `keys` are of the reports it counted lately (`airlock.counted`). `fresh` is what it counted since it last wanted a lock,
    None while it never did; its total is left out. `repeated` counts reports that came again, `refused` signals that made
    no sense, of which `refusals` are the last. Times are UTC.
    """

    windows: Windows = Windows()
    fresh: Windows | None = None
    keys: tuple[str, ...] = ()
    counted: int = 0
    repeated: int = 0
    refused: int = 0
    refusals: tuple[RefusedSignal, ...] = ()
    wishes: tuple[LockWish, ...] = ()
    asked_at: datetime | None = None


class MonitorStart(WireModel, WorkerMessage):
    """The input of a MonitorWorkflow: nothing, or what a continue-as-new carries."""

    state: MonitorState | None = None


class WindowHealth(WireModel):
    """Health over one window."""

    health: Health
    worst_tools: tuple[WorstTool, ...]


class TrendPoint(WireModel):
    """Health in one hour; `start` is UTC."""

    start: datetime
    health: Health


class HealthSnapshot(WireModel):
    """The query `health`: everything at one moment, `at`, UTC.

    `trend` is the last day hour by hour, oldest first, without hours in which nothing ended. `wishes` are the last locks the
    monitor asked for. `windows` are the mergeable counts all this is made of: snapshots of several monitors merge by
    `airlock.monitoring.rolling.merge`, exactly as if one had counted it all.
    """

    monitor: str
    at: datetime
    counted: int
    repeated: int
    refused: int
    refusals: tuple[RefusedSignal, ...]
    wishes: tuple[LockWish, ...]
    health: dict[Window, WindowHealth]
    trend: tuple[TrendPoint, ...]
    anomalies: tuple[Anomaly, ...]
    windows: Windows


class SignalsSnapshot(WireModel):
    """The query `signals`: what there is to learn at one moment, `at`, UTC. `windows` as in `HealthSnapshot`."""

    monitor: str
    at: datetime
    signals: tuple[Signal, ...]
    calibration: Calibration
    fidelity: tuple[ToolFidelity, ...]
    windows: Windows


class ReliabilityQuestion(WireModel):
    """The query `reliability`: about which tools."""

    tools: tuple[str, ...] = Field(max_length=MAX_ASKED_TOOLS)


class ToolTallies(WireModel):
    """The live calls of one tool, of the last day and of all time."""

    day: Tally = Tally()
    all: Tally = Tally()


class ReliabilityAnswer(WireModel, WorkerMessage):
    """The live calls of the tools that were asked about."""

    tools: dict[str, ToolTallies] = Field(default_factory=dict)


class AlarmRequest(WireModel, WorkerMessage):
    """An anomaly that a monitor found: a question to the operator's policy about locking the live gate."""

    monitor: str
    anomaly: Anomaly


class AlarmAnswer(WireModel, WorkerMessage):
    """The policy's answer."""

    lock: bool


class AutoLock(WireModel, WorkerMessage):
    """The signal `auto_lock` of the live gate: a monitor wants it locked. The gate asks that monitor whether it is so."""

    monitor: str


class WishAnswer(WireModel, WorkerMessage):
    """A monitor's answer to the live gate: its last wish, None if it has none."""

    wish: LockWish | None = None


def parse_reports(arguments: tuple[Any, ...]) -> tuple[Report, ...]:
    """Return the signal `report`, checked.

    Raises:
        MalformedMessage: If it cannot be understood, or cannot be true.
    """
    reports = parse_as(Reports, "report", arguments, strict=False).reports
    for report in reports:
        if why := problem_of(report):
            raise MalformedMessage(f"report: {report.key.name[:100]}: {why}")
    return reports


def parse_auto_lock(arguments: tuple[Any, ...]) -> AutoLock:
    """Return the signal `auto_lock`.

    Raises:
        MalformedMessage: If it names no monitor.
    """
    asked = parse_as(AutoLock, "auto_lock", arguments, strict=False)
    if not _MONITOR.fullmatch(asked.monitor):
        raise MalformedMessage(f"auto_lock: monitor: {shorten(asked.monitor, 100)!r} is none")
    return asked


def parse_question(arguments: tuple[Any, ...]) -> ReliabilityQuestion:
    """Return the query `reliability`; without an object it asks about no tool.

    Raises:
        MalformedMessage: If it cannot be understood.
    """
    given = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], Mapping) else {"tools": ()}
    try:
        return ReliabilityQuestion.model_validate(given)
    except ValidationError as error:
        raise MalformedMessage(f"reliability: takes tools, at most {MAX_ASKED_TOOLS} names") from error
