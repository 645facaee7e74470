"""The decision by which a person locked a plan: whose word it was, and whether it was signed."""

from collections.abc import Sequence

from airlock.plans.state import Event, State
from airlock.run.audit import AuditEntry, AuditKind


def lock_decision(state: State, entries: Sequence[AuditEntry]) -> AuditEntry | None:
    """Return the decision of the person who locked a plan; None if it is not locked, or by no person.

    Args:
        state: The state of the plan.
        entries: Its audit, oldest entry first.
    """
    if state is not State.LOCKED:
        return None
    locked = (each for each in reversed(entries) if each.kind is AuditKind.TRANSITION and each.to_state == State.LOCKED)
    last = next(locked, None)
    if last is None or last.what != Event.LOCK:
        return None
    made = (each for each in reversed(entries) if each.kind is AuditKind.DECISION and each.number < last.number)
    return next((each for each in made if (each.what, each.by) == (last.what, last.by)), None)
