"""Conflicts between steps and between plans: six kinds, four answers (DESIGN section 11)."""

from enum import StrEnum

from airlock.model import WireModel


class ConflictKind(StrEnum):
    """What is in the way."""

    RESOURCE = "RESOURCE"
    ORDERING = "ORDERING"
    DUPLICATE_ACTION = "DUPLICATE_ACTION"
    RATE_LIMIT = "RATE_LIMIT"
    PERMISSION = "PERMISSION"
    TIMEOUT = "TIMEOUT"


class Answer(StrEnum):
    """What is done about it: order the steps, move one, lower its ceiling, or leave it out."""

    DELAY = "DELAY"
    REASSIGN = "REASSIGN"
    DOWNGRADE = "DOWNGRADE"
    ABORT = "ABORT"


class Conflict(WireModel):
    """One conflict and its answer. `detail` is a sentence for the approver; `other` the other plan, if it is one."""

    kind: ConflictKind
    answer: Answer
    steps: tuple[str, ...]
    detail: str
    other: str | None = None
