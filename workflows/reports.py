"""Reports of a plan to its monitor by a signal of the run itself: one action, where nothing is given back."""

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from airlock.monitoring.messages import MAX_REPORTS, Reports
    from airlock.monitoring.report import Report


async def told_by_signal(monitor: str, reports: tuple[Report, ...]) -> bool:
    """Send reports to a monitor; return False if it does not run, so that an activity must start it.

    Args:
        monitor: Its workflow id.
        reports: The reports.
    """
    if len(reports) > MAX_REPORTS:
        return False
    try:
        await workflow.get_external_workflow_handle(monitor).signal("report", Reports(reports=reports))
    except FailureError:
        return False
    return True
