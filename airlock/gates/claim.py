"""Nothing twice: which irreversible call is which, and how a claim on one is settled."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import StringConstraints, ValidationError

from airlock.base.incoming import MalformedMessage, Person, Reason
from airlock.base.model import FileModel, WorkerMessage
from airlock.base.names import RESERVED
from airlock.base.text import shorten
from airlock.gates.protocol import Claimed, ClaimOutcome


class SettledByPlan(FileModel, WorkerMessage):
    """The signal `settle` of a claim as the plan that holds it sends it. `holder` is its workflow id."""

    holder: Annotated[str, StringConstraints(min_length=1, max_length=300)]
    outcome: ClaimOutcome
    reason: Annotated[str, StringConstraints(max_length=2_000)] = ""


class SettledByPerson(FileModel):
    """The signal `settle` of a claim as a person sends it: the call was made (`done`), or certainly was not (`free`)."""

    by: Person
    outcome: ClaimOutcome
    reason: Reason


def parse_settle(arguments: tuple[Any, ...]) -> SettledByPlan | SettledByPerson:
    """Whatever was sent with the signal `settle`, as one of the two forms it has.

    Raises:
        MalformedMessage: If it is neither; the text says which field is wrong.
    """
    if len(arguments) != 1 or not isinstance(arguments[0], Mapping):
        raise MalformedMessage('settle takes one JSON object: {"by", "outcome": "done" or "free", "reason"}')
    model: type[SettledByPlan | SettledByPerson] = SettledByPlan if "holder" in arguments[0] else SettledByPerson
    try:
        message = model.model_validate(arguments[0])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[:3]
        wrong = "; ".join(f"{shorten('.'.join(map(str, item['loc'])), 100)}: {item['msg']}" for item in first)
        raise MalformedMessage(f"settle: {wrong}") from error
    if isinstance(message, SettledByPerson) and message.by.lower() in RESERVED:
        raise MalformedMessage(f"settle: by: {', '.join(RESERVED)} are not people; write your own name")
    return message


def made(claimed: Claimed, at: datetime | None) -> str:
    """Return the reason for not making a call again: it was made, and settled at that time (UTC)."""
    when = f" on {at:%Y-%m-%d %H:%M:%S} UTC" if at else ""
    return f"{claimed.holder} made this call{when} (step {claimed.step})"


def made_before(at: datetime | None) -> str:
    """Return the reason for not calling a step again in its own plan, for example after a reset."""
    when = f" on {at:%Y-%m-%d %H:%M:%S} UTC" if at else ""
    return f"this very call was made already{when}"


def under_way(claimed: Claimed) -> str:
    """Return the reason for not making a call: another plan that still runs holds the claim."""
    return f"{claimed.holder} is making this call, or will (step {claimed.step})"


def doubtful(claimed: Claimed, claim: str) -> str:
    """Return the reason for not making a call: the closed plan that holds the claim may have made it. Names the fix."""
    return (
        f"it is in doubt whether {claimed.holder} made this call (step {claimed.step}): find out, then settle it with "
        f"airlock rollback {claimed.plan_id}, or: {settle_command(claim)}"
    )


def settle_command(claim: str) -> str:
    """Return the command with which a person settles a claim, to be pasted."""
    return (
        f"temporal workflow signal -w {claim} --name settle "
        """--input '{"by": "YOU", "outcome": "done or free", "reason": "..."}'"""
    )


def claim_details(claimed: Claimed, claim: str) -> str:
    """Return the text that the Temporal UI shows of a claim, as Markdown."""
    whose = f"**{claimed.holder}** claims its call of `{claimed.tool}` (step {claimed.step})"
    if claimed.outcome is not None:
        lines = [f"{whose}: settled as `{claimed.outcome.value}`."]
    else:
        lines = [
            f"{whose}: to come, under way or in doubt. While this is open no other plan makes the same call.",
            f"To settle it by hand (`done`: it was made; `free`: it certainly was not): `{settle_command(claim)}`",
        ]
    if claimed.refused:
        lines.append(f"{claimed.refused} signals were refused; the last: {claimed.last_refusal}")
    return "\n\n".join(lines)
