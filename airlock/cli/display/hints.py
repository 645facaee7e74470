"""A plan's views with the commands in them as this process was started.

The run that answers a query writes `airlock COMMAND`, because it does not know which program shows its answer. Only texts of
the run itself are touched, never arguments, outputs or other values of the plan: an approver reads those as they are sealed.
"""

from collections.abc import Sequence

from airlock.admission.decision_rules import ApprovalDemand, Demand
from airlock.base.person import KEY_FILE
from airlock.program import as_started, program
from airlock.run.presentation.approval_needs import evidence_needed
from airlock.run.presentation.decision_commands import IN_CONSOLE
from airlock.run.presentation.preview import TO_APPROVE
from airlock.run.presentation.views import PreviewView, StatusView

_COMMANDS = ("  airlock approve ", f"  {IN_CONSOLE}")
"""The beginnings of the lines of a preview that name a command of Airlock, where its last line is one."""


def approve_hint(plan_id: str, by: str, demands: Sequence[ApprovalDemand]) -> str:
    """Return the command that approves a plan once its preview was read, with a place for a key if it must be signed.

    Args:
        plan_id: The plan.
        by: The approver, or the place of a name.
        demands: What the policy demands of its approvals, as the status of the plan tells it.
    """
    evidence = evidence_needed(tuple(demands))
    if evidence is Demand.PASSKEY:
        return as_started(IN_CONSOLE)
    signed = "" if evidence is Demand.NONE else f" --sign-key {KEY_FILE}"
    return f"{program()} approve {plan_id} --by {by}{signed}"


def status_as_started(status: StatusView) -> StatusView:
    """Return a status whose reasons, errors and next step can be pasted."""
    steps = tuple(step.model_copy(update={"error": as_started(step.error)}) for step in status.steps)
    command = status.approve_command
    if command is not None and command.startswith("airlock "):
        command = as_started(command)
    said = {
        "why": as_started(status.why),
        "waits_for": as_started(status.waits_for),
        "steps": steps,
        "approve_command": command,
    }
    return status.model_copy(update=said)


def preview_as_started(preview: PreviewView) -> PreviewView:
    """Return a preview whose advice can be pasted."""
    *lines, last = preview.text.split("\n")
    if lines and lines[-1] == TO_APPROVE and last.startswith(_COMMANDS):
        return preview.model_copy(update={"text": "\n".join((*lines, as_started(last)))})
    return preview
