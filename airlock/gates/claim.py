"""Claims on irreversible calls: the signals that settle one, and the texts about one.

A claim keeps other plans from making the same call.
"""

from datetime import datetime
from typing import Annotated, Any

from pydantic import StringConstraints, ValidationError

from airlock.base.incoming import MalformedMessage, Person, Reason, one_object, require_person, wrong_fields
from airlock.base.model import FileModel, WorkerMessage
from airlock.base.text import count
from airlock.base.visible import inline, visible
from airlock.gates.protocol import Claimed, ClaimOutcome

FREE = "Free"
"""Error type of a claim whose call was certainly not made; its workflow id may be used again."""


class SettledByPlan(FileModel, WorkerMessage):
    """Signal `settle` from the plan that holds the claim."""

    holder: Annotated[str, StringConstraints(min_length=1, max_length=300)]
    """Workflow id of the plan."""
    outcome: ClaimOutcome
    reason: Annotated[str, StringConstraints(max_length=2_000)] = ""
    execution: Annotated[str, StringConstraints(max_length=100)] = ""
    """Value of `Claimed.execution`; a claim of another execution is not settled."""
    stay: Annotated[str, StringConstraints(max_length=100)] = ""
    """Value of `Claimed.stay`."""


class SettledByPerson(FileModel):
    """Signal `settle` from a person: the call was made (`done`), or certainly was not (`free`)."""

    by: Person
    outcome: ClaimOutcome
    reason: Reason


def parse_settle(arguments: tuple[Any, ...]) -> SettledByPlan | SettledByPerson:
    """Parse the arguments of the signal `settle` into one of its two forms.

    Raises:
        MalformedMessage: If they fit neither form; the text names the wrong field.
    """
    sent = one_object("settle", arguments, ' {"by", "outcome": "done" or "free", "reason"}')
    model: type[SettledByPlan | SettledByPerson] = SettledByPlan if "holder" in sent else SettledByPerson
    try:
        message = model.model_validate(sent)
    except ValidationError as error:
        raise MalformedMessage(f"settle: {wrong_fields(error)}") from error
    if isinstance(message, SettledByPerson):
        require_person("settle", message.by)
    return message


def made(claimed: Claimed, at: datetime | None) -> str:
    """Return the reason for not making a call again that another plan made; `at` is when it was settled, UTC."""
    when = f" on {at:%Y-%m-%d %H:%M:%S} UTC" if at else ""
    return f"{claimed.holder} made this call{when} (step {claimed.step})"


def made_before(at: datetime | None) -> str:
    """Return the reason for not making a call again that the same plan made, for example after a reset."""
    when = f" on {at:%Y-%m-%d %H:%M:%S} UTC" if at else ""
    return f"this plan made the same call already{when}"


def under_way(claimed: Claimed) -> str:
    """Return the reason for not making a call whose claim an open plan holds."""
    return f"{claimed.holder} is making this call, or will (step {claimed.step})"


def doubtful(claimed: Claimed, claim: str) -> str:
    """Return the reason for not making a call whose claim a closed plan holds, and the commands that settle the doubt."""
    return (
        f"it is in doubt whether {claimed.holder} made this call (step {claimed.step}): find out, then settle it with "
        f"airlock rollback {claimed.plan_id}, or: {settle_command(claim)}"
    )


def settle_command(claim: str) -> str:
    """Return the command with which a person settles a claim, ready to paste."""
    return (
        f"temporal workflow signal -w {claim} --name settle "
        """--input '{"by": "YOU", "outcome": "done or free", "reason": "..."}'"""
    )


def claim_details(claimed: Claimed, claim: str) -> str:
    """Return the details of a claim for the Temporal UI, as Markdown."""
    whose = f"**{visible(claimed.holder)}** claims its call of `{visible(claimed.tool)}` (step {visible(claimed.step)})"
    if claimed.outcome is not None:
        lines = [f"{whose}: settled as `{claimed.outcome.value}`."]
    else:
        lines = [
            f"{whose}: not made yet, running or in doubt. While this claim is open, no other plan makes the same call.",
            f"To settle it by hand (`done`: it was made; `free`: it certainly was not): `{settle_command(claim)}`",
        ]
    if claimed.refused:
        lines.append(f"{count(claimed.refused, 'signal')} refused; the last: {inline(claimed.last_refusal)}")
    return "\n\n".join(lines)
