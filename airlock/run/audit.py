"""The audit of a plan: its events, entry by entry, as the run itself recorded them."""

from datetime import datetime
from enum import StrEnum

from airlock.base.model import WireModel

MAX_REFUSALS = 200
"""Refusals that a run keeps in full. Further ones are only counted, so that a flood of junk cannot fill the run."""
LATELY_REFUSED = 10
"""Refusals that the status shows, the latest ones."""


class AuditKind(StrEnum):
    """The kind of an audit entry."""

    TRANSITION = "transition"
    DECISION = "decision"
    REFUSED = "refused"
    ADMISSION = "admission"
    CALL = "call"
    UNDO = "undo"
    DRIFT = "drift"
    CONFLICT = "conflict"


class AuditEntry(WireModel):
    """One event of a plan."""

    number: int
    at: datetime
    """UTC."""
    kind: AuditKind
    what: str
    """The event of that kind, for example the name of a signal or the kind of a conflict."""
    by: str = "airlock"
    """A person, an agent, or `airlock` itself."""
    reason: str = ""
    step: str | None = None
    from_state: str | None = None
    to_state: str | None = None
    digest: str | None = None
    answer: str | None = None
    """The answer to a conflict, or the settlement that a `resolve` named."""
