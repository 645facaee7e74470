"""The record of one step's live call, and the one table of the events that may change its status."""

from enum import StrEnum
from typing import Any, Final

from pydantic import Field, JsonValue

from airlock.base.model import WireModel, is_empty
from airlock.plans.outcome import EarlyRead


class CallStatus(StrEnum):
    """The status of a step's live call."""

    LIVE = "live"
    FAILED = "failed"
    FAILED_BEFORE = "failed_before"
    IN_DOUBT = "in_doubt"
    UNDO_FAILED = "undo_failed"
    UNDONE = "undone"
    KEPT = "kept"
    DUPLICATE = "duplicate"

    @property
    def meaning(self) -> str:
        """The status in a few words."""
        return _STATUS_MEANING[self]


_STATUS_MEANING: Final = {
    CallStatus.LIVE: "the call took effect, and the effect stands",
    CallStatus.FAILED: "the call did not take effect as a whole; a compensation may be needed for its first part",
    CallStatus.FAILED_BEFORE: "the call failed, and an unlock since allows another attempt",
    CallStatus.IN_DOUBT: "the call may have taken effect; a probe or a human must settle it",
    CallStatus.UNDO_FAILED: "the compensation failed; a human must settle it",
    CallStatus.UNDONE: "the call was compensated",
    CallStatus.KEPT: "a rollback keeps the call: it is irreversible, or a human skipped its compensation",
    CallStatus.DUPLICATE: "the call was not made: another plan made, or may have made, the same call",
}


