"""The approver's own check of a preview: the text is made again here, from content that the digest covers."""

from airlock.base.errors import AirlockError
from airlock.plans.seal import seal
from airlock.run.presentation.views import PreviewView, render


class PreviewMismatch(AirlockError):
    """The digest of a preview does not cover what the preview shows."""


def checked_preview(view: PreviewView, workflow_id: str) -> PreviewView:
    """Return the preview with a text made here.

    Temporal passes a query to whichever worker polls for it, with Airlock's keys or without. A worker without keys could
    show one thing and name the digest of another.

    Args:
        view: The answer of the query `preview`.
        workflow_id: The run that was asked.

    Raises:
        PreviewMismatch: If the digest is not that of the content, or the content belongs to another plan.
    """
    if view.digest is None:
        return view
    if view.sealed is None or seal(view.sealed) != view.digest:
        raise PreviewMismatch(
            f"the preview of plan {view.plan_id!r} does not fit its digest {view.digest[:12]}: approve nothing. Either this "
            "program is older than the workers, or what answered is no worker of Airlock"
        )
    if (shown := view.sealed.workflow_id) != workflow_id:
        raise PreviewMismatch(f"the preview is that of {shown!r}, not of {workflow_id!r}: approve nothing")
    return view.model_copy(update={"text": render(view.sealed, view.digest, view.state)})
