"""Decisions of people that a run keeps: the votes for its seal, the lock that stops it, the rollback that it carries out."""

from datetime import datetime

from pydantic import JsonValue

from airlock.base.model import WireModel
from airlock.plans.state import State
from airlock.run.messages import Approve


class Vote(WireModel):
    """One approver's accepted approval."""

    approval: Approve
    at: datetime


class Voice(WireModel):
    """A decision other than an approval that waits for another person to decide the same."""

    name: str
    message: dict[str, JsonValue]
    """The message, as JSON."""
    at: datetime
    moves: int
    """The moves of the run: once it has left its state, the voice counts no more."""


class LockHeld(WireModel):
    """A lock of a plan. `unlock`, `rollback` and `abort` lift it; settling a parked step does not."""

    by: str
    reason: str
    gate: bool = False
    """True if the lock came with a lock of the live gate, and is lifted with it."""
    came_from: State | None = None
    """The state that the lock stopped."""


class RollbackRequest(WireModel):
    """The request that a rollback carries out."""

    by: str
    reason: str
    to_step: str | None = None
    """The step to go back to, with everything after or depending on it; None for the whole plan."""
