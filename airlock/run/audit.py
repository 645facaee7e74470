"""The audit of a plan: its entries, as the run itself recorded them."""

from datetime import datetime
from enum import StrEnum

from airlock.base.model import WireModel

MAX_REFUSALS = 200
"""The most refused messages that a run keeps in full; beyond that it only counts them, so that junk cannot fill it."""
LATELY_REFUSED = 10
"""The number of latest refusals in the status."""


class AuditKind(StrEnum):
    """The kind of an entry."""

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
