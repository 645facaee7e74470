"""A plan's views with the commands in them as this process was started.

The run that answers a query writes `airlock COMMAND`, because it does not know which program shows its answer. Only texts of
the run itself are touched, never arguments, outputs or other values of the plan: an approver reads those as they are sealed.
"""

from airlock.program import as_started
from airlock.run.presentation.views import PreviewView, StatusView

_SIGNATURES = "Signatures are required "
"""The beginning of the one line of a preview that names a command of Airlock."""


def status_as_started(status: StatusView) -> StatusView:
    """Return a status whose reasons, errors and next step can be pasted."""
    steps = tuple(step.model_copy(update={"error": as_started(step.error)}) for step in status.steps)
    said = {"why": as_started(status.why), "waits_for": as_started(status.waits_for), "steps": steps}
    return status.model_copy(update=said)


def preview_as_started(preview: PreviewView) -> PreviewView:
    """Return a preview whose advice can be pasted."""
    lines = (as_started(line) if line.startswith(_SIGNATURES) else line for line in preview.text.split("\n"))
    return preview.model_copy(update={"text": "\n".join(lines)})
