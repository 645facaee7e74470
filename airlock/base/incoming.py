"""Messages from people and programs: parsed with clear errors, never trusted."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import StringConstraints, ValidationError

from airlock.base.model import WireModel
from airlock.base.names import RESERVED
from airlock.base.text import count, shorten
from airlock.base.wrong_value import wrong_value

Person = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000)]


MAX_FIELDS: Final = 200
"""Fields of a message of which the unknown ones are named."""
MAX_ERRORS: Final = 1_000
"""Wrong values of a message of which the first are named."""
READ_AT_ONCE: Final = 100_000
"""Values, and pieces of 64 characters, of messages that are read in one workflow task, which has two seconds."""
LIGHT: Final = 200
"""The weight up to which a message is always read. Decisions have less, unless they name hundreds of steps or amend."""
TOO_MUCH: Final = "so much arrived at the same time that this was not read: send it again"
_PIECE: Final = 64

Sent = TypeVar("Sent", bound=WireModel)


@dataclass
class ReadingLoad:
    """The load of reading messages in one moment. Time stands still within a workflow task."""

    at: datetime | None = None
    read: int = 0

    def too_much(self, message: Any, now: datetime) -> bool:
        """Count a message; return True if it must not be read in this moment. The first one may always be.

        A thousand messages of a few kilobytes can become as many of half a megabyte, of which each takes a third of a
        second. A run whose workflow task takes so long would never go on, and any client can send them.

        Args:
            message: The message as it was decoded.
            now: UTC.
        """
        if self.at != now:
            self.at, self.read = now, 0
        # not weighed beyond what is left: the weighing is a load too
        weight = _weight(message, max(READ_AT_ONCE - self.read, LIGHT))
        before, self.read = self.read, self.read + weight
        # whatever else arrives, a lock or a denial is read
        return weight > LIGHT and before > 0 and self.read > READ_AT_ONCE


def _weight(value: Any, most: int) -> int:
    """Return the weight of a value; of a heavier one no more than a little over `most`."""
    weight, pending = 0, [value]
    while pending and weight <= most:
        item = pending.pop()
        weight += 1
        if isinstance(item, Mapping):
            weight += len(item)
            pending += itertools.islice(item.values(), most)
        elif isinstance(item, list | tuple):
            pending += item[:most]
        elif isinstance(item, str | bytes):
            weight += len(item) // _PIECE
    return weight


class Verdict(WireModel):
    """The answer to a decision."""

    accepted: bool
    reason: str
    changed: tuple[str, ...] = ()
    """The paths that differ from the seal that the decision named, as far as that seal is known."""


@dataclass(frozen=True)
class Undecodable:
    """The value in place of an argument that cannot, or must not, be decoded. Not JSON on purpose: no model accepts it."""

    why: str
    """The reason, for the recorded refusal; it never quotes what was sent."""


class MalformedMessage(ValueError):
    """A message that cannot be parsed; the text names the wrong field."""


def parse_as(model: type[Sent], name: str, arguments: tuple[Any, ...], strict: bool = True) -> Sent:
    """Parse the arguments of a message as one model; a sender in its field `by` must be a person.

    Args:
        model: The type of the message.
        name: The name of the message, for the error.
        arguments: The arguments as they arrived, decoded as plain JSON.
        strict: True to refuse unknown fields; False for messages that another version of Airlock may send.

    Raises:
        MalformedMessage: If the arguments are not one JSON object with the fields of the model.
    """
    sent = one_object(name, arguments)
    if strict and len(sent) > MAX_FIELDS:  # to sort and shorten them takes a workflow task too long
        raise MalformedMessage(f"{name}: has {len(sent):,} fields; it takes {', '.join(model.model_fields)}")
    # Refused here and not by the model: `step` for `steps` would approve the whole plan. The model itself ignores
    # unknown fields, because an older worker must be able to read a message that a newer one accepted.
    unknown = sorted(shorten(str(field), 50) for field in sent if field not in model.model_fields)
    if strict and unknown:
        raise MalformedMessage(f"{name}: no field {', '.join(unknown[:3])}; it takes {', '.join(model.model_fields)}")
    try:
        message = model.model_validate(sent)
    except ValidationError as error:
        raise MalformedMessage(f"{name}: {wrong_fields(error)}") from error
    require_person(name, str(getattr(message, "by", "")))  # after parsing, which strips white space
    return message


def one_object(name: str, arguments: tuple[Any, ...], form: str = "") -> Mapping[str, Any]:
    """Return the one JSON object that a message has for an argument.

    Args:
        name: The name of the message, for the error.
        arguments: The arguments as they arrived, decoded as plain JSON.
        form: What the object looks like, for the error.

    Raises:
        MalformedMessage: If they are anything else, or the argument was not decoded.
    """
    if len(arguments) != 1:
        raise MalformedMessage(f"{name} takes one JSON object{form}, got {count(len(arguments), 'argument')}")
    sent = arguments[0]
    if isinstance(sent, Undecodable):
        raise MalformedMessage(f"{name}: {sent.why}")
    if not isinstance(sent, Mapping):
        raise MalformedMessage(f"{name} takes one JSON object{form}, got {_kind(sent)}")
    return sent


def wrong_fields(error: ValidationError) -> str:
    """Return the first wrong fields of a message with their errors, without what was sent."""
    if error.error_count() > MAX_ERRORS:  # a list of a quarter of a million wrong values takes many seconds to describe
        return f"{error.error_count():,} values are wrong"
    return "; ".join(_wrong_field(item) for item in error.errors(include_url=False)[:3])


def _wrong_field(item: Mapping[str, Any]) -> str:
    fault, fix = wrong_value(item)
    place = shorten(".".join(map(str, item["loc"])), 100)
    return f"{place}{': ' if place else ''}{fault}{f'; {fix}' if fix else ''}"


def require_person(name: str, by: str) -> None:
    """Refuse the names in which only Airlock itself, a monitor or the policy decides.

    Raises:
        MalformedMessage: If `by` is such a name.
    """
    if by.lower() in RESERVED:
        raise MalformedMessage(f"{name}: by: {', '.join(RESERVED)} are not people; write your own name")


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
