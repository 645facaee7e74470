"""The workflow of a monitor: plans report to it, it counts, answers queries, and may want the live gate locked.

`airlock.monitoring` decides, the workflow acts.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from pydantic import ValidationError

    from airlock.activities import options
    from airlock.activities.monitor import MonitorActivities
    from airlock.base import names
    from airlock.base.incoming import MalformedMessage
    from airlock.monitoring.anomaly import Anomaly
    from airlock.monitoring.messages import (
        AlarmRequest,
        AutoLock,
        HealthSnapshot,
        MonitorStart,
        ReliabilityAnswer,
        Reports,
        SignalsSnapshot,
        WishAnswer,
        parse_question,
        parse_reports,
    )
    from airlock.monitoring.monitor import Monitor, stretch_of
    from airlock.monitoring.report import Report
    from airlock.temporal.seeds import seeds
    from airlock.workflows import origin
    from airlock.workflows.activity_options import activity_options
    from airlock.workflows.answers import NoAnswer, answered
    from airlock.workflows.history_budget import HistoryBudget
    from airlock.workflows.uncancellable import uncancellable

HISTORY = HistoryBudget(events=500, bytes=8_000_000)
"""From here on the run continues as new as soon as no report waits to be counted and few signals come in."""
HARD_EVENTS = 4_000
"""From here on it tries to, however many signals come in. Temporal refuses the 10,001st signal of a run."""
FEW = 3
"""Signals per workflow task up to which a continue-as-new is tried; one that arrives meanwhile discards the attempt."""
AT_ONCE = 200
"""Signals counted in one workflow task; a backlog of thousands would take longer than a task may."""
STRETCHES_AT_ONCE = 30
"""Stretches of time whose reports are counted in one workflow task."""
JUDGE_EVERY = 10.0
"""Seconds between two searches for anomalies while reports come in."""


@workflow.defn(name=names.MONITOR_WORKFLOW)
class MonitorWorkflow:
    """One monitor, which runs for ever. Its input is a `MonitorStart`; without one its counts start at zero."""

    @workflow.init
    def __init__(self, *start: Any) -> None:
        self._id = workflow.info().workflow_id
        self._inbox: list[tuple[Any, ...]] = []
        self._waiting: list[Report] = []
        self._unjudged = False
        self._judged_at: datetime | None = None
        self._judging = False
        self._alarms = 0
        self._monitor = Monitor()
        self._problem = origin.repeated(workflow.info())
        if not self._problem:
            self._read_start(start)
        self._forgot = False
        seeds().on_reset(lambda _: self.was_reset())

    def was_reset(self) -> None:
        """Note a reset, after which reports are missing; the worker's interceptor calls this too."""
        self._forgot = True

    @workflow.run
    async def run(self, *start: Any) -> None:
        """Count reports until the history is long. A cancellation is refused: the counts exist nowhere else."""
        if self._problem:
            raise ApplicationError(self._problem, type="InvalidMonitor", non_retryable=True)
        why = "a monitor cannot be cancelled: terminate it to forget what it counted"
        await uncancellable(self._count_reports(), lambda: self.refuse_signal("cancel", why))

    async def _count_reports(self) -> None:
        watch = asyncio.create_task(self._watch())
        self._show()
        try:
            while True:
                await workflow.wait_condition(lambda: self._has_reports() or (HISTORY.is_spent() and not self._judging))
                came = self._count_some()
                if self._has_reports():
                    await workflow.sleep(0.001, summary="before the next part of the reports is counted")
                elif HISTORY.is_spent() and not self._judging and await self._can_continue_as_new(came):
                    workflow.continue_as_new(MonitorStart(state=self._monitor.state))
        finally:
            watch.cancel()

    async def _can_continue_as_new(self, came: int) -> bool:
        """Return True if a continue-as-new can succeed: this task had few signals, or no signal arrives for a second.

        One that does not get through costs a replay of the whole run, in which more signals come in.
        """
        if came <= FEW or workflow.info().get_current_history_length() >= HARD_EVENTS:
            return True
        try:
            await workflow.wait_condition(self._has_reports, timeout=1.0, timeout_summary="for more reports")
        except TimeoutError:
            return not self._judging
        return False

    def _read_start(self, start: tuple[Any, ...]) -> None:
        try:
            read = MonitorStart.model_validate(start[0]) if start else MonitorStart()
        except ValidationError as error:
            self.refuse_signal("start", f"the input is not a MonitorStart: {error}")
            return
        # otherwise any client that starts a workflow could supply the counts
        info = workflow.info()
        if read.state is not None and origin.proofs_are_due(start[0], info):
            if why := origin.foreign(start[0], MonitorStart.__name__, info):
                self._problem = f"state: {why}"
                return
        elif read.state is not None and info.continued_run_id is None:
            self.refuse_signal("start", "only a continue-as-new may carry counts on")
            return
        self._monitor = Monitor(read.state)
        self._unjudged = read.state is not None  # the previous run may have counted reports after its last search

    def _has_reports(self) -> bool:
        return bool(self._inbox or self._waiting)

    def _count_some(self) -> int:
        """Count a bounded number of reports, and return the number of signals that were taken from the inbox."""
        now = workflow.now()
        if self._forgot:
            self._forgot = False
            self.refuse_signal("reset", "what was counted after the point of the reset is forgotten")
        taken, self._inbox = self._inbox[:AT_ONCE], self._inbox[AT_ONCE:]
        for arguments in taken:
            try:
                origin.require_airlock("report", Reports, now, arguments)
                self._waiting += parse_reports(arguments)
            except MalformedMessage as error:
                self.refuse_signal("report", str(error))
        first, stretches = 0, set[int]()
        while first < len(self._waiting) and len(stretches) < STRETCHES_AT_ONCE:
            stretches.add(stretch_of(self._waiting[first], now))
            first += 1
        if first:
            self._monitor.count(self._waiting[:first], now)
            self._waiting = self._waiting[first:]
            self._unjudged = True
        return len(taken)

    async def _watch(self) -> None:
        """Search for anomalies at intervals while reports come in, and update the details."""
        while True:
            await workflow.wait_condition(lambda: self._unjudged)
            left = 0.0 if self._judged_at is None else JUDGE_EVERY - (workflow.now() - self._judged_at).total_seconds()
            left = max(left, self._monitor.silence(workflow.now()))
            if left > 0:
                await workflow.sleep(left, summary="until the next search for anomalies")
            self._unjudged, self._judged_at = False, workflow.now()
            if (anomaly := self._monitor.alarm(workflow.now())) is not None:
                self._judging = True
                await self._raise_alarm(anomaly)
                self._judging = False
            self._show()

    async def _raise_alarm(self, anomaly: Anomaly) -> None:
        """Ask the operator's policy about an anomaly, and ask the live gate for a lock if the policy wants one."""
        self._alarms += 1
        self._monitor.asked(workflow.now())
        try:
            handle = workflow.start_activity_method(
                MonitorActivities.alarm,
                AlarmRequest(monitor=self._id, anomaly=anomaly),
                **activity_options(
                    options.ALARM,
                    names.WORKFLOW_QUEUE,
                    f"alarm:{self._alarms}",
                    f"{anomaly.kind.value}: is the live gate to be locked?",
                ),
            )
            answer = await answered(handle)
        except ActivityError as error:
            self.refuse_signal("alarm", f"the policy could not be asked: {error.cause}")
            return
        except NoAnswer as error:
            self.refuse_signal("alarm", str(error))
            return
        if not answer.lock:
            return
        self._monitor.want_lock(anomaly, workflow.now())
        try:
            await workflow.get_external_workflow_handle(names.LIVE_GATE).signal("auto_lock", AutoLock(monitor=self._id))
        except FailureError as error:  # asked again while the anomaly lasts
            self._monitor.not_told()
            self.refuse_signal("auto_lock", f"the live gate could not be told: {error}")
        else:
            self._monitor.told()

    def _show(self) -> None:
        workflow.set_current_details(self._monitor.details(self._id, workflow.now()))

    def refuse_signal(self, name: str, why: str) -> None:
        """Record a message that was refused; the worker's interceptor calls this too."""
        self._monitor.refuse(name, why, workflow.now())

    # Signals take `*arguments: Any`: Temporal drops a signal that does not fit its handler's types, unrecorded.

    @workflow.signal(name="report", description='{"reports": [...]}: what happened in stages of a plan that have ended')
    def report(self, *arguments: Any) -> None:
        """Put reports into the inbox. They are counted in this workflow task, or in a later one if there are many."""
        self._inbox.append(arguments)

    @workflow.signal(dynamic=True)
    def unknown_signal(self, name: str, arguments: Sequence[RawValue]) -> None:
        """Record an unknown signal."""
        self.refuse_signal(name, "unknown signal; there is report")

    @workflow.query(
        name="health",
        description='{"at"?}: health at a time (default now): score, metrics, anomalies, trend, and all counts',
    )
    def health(self, *arguments: Any) -> HealthSnapshot:
        """Return score, metrics, anomalies, trend and counts in one snapshot."""
        return self._monitor.health(self._id, _asked_time(arguments))

    @workflow.query(name="signals", description='{"at"?}: what there is to learn at a time (default now)')
    def signals(self, *arguments: Any) -> SignalsSnapshot:
        """Return the learning signals in one snapshot."""
        return self._monitor.signals(self._id, _asked_time(arguments))

    @workflow.query(name="reliability", description='{"tools": [...]}: how many live calls of these tools worked')
    def reliability(self, *arguments: Any) -> ReliabilityAnswer:
        """Return the number of live calls of some tools, and how many of them succeeded."""
        try:
            return self._monitor.reliability(parse_question(arguments), _now())
        except MalformedMessage as error:
            raise ApplicationError(str(error), type="Malformed") from error

    @workflow.query(name="lock_wish", description="the last lock of the live gate this monitor wanted")
    def lock_wish(self) -> WishAnswer:
        """Return the last lock of the live gate that this monitor wanted."""
        return WishAnswer(wish=self._monitor.wish)


def _asked_time(arguments: tuple[Any, ...]) -> datetime:
    given = arguments[0].get("at") if len(arguments) == 1 and isinstance(arguments[0], Mapping) else None
    if given is None:
        return _now()
    try:
        at = datetime.fromisoformat(str(given))
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ApplicationError("at: is not a time such as 2026-03-01T12:00:00Z", type="Malformed") from error


def _now() -> datetime:
    """Return the time of a query: the workflow's own stands still while nothing happens.

    Queries leave no trace in the history.
    """
    with workflow.unsafe.sandbox_unrestricted():
        clock = datetime.now(UTC)  # noqa: TID251  # of a query, which no replay repeats
    return max(clock, workflow.now())
