"""Parsers of the signals and updates of a gate: they check every field, because any client may send them."""

import math
from typing import Annotated, Any

from pydantic import Field, StringConstraints, field_validator

from airlock.base.incoming import MalformedMessage, Person, Reason, one_object, parse_as
from airlock.base.model import WireModel, is_empty
from airlock.base.text import shorten
from airlock.gates.protocol import HoldOff, Permit, Release, SlotRequest
from airlock.gates.rate_limit import MAX_HOLD_OFF
from airlock.signing.evidence import DecisionEvidence

SCOPE_KINDS = ("agent", "tool", "resource")
DECISIONS = ("lock", "unlock")
_MAX_ID = 300


class GateDecision(WireModel):
    """Signal `lock` or `unlock` of a gate."""

    by: Person
    reason: Reason
    scope: Annotated[str, StringConstraints(strip_whitespace=True, max_length=_MAX_ID)] | None = None
    """`agent:x`, `tool:y` or `resource:z`; None for everything."""
    evidence: DecisionEvidence | None = Field(default=None, exclude_if=is_empty)

    @field_validator("scope")
    @classmethod
    def _known_kind(cls, value: str | None) -> str | None:
        kind, _, name = (value or "").partition(":")
        if value is not None and (kind not in SCOPE_KINDS or name in ("", "*")):
            raise ValueError(
                f"must be one of {', '.join(f'{known}:NAME' for known in SCOPE_KINDS)}; leave it out for everything"
            )
        return value


def parse_gate_decision(arguments: tuple[Any, ...]) -> tuple[str, GateDecision]:
    """Parse the update `decide` of a gate: the object of `lock` or `unlock`, with a field `decision` that names one of them.

    Raises:
        MalformedMessage: If a field is wrong; the text names it.
    """
    sent = one_object("decide", arguments, " with a field 'decision'")
    name = sent.get("decision")
    if name not in DECISIONS:
        raise MalformedMessage(f"decision: must be one of {', '.join(DECISIONS)}, got {shorten(repr(name), 80)}")
    rest = {key: value for key, value in sent.items() if key != "decision"}
    return name, parse_as(GateDecision, name, (rest,))


def parse_wanted(arguments: tuple[Any, ...]) -> SlotRequest:
    """Parse the update `acquire`.

    Raises:
        MalformedMessage: If a field is wrong; the text names it.
    """
    wanted = parse_as(SlotRequest, "acquire", arguments, strict=False)
    _check_ids("acquire", holder=wanted.holder, request=wanted.request)
    _check_number("acquire", "capacity", wanted.capacity, 1, math.inf)
    _check_number("acquire", "slots", wanted.slots, 1, math.inf)
    _check_number("acquire", "grace", wanted.grace, 0, math.inf)
    return wanted


def parse_permit(arguments: tuple[Any, ...]) -> Permit:
    """Parse the update `permit`.

    Raises:
        MalformedMessage: If a field is wrong; the text names it.
    """
    permit = parse_as(Permit, "permit", arguments, strict=False)
    _check_ids("permit", key=permit.key)
    _check_number("permit", "calls", permit.calls, 1, math.inf)
    _check_number("permit", "per", permit.per, 0.001, 366 * 86_400)
    return permit


def parse_release(arguments: tuple[Any, ...]) -> Release:
    """Parse the signal `release`.

    Raises:
        MalformedMessage: If a field is wrong; the text names it.
    """
    return parse_as(Release, "release", arguments, strict=False)


def parse_hold_off(arguments: tuple[Any, ...]) -> HoldOff:
    """Parse the signal `hold_off`.

    Raises:
        MalformedMessage: If a field is wrong, or the pause is more than a week.
    """
    hold = parse_as(HoldOff, "hold_off", arguments, strict=False)
    _check_number("hold_off", "seconds", hold.seconds, 0, MAX_HOLD_OFF)
    return hold


def _check_ids(name: str, **ids: str) -> None:
    for field, value in ids.items():
        if not 0 < len(value) <= _MAX_ID:
            raise MalformedMessage(f"{name}: {field}: must have 1 to {_MAX_ID} characters")


def _check_number(name: str, field: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # written so that NaN fails too
        raise MalformedMessage(
            f"{name}: {field}: must be {low:g} or more" + (f", {high:g} at most" if high < math.inf else "")
        )
