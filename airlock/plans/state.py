"""The states of a plan, and the one table of its transitions."""

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """The state of a plan."""

    MOCK = "MOCK"
    DRY_RUN = "DRY_RUN"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    LIVE = "LIVE"
    ROLLBACK = "ROLLBACK"
    ABORTED = "ABORTED"
    LOCKED = "LOCKED"
    COMPLETED = "COMPLETED"

    @property
    def closed(self) -> bool:
        """True if the plan accepts no further event."""
        return self in (State.ABORTED, State.COMPLETED)


class Event(StrEnum):
    """The events of a plan. The run itself finds those of the first group; people send those of the second."""

    REHEARSED = "rehearsed"
    PREVIEWED = "previewed"
    CAPPED = "capped"
    APPROVED = "approved"
    EXPIRED = "expired"
    CALLS_DONE = "calls_done"
    CALL_FAILED = "call_failed"
    CALL_FAILED_KEPT = "call_failed_kept"
    STALE = "stale"
    STALE_UNDO = "stale_undo"
    ENTRY_REFUSED = "entry_refused"
    CALL_IN_DOUBT = "call_in_doubt"
    COMPENSATED = "compensated"
    COMPENSATION_FAILED = "compensation_failed"

    DENIED = "denied"
    AMENDED = "amended"
    LOCK = "lock"
    UNLOCK = "unlock"
    ROLLBACK = "rollback"
    ABORT = "abort"
    SETTLED_LIVE = "settled_live"
    SETTLED_UNDO = "settled_undo"

    @property
    def meaning(self) -> str:
        """The event in a few words."""
        return _MEANING[self]


_MEANING: Final = {
    Event.REHEARSED: "every step was mocked",
    Event.PREVIEWED: "every step that may go further was previewed, and the result sealed",
    Event.CAPPED: "no step may go higher (max_mode, ceilings)",
    Event.APPROVED: "the quorum approved the seal",
    Event.EXPIRED: "the approval or the plan's deadline expired",
    Event.CALLS_DONE: "every approved call is live",
    Event.CALL_FAILED: "a call failed",
    Event.CALL_FAILED_KEPT: "a call failed and the policy does not roll back automatically",
    Event.STALE: "the previewed state has changed, an argument drifted, or the approval is too old: it is asked for again",
    Event.STALE_UNDO: "the previewed state has changed, and the policy rolls back in that case",
    Event.ENTRY_REFUSED: "the live worker did not find the approval good enough: the plan is admitted and approved again",
    Event.CALL_IN_DOUBT: "a call may or may not have taken effect",
    Event.COMPENSATED: "every call that can be undone is undone",
    Event.COMPENSATION_FAILED: "a compensation failed",
    Event.DENIED: "an approver denied",
    Event.AMENDED: "the requester or an approver replaced steps: what changed is rehearsed and approved again",
    Event.LOCK: "an operator or approver locked the plan",
    Event.UNLOCK: "an operator or approver unlocked the plan",
    Event.ROLLBACK: "an operator or approver asked for rollback",
    Event.ABORT: "an operator or approver aborted the plan, admission refused it, or a target could not be looked at",
    Event.SETTLED_LIVE: "calls in doubt were settled: they took effect",
    Event.SETTLED_UNDO: "a call in doubt had no effect, or a failed compensation was settled",
}

_OPEN: Final = tuple(state for state in State if not state.closed)

TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    (State.MOCK, Event.REHEARSED): State.DRY_RUN,
    (State.MOCK, Event.CAPPED): State.COMPLETED,
    (State.MOCK, Event.ABORT): State.ABORTED,
    (State.DRY_RUN, Event.PREVIEWED): State.AWAITING_APPROVAL,
    (State.DRY_RUN, Event.CAPPED): State.COMPLETED,
    (State.DRY_RUN, Event.ABORT): State.ABORTED,
    (State.AWAITING_APPROVAL, Event.APPROVED): State.LIVE,
    (State.AWAITING_APPROVAL, Event.DENIED): State.MOCK,
    (State.AWAITING_APPROVAL, Event.AMENDED): State.MOCK,
    (State.AWAITING_APPROVAL, Event.EXPIRED): State.MOCK,
    (State.AWAITING_APPROVAL, Event.ABORT): State.ABORTED,
    (State.LIVE, Event.CALLS_DONE): State.COMPLETED,
    (State.LIVE, Event.CALL_FAILED): State.ROLLBACK,
    (State.LIVE, Event.CALL_FAILED_KEPT): State.LOCKED,
    (State.LIVE, Event.ROLLBACK): State.ROLLBACK,
    (State.LIVE, Event.STALE): State.DRY_RUN,
    (State.LIVE, Event.STALE_UNDO): State.ROLLBACK,
    (State.LIVE, Event.ENTRY_REFUSED): State.MOCK,
    (State.LIVE, Event.CALL_IN_DOUBT): State.LOCKED,
    (State.ROLLBACK, Event.COMPENSATED): State.ABORTED,
    (State.ROLLBACK, Event.COMPENSATION_FAILED): State.LOCKED,
    (State.ROLLBACK, Event.STALE): State.DRY_RUN,
    (State.LOCKED, Event.UNLOCK): State.MOCK,
    (State.LOCKED, Event.ROLLBACK): State.ROLLBACK,
    (State.LOCKED, Event.ABORT): State.ABORTED,
    (State.LOCKED, Event.SETTLED_LIVE): State.LIVE,
    (State.LOCKED, Event.SETTLED_UNDO): State.ROLLBACK,
    **{(state, Event.LOCK): State.LOCKED for state in _OPEN},
}
"""The whole life of a plan. Any other pair is refused."""


def advance(state: State, event: Event) -> State | None:
    """Return the state after an event, or None if the state refuses the event."""
    return TRANSITIONS.get((state, event))


def possible(state: State) -> tuple[Event, ...]:
    """Return the events that a state accepts, in the order of `Event`."""
    return tuple(event for event in Event if (state, event) in TRANSITIONS)
