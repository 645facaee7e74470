"""What a human may say to a plan: one JSON object for each signal, checked here and never trusted."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, JsonValue, StringConstraints, ValidationError, field_validator

from airlock.model import WireModel
from airlock.names import RESERVED
from airlock.outcome import MAX_OUTPUT_BYTES, shorten
from airlock.seal import canonical_json

Person = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000)]
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
    """Stop: no further call starts until somebody unlocks. `gate` says that it is part of a lock of the live gate."""

    by: Person
    reason: Reason
    gate: bool = False


class Unlock(WireModel):
    """Go on: what is left is rehearsed, previewed and approved anew. `gate` lifts only what the live gate locked."""

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
    """How a human settles a parked step."""

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
        if len(canonical_json(value)) > MAX_OUTPUT_BYTES:
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


Sent = TypeVar("Sent", bound=WireModel)


class Verdict(WireModel):
    """The answer to a decision. `changed` lists what differs from the seal the decision named, where that is known."""

    accepted: bool
    reason: str
    changed: tuple[str, ...] = ()


class MalformedMessage(ValueError):
    """A message that cannot be understood; the text says which field is wrong."""


def parse_message(name: str, arguments: tuple[Any, ...]) -> Message:
    """The message behind a signal.

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


def parse_as(model: type[Sent], name: str, arguments: tuple[Any, ...], strict: bool = True) -> Sent:
    """Whatever was sent, as one model; where that says `by` whom it is sent, it must be a person.

    Args:
        model: What it must be.
        name: What it is called, for the error.
        arguments: Whatever was sent, decoded as plain JSON.
        strict: Whether an unknown field is refused; not for what another version of this program sends.

    Raises:
        MalformedMessage: If it is not one JSON object with the fields of that model.
    """
    if len(arguments) != 1:
        raise MalformedMessage(f"{name} takes one JSON object, got {len(arguments)} arguments")
    if not isinstance(arguments[0], Mapping):
        raise MalformedMessage(f"{name} takes one JSON object, got {_kind(arguments[0])}")
    # an unknown field is refused here, not by the model: `step` for `steps` would otherwise approve the whole plan, while
    # a message that was accepted and is carried on must stay readable for an older worker
    unknown = sorted(shorten(str(field), 50) for field in arguments[0] if field not in model.model_fields)
    if strict and unknown:
        raise MalformedMessage(f"{name}: no field {', '.join(unknown[:3])}; it takes {', '.join(model.model_fields)}")
    try:
        message = model.model_validate(arguments[0])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[:3]
        wrong = "; ".join(f"{shorten('.'.join(str(part) for part in item['loc']), 100)}: {item['msg']}" for item in first)
        raise MalformedMessage(f"{name}: {wrong}") from error
    if str(getattr(message, "by", "")).lower() in RESERVED:  # only now, because white space round it was stripped
        raise MalformedMessage(f"{name}: by: {', '.join(RESERVED)} are not people; write your own name")
    return message


def parse_decision(arguments: tuple[Any, ...]) -> tuple[str, Message]:
    """The signal name and message of a `decide` update: the same object with a field `decision`.

    Raises:
        MalformedMessage: If it cannot be understood.
    """
    if len(arguments) != 1 or not isinstance(arguments[0], Mapping):
        raise MalformedMessage("decide takes one JSON object with a field 'decision'")
    name = arguments[0].get("decision")
    if not isinstance(name, str) or name not in MESSAGES:
        raise MalformedMessage(f"decision: must be one of {', '.join(MESSAGES)}, got {shorten(repr(name), 80)}")
    return name, parse_message(name, ({key: value for key, value in arguments[0].items() if key != "decision"},))


def _kind(
    value: Any,
) -> Literal["null", "a list", "a text", "a number or a boolean", "something undecodable"]:
    if value is None:
        return "null"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return "a text"
    return "a number or a boolean" if isinstance(value, int | float) else "something undecodable"
