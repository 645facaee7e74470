"""The question before each decision about a plan."""

from rich.text import Text

from airlock.base.visible import visible
from airlock.inbox.dialogs import Question
from airlock.inbox.texts import lines
from airlock.plans.contract import Mode
from airlock.run.call_record import CallStatus
from airlock.run.presentation.changes import changes
from airlock.run.presentation.settlement_words import SETTLEMENTS
from airlock.run.presentation.views import PreviewView, StepView

_ABOUT = {
    "lock": ("Lock", "Calls that are running finish. No further call of this plan starts until it is unlocked."),
    "unlock": ("Unlock", "The remaining steps are rehearsed, previewed and approved again. Live calls are not repeated."),
    "rollback": ("Roll back", "Everything that is live and can be undone is undone, in reverse order."),
}


def approval(preview: PreviewView) -> Question:
    """Return the question before an approval: the whole digest, and the steps that would go live."""
    undo = preview.sealed is None or preview.sealed.undo is not None
    steps = (
        []
        if undo or preview.sealed is None
        else [
            (each.id, lines(f"{each.sign} {each.id}  {each.tool} as {each.agent}, {each.risk}"))
            for each in changes(preview.sealed)
            if each.goes_to == Mode.LIVE.value
        ]
    )
    about = Text.assemble("Approve exactly the preview on the page, with this digest:\n", (f"{preview.digest}", "bold"))
    return Question(f"Approve {preview.plan_id}?", about, "Approve", required=False, steps=steps if len(steps) > 1 else ())


def denial(plan_id: str, digest: str | None) -> Question:
    """Return the question before a denial."""
    about = Text("The plan ends as denied; nothing of it goes live.")
    if digest is not None:
        about.append(f"\nDigest: {digest}")
    return Question(f"Deny {plan_id}?", about, "Deny")


def reasoned(decision: str, plan_id: str) -> Question:
    """Return the question before a lock, an unlock or a rollback."""
    button, about = _ABOUT[decision]
    detail = "Back to this step (optional; otherwise everything)" if decision == "rollback" else ""
    return Question(f"{button} {plan_id}?", Text(about), button, detail=detail)


def settlement(plan_id: str, step: StepView) -> Question:
    """Return the question about a call in doubt, or about a failed compensation."""
    status = CallStatus.UNDO_FAILED if step.status == CallStatus.UNDO_FAILED else CallStatus.IN_DOUBT
    about = Text(f"{visible(step.tool)} as {visible(step.agent)} is {visible(step.status)}: {visible(step.error)}")
    detail = "Output of the call as JSON, where later steps read it (optional)" if status is CallStatus.IN_DOUBT else ""
    choices = [(choice.value, says) for choice, says in SETTLEMENTS[status]]
    return Question(f"Settle {step.id} of {plan_id}", about, "Settle", choices=choices, detail=detail)
