"""The approver's own check of a preview: the text is made again here, from content that the digest covers."""

from airlock.base.errors import AirlockError
from airlock.base.names import plan_workflow_id, undo_workflow_id
from airlock.plans.seal import seal
from airlock.plans.state import State
from airlock.run.preview import render_preview
from airlock.run.views import PreviewView


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
    shown = (plan_workflow_id if view.sealed.undo is None else undo_workflow_id)(view.sealed.plan_id)
    if shown != workflow_id:
        raise PreviewMismatch(f"the preview is that of {shown!r}, not of {workflow_id!r}: approve nothing")
    closed = f"\n\nThis preview is not open for approval any more: the plan is in {view.state.value}."
    text = render_preview(view.sealed, view.digest) + ("" if view.state is State.AWAITING_APPROVAL else closed)
    return view.model_copy(update={"text": text})
