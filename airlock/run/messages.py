"""The messages of people to a plan: one JSON object for each signal, checked here and never trusted."""

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
    """Approve the sealed preview, whole or some of its steps. `signature` is base64 over `signature.signed_text`."""

    by: Person
    digest: Annotated[str, StringConstraints(strip_whitespace=True, max_length=64)]
    steps: Annotated[tuple[StepName, ...], Field(max_length=5_000)] | None = None
    reason: Annotated[str, StringConstraints(max_length=2_000)] = ""
    signature: Annotated[str, StringConstraints(max_length=1_000)] | None = None


class Deny(WireModel):
    """Deny the plan; with a digest, only if that is still the seal."""

    by: Person
    reason: Reason
    digest: str | None = None


class Lock(WireModel):
    """Stop: no further call starts until an unlock. `gate` says that it is part of a lock of the live gate."""

    by: Person
    reason: Reason
    gate: bool = False


class Unlock(WireModel):
    """Go on: the remaining steps are rehearsed, previewed and approved again.

    `gate` lifts only what the live gate locked.
    """

    by: Person
    reason: Reason
    gate: bool = False


class Rollback(WireModel):
    """Undo what is live, whole or back to a step (that step and everything after or depending on it)."""

    by: Person
    reason: Reason
    to_step: StepName | None = None


class Abort(WireModel):
    """End the plan without undoing anything."""

    by: Person
    reason: Reason


class Settlement(StrEnum):
    """The settlement of a parked step by a human."""

    HAPPENED = "happened"
    DID_NOT_HAPPEN = "did_not_happen"
    RETRY = "retry"
    SKIP = "skip"
    COMPENSATED = "compensated"


class Resolve(WireModel):
    """Settle a call in doubt (happened, did_not_happen) or a failed compensation (retry, skip, compensated).

    `output` is what the call returned, where later steps need it.
    """

    by: Person
    step: StepName
    outcome: Settlement
    reason: Reason
    output: JsonValue = None

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
    """Return the message behind a signal.

    Args:
        name: The signal.
        arguments: Whatever was sent, decoded as plain JSON.

    Raises:
        MalformedMessage: If it is not one JSON object with the fields of that signal.
    """
    model = MESSAGES.get(name)
    if model is None:
        raise MalformedMessage(f"unknown signal {shorten(name, 100)!r}; there are {', '.join(MESSAGES)}")
    return parse_as(model, name, arguments)


def parse_decision(arguments: tuple[Any, ...]) -> tuple[str, Message]:
    """Return the signal name and message of a `decide` update: the same object with a field `decision`.

    Raises:
        MalformedMessage: If it cannot be understood.
    """
    if len(arguments) != 1 or not isinstance(arguments[0], Mapping):
        raise MalformedMessage("decide takes one JSON object with a field 'decision'")
    name = arguments[0].get("decision")
    if not isinstance(name, str) or name not in MESSAGES:
        raise MalformedMessage(f"decision: must be one of {', '.join(MESSAGES)}, got {shorten(repr(name), 80)}")
    return name, parse_message(name, ({key: value for key, value in arguments[0].items() if key != "decision"},))
