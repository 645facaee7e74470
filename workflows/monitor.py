"""A monitor as a durable run: plans report to it, it counts, answers, and may want the live gate locked.

`airlock.monitor` decides, this obeys.
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
        SignalsSnapshot,
        WishAnswer,
        parse_question,
        parse_reports,
    )
    from airlock.monitoring.monitor import Monitor, stretch_of
    from airlock.monitoring.report import Report
    from airlock.workflows.activity_options import activity_options
    from airlock.workflows.history_budget import HistoryBudget
    from airlock.workflows.uncancellable import uncancellable

HISTORY = HistoryBudget(events=500, bytes=8_000_000)
"""From here on the run continues as new as soon as no report waits to be counted and few signals come in."""
HARD_EVENTS = 4_000
"""From here on it tries to, however many signals come in. Temporal refuses the 10,001st signal of a run."""
FEW = 3
"""So few signals since the last count are few: a signal that comes in at that very moment undoes a continue-as-new."""
AT_ONCE = 200
"""So many signals are counted in one workflow task: a backlog of thousands would take longer than a task may."""
STRETCHES_AT_ONCE = 30
"""Reports of so many stretches of time likewise."""
JUDGE_EVERY = 10.0
"""Seconds between two looks at what is wrong, while reports come in."""


@workflow.defn(name=names.MONITOR_WORKFLOW)
class MonitorWorkflow:
    """One monitor. Its input is a `MonitorStart`; without one it starts from nothing. It runs for ever."""

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
        self._read_start(start)

    @workflow.run
    async def run(self, *start: Any) -> None:
        """Count until the history is long; cancelled it goes on, because what it knows is nowhere else."""
        why = "a monitor cannot be cancelled: terminate it to forget what it counted"
        await uncancellable(self._count_reports(), lambda: self.refuse_signal("cancel", why))

    async def _count_reports(self) -> None:
        watch = asyncio.create_task(self._watch())
        self._show()
        try:
            while True:
                await workflow.wait_condition(lambda: self._left() or (HISTORY.is_spent() and not self._judging))
                came = self._count_some()
                if self._left():
                    await workflow.sleep(0.001, summary="so many reports came that they are counted in parts")
                elif HISTORY.is_spent() and not self._judging and await self._calm(came):
                    workflow.continue_as_new(MonitorStart(state=self._monitor.state))
        finally:
            watch.cancel()

    async def _calm(self, came: int) -> bool:
        """Return True if a continue-as-new may get through: few signals came in with this task, or none does for a second.

        One that does not get through costs a replay of the whole run, in which more signals come in.
        """
        if came <= FEW or workflow.info().get_current_history_length() >= HARD_EVENTS:
            return True
        try:
            await workflow.wait_condition(self._left, timeout=1.0, timeout_summary="whether more reports come in")
        except TimeoutError:
            return not self._judging
        return False

    def _read_start(self, start: tuple[Any, ...]) -> None:
        try:
            read = MonitorStart.model_validate(start[0]) if start else MonitorStart()
        except ValidationError as error:
            self.refuse_signal("start", f"the input is not a MonitorStart: {error}")
            return
        if read.state is not None and workflow.info().continued_run_id is None:
            # a client that starts a workflow could otherwise hand in any numbers
            self.refuse_signal("start", "only a continue-as-new may carry counts on")
            return
        self._monitor = Monitor(read.state)
        self._unjudged = read.state is not None  # what the run before had not looked at yet

    def _left(self) -> bool:
        return bool(self._inbox or self._waiting)

    def _count_some(self) -> int:
        """Take signals out of the inbox and count what they say, a bounded amount; answers how many signals it took."""
        now = workflow.now()
        taken, self._inbox = self._inbox[:AT_ONCE], self._inbox[AT_ONCE:]
        for arguments in taken:
            try:
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
        """While reports come in, look now and then at what is wrong, and show it."""
        while True:
            await workflow.wait_condition(lambda: self._unjudged)
            left = 0.0 if self._judged_at is None else JUDGE_EVERY - (workflow.now() - self._judged_at).total_seconds()
            left = max(left, self._monitor.silence(workflow.now()))
            if left > 0:
                await workflow.sleep(left, summary="until what is wrong is looked at again")
            self._unjudged, self._judged_at = False, workflow.now()
            if (anomaly := self._monitor.alarm(workflow.now())) is not None:
                self._judging = True
                await self._sound_alarm(anomaly)
                self._judging = False
            self._show()

    async def _sound_alarm(self, anomaly: Anomaly) -> None:
        """Ask the operator's policy about an anomaly; where it wants that, have the live gate locked."""
        self._alarms += 1
        self._monitor.asked(workflow.now())
        try:
            answer = await workflow.execute_activity_method(
                MonitorActivities.alarm,
                AlarmRequest(monitor=self._id, anomaly=anomaly),
                **activity_options(
                    options.ALARM,
                    names.WORKFLOW_QUEUE,
                    f"alarm:{self._alarms}",
                    f"{anomaly.kind.value}: is the live gate to be locked?",
                ),
            )
        except ActivityError as error:
            self.refuse_signal("alarm", f"the policy could not be asked: {error.cause}")
            return
        if not answer.lock:
            return
        self._monitor.want_lock(anomaly, workflow.now())
        try:
            await workflow.get_external_workflow_handle(names.LIVE_GATE).signal("auto_lock", AutoLock(monitor=self._id))
        except FailureError as error:  # it is asked for again, as long as the anomaly lasts
            self._monitor.not_told()
            self.refuse_signal("auto_lock", f"the live gate could not be told: {error}")
        else:
            self._monitor.told()

    def _show(self) -> None:
        workflow.set_current_details(self._monitor.details(self._id, workflow.now()))

    def refuse_signal(self, name: str, why: str) -> None:
        """Count and remember something that was refused; called by the worker's interceptor too."""
        self._monitor.refuse(name, why, workflow.now())

    # Signals take `*arguments: Any`: whatever was sent arrives, and nothing is dropped without a trace.

    @workflow.signal(name="report", description='{"reports": [...]}: what happened in stages of a plan that have ended')
    def report(self, *arguments: Any) -> None:
        """Take reports; they are counted in the same workflow task, or in one of the next if there are very many."""
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
        """Return everything about health in one snapshot."""
        return self._monitor.health(self._id, _asked_time(arguments))

    @workflow.query(name="signals", description='{"at"?}: what there is to learn at a time (default now)')
    def signals(self, *arguments: Any) -> SignalsSnapshot:
        """Return everything there is to learn in one snapshot."""
        return self._monitor.signals(self._id, _asked_time(arguments))

    @workflow.query(name="reliability", description='{"tools": [...]}: how many live calls of these tools worked')
    def reliability(self, *arguments: Any) -> ReliabilityAnswer:
        """Return the numbers of live calls of some tools, and of those that succeeded."""
        try:
            return self._monitor.reliability(parse_question(arguments), _now())
        except MalformedMessage as error:
            raise ApplicationError(str(error), type="Malformed") from error

    @workflow.query(name="lock_wish", description="the last lock of the live gate this monitor wanted")
    def lock_wish(self) -> WishAnswer:
        """Return the last lock it wanted."""
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
        clock = datetime.now(UTC)
    return max(clock, workflow.now())
