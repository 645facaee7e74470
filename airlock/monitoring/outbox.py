"""Outbox of a plan: one report per stage that ended, sent together with the next release of slots."""

from datetime import datetime

from pydantic import BaseModel

from airlock.base.names import monitor_id
from airlock.gates.protocol import LeaveRequest
from airlock.monitoring.dedupe import shard_of
from airlock.monitoring.report import Report, report_of, stage_left, stage_of
from airlock.plans.state import State
from airlock.run.state import Run

MAX_QUEUED = 8
"""Number of queued reports that are sent even if the plan has no slots to release."""


class LeaveWithReports(LeaveRequest):
    """Slots that a plan releases, and the reports that it sends with them."""

    monitor: str = ""
    """Workflow id of the monitor."""
    reports: tuple[Report, ...] = ()


class Outbox(BaseModel):
    """Reports of one plan that were not sent yet. Mutable: each plan workflow owns exactly one, and carries it on."""

    reported: int = 0
    """Number of the last audit entry that a report covers."""
    ended: bool = False
    """True if the last report is queued, which alone tells the outcome of the plan."""
    queued: tuple[Report, ...] = ()

    def stage_ended(self, run: Run, state: State, run_id: str, now: datetime) -> None:
        """Queue the report of a stage if it has ended. Call it after every state that the run was in.

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
        """Return the reports to send now: with a release of slots, at the end of the plan, or from `MAX_QUEUED` on."""
        return self.queued if giving_back or _ended(run) or len(self.queued) >= MAX_QUEUED else ()

    def sent(self, reports: tuple[Report, ...]) -> None:
        """Remove the reports that were sent."""
        sent = {report.key for report in reports}
        self.queued = tuple(report for report in self.queued if report.key not in sent)


def monitor_of(run: Run) -> str:
    """Return the monitor that counts a plan, from the policy it was admitted under: it never changes."""
    shards = run.admitted.policy.monitor_shards if run.admitted else 1
    return monitor_id(shard_of(run.name, shards))


def _ended(run: Run) -> bool:
    return run.outcome is not None or run.state.closed