class CallEvent(StrEnum):
    """An event in the life of a step's live call: first those of the run and its tools, then those of a human."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    DUPLICATE = "duplicate"
    PROBE_HAPPENED = "probe_happened"
    PROBE_DID_NOT_HAPPEN = "probe_did_not_happen"
    PROBE_CANNOT_TELL = "probe_cannot_tell"
    UNDONE = "undone"
    UNDO_FAILED = "undo_failed"
    KEPT = "kept"
    FOUND_UNDONE = "found_undone"
    REHEARSAL = "rehearsal"

    UNLOCK = "unlock"
    HAPPENED = "happened"
    DID_NOT_HAPPEN = "did_not_happen"
    RETRY = "retry"
    RETRY_FAILED = "retry_failed"
    SKIP = "skip"
    COMPENSATED = "compensated"

    @property
    def meaning(self) -> str:
        """The event in a few words."""
        return _EVENT_MEANING[self]


_EVENT_MEANING: Final = {
    CallEvent.SUCCEEDED: "a worker answered that the call took effect",
    CallEvent.FAILED: "a worker answered that the call failed",
    CallEvent.IN_DOUBT: "the answer was lost, or the tool cannot say whether the call took effect",
    CallEvent.DUPLICATE: "another plan has claimed the same call",
    CallEvent.PROBE_HAPPENED: "the tool's probe found that the call took effect",
    CallEvent.PROBE_DID_NOT_HAPPEN: "the tool's probe found that the call did not take effect",
    CallEvent.PROBE_CANNOT_TELL: "the tool's probe could not tell, or its no is not certain to last",
    CallEvent.UNDONE: "the compensation succeeded",
    CallEvent.UNDO_FAILED: "the compensation failed",
    CallEvent.KEPT: "a rollback reached a call that is irreversible",
    CallEvent.FOUND_UNDONE: "the history of an ended run shows that the compensation succeeded",
    CallEvent.REHEARSAL: "the plan is rehearsed again, and admission looks for the other plan's call again",
    CallEvent.UNLOCK: "a human unlocked the plan, so that the call may be approved again",
    CallEvent.HAPPENED: "a human settled that the call took effect",
    CallEvent.DID_NOT_HAPPEN: "a human settled that the call did not take effect",
    CallEvent.RETRY: "a human asked for the compensation again",
    CallEvent.RETRY_FAILED: "a human asked again for the compensation of a call that had failed",
    CallEvent.SKIP: "a human gave up on the compensation, or on settling the call during a rollback",
    CallEvent.COMPENSATED: "a human compensated the call by hand",
}

PROBE_EVENTS: Final = (CallEvent.PROBE_HAPPENED, CallEvent.PROBE_DID_NOT_HAPPEN, CallEvent.PROBE_CANNOT_TELL)

_CALLABLE: Final = (
    None,
    CallStatus.FAILED,  # only the history of an ended run tells more about a call that failed
    CallStatus.FAILED_BEFORE,
    CallStatus.UNDONE,
    CallStatus.KEPT,  # a failed call whose compensation was skipped may be approved again
    CallStatus.DUPLICATE,  # only the history of an ended run tells of a call that this run left out
)
_COMPENSABLE: Final = (CallStatus.LIVE, CallStatus.FAILED, CallStatus.FAILED_BEFORE)

CALL_TRANSITIONS: Final[dict[tuple[CallStatus | None, CallEvent], CallStatus | None]] = {
    **{(status, CallEvent.SUCCEEDED): CallStatus.LIVE for status in _CALLABLE},
    **{(status, CallEvent.FAILED): CallStatus.FAILED for status in _CALLABLE},
    **{(status, CallEvent.IN_DOUBT): CallStatus.IN_DOUBT for status in _CALLABLE},
    (None, CallEvent.DUPLICATE): CallStatus.DUPLICATE,
    (CallStatus.FAILED_BEFORE, CallEvent.DUPLICATE): CallStatus.DUPLICATE,
    (CallStatus.UNDONE, CallEvent.DUPLICATE): CallStatus.DUPLICATE,
    (CallStatus.KEPT, CallEvent.DUPLICATE): CallStatus.DUPLICATE,
    (CallStatus.DUPLICATE, CallEvent.DUPLICATE): CallStatus.DUPLICATE,
    (CallStatus.DUPLICATE, CallEvent.REHEARSAL): None,
    (CallStatus.IN_DOUBT, CallEvent.PROBE_HAPPENED): CallStatus.LIVE,
    (CallStatus.IN_DOUBT, CallEvent.PROBE_DID_NOT_HAPPEN): CallStatus.FAILED,
    (CallStatus.IN_DOUBT, CallEvent.PROBE_CANNOT_TELL): CallStatus.IN_DOUBT,
    (CallStatus.IN_DOUBT, CallEvent.HAPPENED): CallStatus.LIVE,
    (CallStatus.IN_DOUBT, CallEvent.DID_NOT_HAPPEN): CallStatus.FAILED,
    (CallStatus.IN_DOUBT, CallEvent.SKIP): CallStatus.KEPT,
    (CallStatus.FAILED, CallEvent.UNLOCK): CallStatus.FAILED_BEFORE,
    **{(status, CallEvent.UNDONE): CallStatus.UNDONE for status in _COMPENSABLE},
    **{(status, CallEvent.UNDO_FAILED): CallStatus.UNDO_FAILED for status in _COMPENSABLE},
    (CallStatus.LIVE, CallEvent.KEPT): CallStatus.KEPT,
    (CallStatus.UNDO_FAILED, CallEvent.RETRY): CallStatus.LIVE,
    (CallStatus.UNDO_FAILED, CallEvent.RETRY_FAILED): CallStatus.FAILED,
    (CallStatus.UNDO_FAILED, CallEvent.SKIP): CallStatus.KEPT,
    (CallStatus.UNDO_FAILED, CallEvent.COMPENSATED): CallStatus.UNDONE,
    (CallStatus.KEPT, CallEvent.RETRY): CallStatus.LIVE,
    (CallStatus.KEPT, CallEvent.RETRY_FAILED): CallStatus.FAILED,
    **{(status, CallEvent.FOUND_UNDONE): CallStatus.UNDONE for status in CallStatus},
}
"""The whole life of a call; None is the status of a step without a call. A pair that is missing here is refused."""


def is_possible(status: CallStatus | None, event: CallEvent) -> bool:
    """Return True if the table has this event for a call in this status; None is a step without a call."""
    return (status, event) in CALL_TRANSITIONS


def possible_events(status: CallStatus | None) -> tuple[CallEvent, ...]:
    """Return the events that the table has for a status, in the order of `CallEvent`."""
    return tuple(event for event in CallEvent if is_possible(status, event))


class CallRecord(WireModel):
    """The record of one step's live call."""

    status: CallStatus
    """Changes by `changed` only."""
    number: int = 0
    """The place of this call in the order in which the run's calls ended."""
    undo: JsonValue = None
    """The undo token that the call left, if any."""
    error: str = ""
    attempt: int = 1
    undone: int = 0
    """The number of times that the step's call was compensated."""
    failed: bool = False
    """True if the call certainly did not take effect as a whole, whatever its status is now."""
    drift: tuple[str, ...] = ()
    """The arguments that differed from the preview."""
    matched: bool | None = None
    """True if the output is the one that the preview predicted; None without a prediction."""
    seconds: float = 0.0
    """The duration of the last attempt; 0 where it is unknown."""
    broken: bool = False
    """True if the call took effect but its output cannot be used."""
    running: bool = False
    """True if the call's code may still be running."""
    token_lost: bool = False
    """True if the call may have left an undo token that was lost with its worker."""
    lost: bool = False
    """True if an attempt was lost with its worker, which may only be frozen, or if its target may still be at it."""
    receipt: str = Field(default="", exclude_if=is_empty)
    """Proof of the live role that the call returned its output."""
    leaves: dict[str, JsonValue] = Field(default_factory=dict, exclude_if=is_empty)
    """The states that the call left and that later calls still compare with, by name; see `outputs.keep_left`."""
    left_receipt: str = Field(default="", exclude_if=is_empty)
    """Proof of the live role that the call left them."""
    probed: bool = False
    """True if the tool's probe was asked about the call and could not settle it."""
    settled: bool = Field(default=False, exclude_if=is_empty)
    """True if a message says that the call has no effect any more; nothing shows who sent it."""
    read: EarlyRead | None = Field(default=None, exclude_if=is_empty)
    """Set if the call was made before the preview."""
    follows: tuple[str, ...] = Field(default=(), exclude_if=is_empty)
    """The steps whose changes this call was made on; filled for an undo after the end."""


_NEW_CALL: Final = (CallEvent.SUCCEEDED, CallEvent.FAILED, CallEvent.IN_DOUBT, CallEvent.DUPLICATE)


def changed(record: CallRecord | None, event: CallEvent, **fields: Any) -> CallRecord | None:
    """Return the record of a call after an event; None once the step has no call any more.

    An event that ends a new call starts a new record. Every other event keeps the fields that it does not change.

    Args:
        record: The record before the event; None if the step has no call.
        event: The event.
        fields: The fields of the record that the event changes, besides its status.

    Raises:
        RuntimeError: If the table does not have the event for this status; a mistake of the caller.
    """
    before = record.status if record else None
    if not is_possible(before, event):
        raise RuntimeError(f"{event.value} is not possible for a call that is {before or 'not made'}")
    status = CALL_TRANSITIONS[before, event]
    if status is None:
        return None
    if record is None or event in _NEW_CALL:
        return CallRecord(status=status, **fields)
    return record.model_copy(update={"status": status, **fields})
