"""Messages from people and programs: parsed with clear errors, never trusted."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import StringConstraints, ValidationError

from airlock.base.model import WireModel
from airlock.base.names import RESERVED
from airlock.base.text import shorten

Person = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000)]


Sent = TypeVar("Sent", bound=WireModel)


class Verdict(WireModel):
    """The answer to a decision. `changed` lists what differs from the seal the decision named, where that is known."""

    accepted: bool
    reason: str
    changed: tuple[str, ...] = ()


class MalformedMessage(ValueError):
    """A message that cannot be understood; the text says which field is wrong."""


def parse_as(model: type[Sent], name: str, arguments: tuple[Any, ...], strict: bool = True) -> Sent:
    """Parse a message as one model; a `by` in it must be a person.

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
