"""Seals of a plan as the export reads them, and the messages that decided about them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pydantic import Field, JsonValue

from airlock.base.canonical import bounded_json
from airlock.base.model import WireModel
from airlock.run.audit import AuditEntry
from airlock.run.sealing.seal_record import SealRecord

DECISIONS: Final = ("approve", "deny")
"""Names of the decisions about a seal."""
MAX_MESSAGE = 400_000
"""Largest message that is exported, in characters of JSON: an approval that names 5,000 steps fits."""


class StoredMessage(WireModel):
    """Approval or denial as its sender wrote it and Temporal stored it."""

    at: datetime
    """Time of the event in the history, UTC."""
    content: JsonValue = None
    left_out: str = ""
    """Reason why `content` is not exported; empty if it is."""


class TracedEntry(WireModel):
    """Audit entry with the history event that caused it: a signal, an update or the result of an activity."""

    entry: AuditEntry
    run_id: str
    """Temporal run of the event."""
    event_id: int
    """Number of the event in the history of that run."""
    stored: StoredMessage | None = None
    """Message of the event, if it is an approval or a denial."""


class SealTrace(WireModel):
    """One seal of a plan, as its run or its histories tell it."""

    digest: str
    sealed_at: datetime | None = None
    """UTC."""
    content: dict[str, JsonValue] | None = None
    """Everything that the digest is made of; None if Temporal does not tell it any more."""
    policy: dict[str, JsonValue] | None = None
    contracts: dict[str, dict[str, JsonValue]] = Field(default_factory=dict)
    """Contracts of the steps, by their digest."""
    replaced: str | None = None
    """Reason why another seal took its place; None for the last one."""


def stored_message(name: str, content: Any, at: datetime) -> StoredMessage:
    """Return a message as it can be exported: any client may send anything.

    Args:
        name: The decision.
        content: The object that was sent, as plain JSON; None if it could not be decoded.
        at: The time of the event, UTC.
    """
    try:
        size = len(bounded_json(content))
    except (TypeError, ValueError) as error:
        return StoredMessage(at=at, left_out=f"this {name} cannot be written as JSON: {error}")
    if size > MAX_MESSAGE:
        return StoredMessage(at=at, left_out=f"this {name} has {size:,} characters, more than {MAX_MESSAGE:,}")
    return StoredMessage(at=at, content=content)


def seal_trace(record: SealRecord, replaced: str | None = None) -> SealTrace:
    """Return a seal as the export reads it: its content is exactly what the digest is made of."""
    return SealTrace(
        digest=record.digest,
        sealed_at=record.sealed_at,
        content=record.sealed.model_dump(mode="json", exclude_defaults=True),
        policy=None if record.policy is None else record.policy.model_dump(mode="json"),
        contracts={
            name: contract.model_dump(mode="json", exclude={"fenced"}) for name, contract in record.contracts.items()
        },
        replaced=replaced,
    )


def seals_in_order(
    records: Mapping[str, SealRecord], entries: tuple[AuditEntry, ...], replaced: Mapping[str, str], current: str | None
) -> tuple[SealTrace, ...]:
    """Return every seal that a plan is known to have had, oldest first.

    Args:
        records: The seals that the runs told, by digest.
        entries: The audit of the plan; it names digests.
        replaced: The reason of each replaced seal, by digest, oldest first.
        current: The digest of the last seal; None without one.
    """
    named = [entry.digest for entry in entries if entry.digest is not None]
    later = [*replaced, *([current] if current is not None else [])]
    order = dict.fromkeys([*(digest for digest in named if digest not in later), *later])
    return tuple(
        seal_trace(records[digest], replaced.get(digest))
        if digest in records
        else SealTrace(digest=digest, replaced=replaced.get(digest))
        for digest in order
    )
