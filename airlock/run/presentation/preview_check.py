"""The approver's own check of a preview: the text is made again here, from content that the digest covers."""

from airlock.base.errors import AirlockError
from airlock.base.names import plan_id_of
from airlock.base.visible import visible
from airlock.plans.seal import seal
from airlock.plans.state import State
from airlock.run.presentation.decision_commands import approve_command
from airlock.run.presentation.seal_difference import difference_lines
from airlock.run.presentation.views import PreviewView, StatusView, render


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
        # a text that is not made here could be that of another preview, with the digest of this one written into it
        text = f"Plan {visible(plan_id_of(workflow_id))} has no preview: it is in {view.state.value}."
        return view.model_copy(update={"text": text, "sealed": None, "before": None, "changes": ()})
    if view.sealed is None or seal(view.sealed) != view.digest:
        raise PreviewMismatch(
            f"the preview of plan {view.plan_id!r} does not fit its digest {view.digest[:12]}: approve nothing. Either this "
            "program is older than the workers, or what answered is no worker of Airlock"
        )
    if (shown := view.sealed.workflow_id) != workflow_id:
        raise PreviewMismatch(f"the preview is that of {shown!r}, not of {workflow_id!r}: approve nothing")
    if view.before is not None and seal(view.before) != view.sealed.replaces:
        raise PreviewMismatch(
            f"the preview of plan {view.plan_id!r} is compared with another one than it replaced: approve nothing. What "
            "answered is no worker of Airlock"
        )
    text = render(view.sealed, view.digest, view.state, view.before)
    changes = difference_lines(view.before, view.sealed) if view.before is not None else ()
    return view.model_copy(update={"text": text, "changes": changes})


def fitting_status(status: StatusView, preview: PreviewView) -> StatusView:
    """Return a status that names the seal of a checked preview, and no other one.

    Nothing shows who answered the query `status`. A program that shows the preview and then approves the digest of the
    status would approve what it did not show.

    Args:
        status: The answer of the query `status`.
        preview: The preview that is shown with it, as `checked_preview` returned it.
    """
    sealed, digest = preview.sealed, preview.digest
    waits = preview.state is State.AWAITING_APPROVAL and status.outcome is None
    command = approve_command(sealed, digest) if waits and sealed is not None and digest is not None else None
    return status.model_copy(update={"digest": digest, "approve_command": command})
