"""The messages that a human may send to a plan: one JSON object for each signal, checked here and never trusted."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, JsonValue, StringConstraints, field_validator

from airlock.base.canonical import bounded_json
from airlock.base.incoming import MalformedMessage, Person, Reason, parse_as
from airlock.base.model import WireModel
from airlock.base.text import MAX_OUTPUT_BYTES, shorten

StepName = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class Approve(WireModel):
    """Approve the sealed preview, as a whole or some of its steps."""

    by: Person
    digest: Annotated[str, StringConstraints(strip_whitespace=True, max_length=64)]
    steps: Annotated[tuple[StepName, ...], Field(max_length=5_000)] | None = None
    reason: Annotated[str, StringConstraints(max_length=2_000)] = ""
    signature: Annotated[str, StringConstraints(max_length=1_000)] | None = None
    """Base64 of an Ed25519 signature over `signature.signed_text`."""


class Deny(WireModel):
    """Deny the plan; with a digest, only if it is still the digest of the seal."""

    by: Person
    reason: Reason
    digest: str | None = None


class Lock(WireModel):
    """Stop the plan: no further call starts until a human unlocks it."""

    by: Person
    reason: Reason
    gate: bool = False
    """True if the message is part of a lock of the live gate."""


class Unlock(WireModel):
    """Unlock the plan: the remaining steps are rehearsed, previewed and approved again."""

    by: Person
    reason: Reason
    gate: bool = False
    """True if only a lock by the live gate is to be lifted."""


class Rollback(WireModel):
    """Undo the live calls of the plan."""

    by: Person
    reason: Reason
    to_step: StepName | None = None
    """The step to go back to: it is undone with every step after or depending on it. None undoes all."""


class Abort(WireModel):
    """End the plan and undo nothing."""

    by: Person
    reason: Reason
    withdrawn: bool = False
    """True if the requester withdraws the plan: accepted only from the requester, and only before any call that writes."""


class Settlement(StrEnum):
    """The settlement of a parked step by a human."""

    HAPPENED = "happened"
    DID_NOT_HAPPEN = "did_not_happen"
    RETRY = "retry"
    SKIP = "skip"
    COMPENSATED = "compensated"


class Resolve(WireModel):
    """Settle a call in doubt (happened, did_not_happen) or a failed compensation (retry, skip, compensated)."""

    by: Person
    step: StepName
    outcome: Settlement
    reason: Reason
    output: JsonValue = None
    """The output of the call, needed if later steps read it."""

    @field_validator("output")
    @classmethod
    def _fits(cls, value: JsonValue) -> JsonValue:
        if len(bounded_json(value)) > MAX_OUTPUT_BYTES:
            raise ValueError(f"is more than the {MAX_OUTPUT_BYTES:,} bytes one call may return")
        return value


Message = Approve | Deny | Lock | Unlock | Rollback | Abort | Resolve

MESSAGES: dict[str, type[Message]] = {
    "approve": Approve,
    "deny": Deny,
    "lock": Lock,
    "unlock": Unlock,
    "rollback": Rollback,
    "abort": Abort,
    "resolve": Resolve,
}


def parse_message(name: str, arguments: tuple[Any, ...]) -> Message:
    """Return the message of a signal.

    Args:
        name: The name of the signal.
        arguments: The arguments of the signal, decoded as plain JSON.

    Raises:
        MalformedMessage: If they are not one JSON object with the fields of that signal.
    """
    model = MESSAGES.get(name)
    if model is None:
        raise MalformedMessage(f"unknown signal {shorten(name, 100)!r}; there are {', '.join(MESSAGES)}")
    return parse_as(model, name, arguments)


def parse_decision(arguments: tuple[Any, ...]) -> tuple[str, Message]:
    """Return the signal name and the message of a `decide` update: the signal's object with a field `decision`.

    Raises:
        MalformedMessage: If the arguments cannot be understood.
    """
    if len(arguments) != 1 or not isinstance(arguments[0], Mapping):
        raise MalformedMessage("decide takes one JSON object with a field 'decision'")
    name = arguments[0].get("decision")
    if not isinstance(name, str) or name not in MESSAGES:
        raise MalformedMessage(f"decision: must be one of {', '.join(MESSAGES)}, got {shorten(repr(name), 80)}")
    return name, parse_message(name, ({key: value for key, value in arguments[0].items() if key != "decision"},))
