"""The record of one step's live call."""

from enum import StrEnum

from pydantic import JsonValue

from airlock.base.model import WireModel


class CallStatus(StrEnum):
    """What became of a step's live call. `failed_before`: it failed, and an unlock since lets it be tried again.

    `duplicate`: it was not made, because another call like it was, or may have been.
    """

    LIVE = "live"
    FAILED = "failed"
    FAILED_BEFORE = "failed_before"
    IN_DOUBT = "in_doubt"
    UNDO_FAILED = "undo_failed"
    UNDONE = "undone"
    KEPT = "kept"
    DUPLICATE = "duplicate"


class CallRecord(WireModel):
    """One step's live call. `number` gives the order in which calls ended; `undone` counts how often it was taken back.

    `failed` says that the call certainly did not take effect as a whole, whatever became of it since; `broken` that it took
    effect, but what it returned cannot be used; `running` that its code may still be running; `token_lost` that its undo
    token went down with its worker; `probed` that its tool was asked about it and could not tell.
    """

    status: CallStatus
    number: int = 0
    undo: JsonValue = None
    error: str = ""
    attempt: int = 1
    undone: int = 0
    failed: bool = False
    drift: tuple[str, ...] = ()
    matched: bool | None = None
    seconds: float = 0.0
    broken: bool = False
    running: bool = False
    token_lost: bool = False
    probed: bool = False
    receipt: str = ""
    """The live role's own proof of what the call returned."""
    made: str = ""
    """The live role's own proof that it made the call, for its compensation."""
    attempts_begun: int = 0
    """How many attempts were begun in all stays, so that the fence of a later one is higher."""
    probed_no: bool = False
    """That the probe said it did not happen, of a target that cannot keep a late attempt out: this settles nothing."""
