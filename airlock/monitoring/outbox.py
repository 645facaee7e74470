"""The reports of one plan until they are sent: at the end of each stage one, sent together when something is given back."""

from datetime import datetime

from pydantic import BaseModel

from airlock.base.names import monitor_id
from airlock.gates.protocol import LeaveRequest
from airlock.monitoring.dedupe import shard_of
from airlock.monitoring.report import Report, report_of, stage_left, stage_of
from airlock.plans.state import State
from airlock.run.state import Run

MAX_QUEUED = 8
"""With so many reports waiting, they are sent even if there is nothing to give back."""


class LeaveWithReports(LeaveRequest):
    """A release of slots and claims, and the reports that go with it to one monitor."""

    monitor: str = ""
    reports: tuple[Report, ...] = ()


class Outbox(BaseModel):
    """The reports of one plan that were not sent yet. Mutable: the workflow owns exactly one, and carries it on.

    `reported` is the number of the last audit entry that some report covers; `ended` says that the last report is queued
    already, which alone tells how the plan ended.
    """

    reported: int = 0
    ended: bool = False
    queued: tuple[Report, ...] = ()

    def stage_ended(self, run: Run, state: State, run_id: str, now: datetime) -> None:
        """Queue the report of a stage if it has ended; to be asked whenever the run has been somewhere.

        Args:
            run: The plan's run.
            state: The state it was in before.
            run_id: The id of the first run in its chain of continue-as-new.
            now: UTC.
        """
        ended, stage = _ended(run), stage_of(state)
        if self.ended or not (ended or (stage is not None and stage_of(run.state) is not stage)):
            return
        left = stage or stage_left(run)
        self.queued = (*self.queued, report_of(run, left, run_id=run_id, since=self.reported, at=now))
        self.reported, self.ended = run.audited, ended

    def due(self, run: Run, giving_back: bool) -> tuple[Report, ...]:
        """Return the reports to send now: with a release anyway, at the end, or when many have come up."""
        return self.queued if giving_back or _ended(run) or len(self.queued) >= MAX_QUEUED else ()

    def sent(self, reports: tuple[Report, ...]) -> None:
        """Forget what was sent."""
        gone = {report.key for report in reports}
        self.queued = tuple(report for report in self.queued if report.key not in gone)


def monitor_of(run: Run) -> str:
    """Return the monitor that counts a plan: by the policy it was admitted under, so that it stays the same for ever."""
    shards = run.admitted.policy.monitor_shards if run.admitted else 1
    return monitor_id(shard_of(run.name, shards))


def _ended(run: Run) -> bool:
    return run.outcome is not None or run.state.closed
