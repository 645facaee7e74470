"""Reports of a plan to its monitor by a signal of the run itself: one action, where nothing is given back."""

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from airlock.monitoring.messages import MAX_REPORTS, Reports
    from airlock.monitoring.report import Report
    from airlock.run.state import Run


async def told_by_signal(run: Run, monitor: str, reports: tuple[Report, ...]) -> bool:
    """Send the reports of a run that was nothing but reads; return False if an activity must send them.

    Temporal does not deliver a signal of a run that has ended meanwhile, so that the run waits for it.

    Args:
        run: The plan's run.
        monitor: Its monitor, which an activity must start if it does not run.
        reports: The reports.
    """
    if not run.only_read or len(reports) > MAX_REPORTS:
        return False
    try:
        await workflow.get_external_workflow_handle(monitor).signal("report", Reports(reports=reports))
    except FailureError:
        return False
    return True
