"""The statement of a decision: the one text that its person signs, whatever signs it."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import Field, JsonValue

from airlock.base.canonical import canonical_json, digest
from airlock.base.model import WireModel, is_empty
from airlock.base.names import PLAN_PREFIX, UNDO_PREFIX

VERSION: Final = "airlock/decision/1"
MAX_VALID_FOR: Final = timedelta(days=7)
"""The longest time for which a signed decision counts: who signs cannot know what a run is about in a year."""
_CLOCKS_APART: Final = timedelta(minutes=5)
"""The difference between the clock of a person and that of Temporal which is no reason to refuse."""
_AS_SENT: Final = ("to_step", "step", "outcome", "scope", "withdrawn", "reason")
"""The fields of messages that a statement repeats."""


class Statement(WireModel):
    """A decision of a person, with all that says what it is about, when, and once.

    A field without a value is no part of the text. The names of the fields are signed: they stay.
    """

    v: str
    """`VERSION`."""
    namespace: str
    """The namespace of Temporal."""
    plan: str | None = Field(default=None, exclude_if=is_empty)
    undo: str | None = Field(default=None, exclude_if=is_empty)
    """The plan whose undo after its end is decided about."""
    gate: str | None = Field(default=None, exclude_if=is_empty)
    run: str
    """The life of the run: it outlasts a continue-as-new, and ends with a reset."""
    digest: str | None = Field(default=None, exclude_if=is_empty)
    """The whole digest of the seal in force."""
    decision: str
    by: str
    steps: tuple[str, ...] | None = None
    to_step: str | None = Field(default=None, exclude_if=is_empty)
    step: str | None = Field(default=None, exclude_if=is_empty)
    outcome: str | None = Field(default=None, exclude_if=is_empty)
    output: str | None = Field(default=None, exclude_if=is_empty)
    """The digest of the output that a settlement states."""
    amendment: str | None = Field(default=None, exclude_if=is_empty)
    """The digest of everything that an amendment changes: its steps, whole, and the steps that it removes."""
    scope: str | None = Field(default=None, exclude_if=is_empty)
    """The scope of a lock of a gate; without one it is everything."""
    withdrawn: bool = Field(default=False, exclude_if=is_empty)
    reason: str = Field(default="", exclude_if=is_empty)
    nonce: str
    """32 bytes in hexadecimal digits, which the run shows in its status."""
    expires: str
    """The time from which the statement does not count any more, UTC."""

    @property
    def text(self) -> str:
        """The canonical JSON of the statement: what an SSH key signs."""
        fields = self.model_dump(mode="json")
        if self.steps is None:
            del fields["steps"]
        return canonical_json(fields)

    @property
    def sha256(self) -> bytes:
        """The SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).digest()

    @property
    def challenge(self) -> bytes:
        """The nonce and the SHA-256 of the text: what a passkey signs."""
        return bytes.fromhex(self.nonce) + self.sha256


def moment(when: datetime) -> str:
    """Return a time as a statement writes it: UTC, to the second."""
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def statement(
    decision: str,
    message: Mapping[str, Any],
    *,
    namespace: str,
    subject: str,
    life: str,
    seal: str | None,
    nonce: str,
    expires: datetime,
) -> Statement:
    """Return the statement of a message.

    Args:
        decision: The name of the decision, which is that of its signal.
        message: The fields of the message, as JSON.
        namespace: The namespace of Temporal.
        subject: The workflow id of the plan, of its undo after the end, or of a gate.
        life: The life of that run.
        seal: The whole digest of the seal in force; None if there is none.
        nonce: The nonce.
        expires: The time from which it does not count, UTC.
    """
    amends = decision == "amend"
    steps, output = None if amends else message.get("steps"), message.get("output")
    return Statement(
        v=VERSION,
        namespace=namespace,
        **_subject(subject),
        run=life,
        # whoever stops something need not have seen the latest preview
        digest=None if decision == "lock" else seal,
        decision=decision,
        by=str(message["by"]),
        steps=None if steps is None else tuple(sorted(steps)),
        output=None if output is None else output_digest(output),
        amendment=amendment_digest(message) if amends else None,
        nonce=nonce,
        expires=moment(expires),
        **{
            name: message[name]
            for name in ("to_step", "step", "outcome", "scope", "withdrawn", "reason")
            if message.get(name)
        },
    )


def too_long(expires: datetime, given: datetime) -> str | None:
    """Return the reason why a signed decision was made to count for too long a time; None if it was not.

    Args:
        expires: The time until which it counts, UTC.
        given: The time at which it was given, UTC.
    """
    if expires - given <= MAX_VALID_FOR + _CLOCKS_APART:
        return None
    most = f"{MAX_VALID_FOR.days} days"
    return f"it was signed to count until {moment(expires)}, and {most} is the most: sign it again for {most} or less"


def untimely(expires: datetime, given: datetime, *, bounded: bool) -> str | None:
    """Return the reason why a signed decision does not count at a time; None if it does.

    Args:
        expires: The time until which it counts, UTC.
        given: The time at which it was given, UTC.
        bounded: True if it may count for a week at most.
    """
    if given >= expires:
        return f"it was signed to count until {moment(expires)}, and that is over: sign it again"
    return too_long(expires, given) if bounded else None


def output_digest(output: JsonValue) -> str:
    """Return what a statement says of the output that a settlement states."""
    return digest(output)


def amendment_digest(message: Mapping[str, Any]) -> str:
    """Return what a statement says of the content of an amendment; `message` has all of its fields, as JSON."""
    return digest({name: message[name] for name in ("steps", "remove", "whole")})


def _subject(workflow_id: str) -> dict[str, Any]:
    if workflow_id.startswith(PLAN_PREFIX):
        return {"plan": workflow_id.removeprefix(PLAN_PREFIX)}
    if workflow_id.startswith(UNDO_PREFIX):
        return {"undo": workflow_id.removeprefix(UNDO_PREFIX)}
    return {"gate": workflow_id}
