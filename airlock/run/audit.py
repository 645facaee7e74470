"""What happened to a plan, entry by entry, as the run itself recorded it."""

from datetime import datetime
from enum import StrEnum

from airlock.base.model import WireModel

MAX_REFUSALS = 200
"""How many refused messages a run keeps in full; beyond that it only counts them, so that junk cannot fill it."""
LATELY_REFUSED = 10
"""How many of the last refusals the status shows."""


class AuditKind(StrEnum):
    """What an entry tells."""

    TRANSITION = "transition"
    DECISION = "decision"
    REFUSED = "refused"
    ADMISSION = "admission"
    CALL = "call"
    UNDO = "undo"
    DRIFT = "drift"
    CONFLICT = "conflict"


class AuditEntry(WireModel):
    """One thing that happened. `at` is UTC; `by` is a person, an agent or `airlock` itself.

    Of a conflict `what` is its kind and `answer` what was done about it; of a `resolve` it is the settlement that was said.
    """

    number: int
    at: datetime
    kind: AuditKind
    what: str
    by: str = "airlock"
    reason: str = ""
    step: str | None = None
    from_state: str | None = None
    to_state: str | None = None
    digest: str | None = None
    answer: str | None = None
