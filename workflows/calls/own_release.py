"""Signals of a run that ends to its gates and its monitor: its slots are free, and this is what it did."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from airlock.monitoring.messages import MAX_REPORTS, Reports
    from airlock.monitoring.outbox import LeaveWithReports


async def told_by_signals(asked: LeaveWithReports) -> bool:
    """Release slots and send reports by signals; return False if an activity must do all of it again.

    Temporal does not deliver a signal of a run that has ended meanwhile, so that the run waits for each. A gate or a monitor
    that was terminated gets none: the activity starts it again.
    """
    if len(asked.reports) > MAX_REPORTS:
        return False
    messages: list[tuple[str, str, object]] = [(gate, "release", asked.release_at(gate)) for gate in asked.gates]
    if asked.reports:
        messages.append((asked.monitor, "report", Reports(reports=asked.reports)))
    told = await asyncio.gather(
        *(workflow.get_external_workflow_handle(to).signal(kind, message) for to, kind, message in messages),
        return_exceptions=True,
    )
    for failure in told:
        if failure is not None and not isinstance(failure, FailureError):
            raise failure
    return not any(told)
