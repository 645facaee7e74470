"""The reason of a state for people: what a person wrote is told from what Airlock says."""

import json
from typing import Final

from airlock.base.names import RESERVED
from airlock.plans.state import Event
from airlock.run.audit import AuditKind
from airlock.run.state import Run

_IN_OWN_WORDS: Final = frozenset(
    {Event.DENIED, Event.LOCK, Event.UNLOCK, Event.ROLLBACK, Event.ABORT, Event.SETTLED_LIVE, Event.SETTLED_UNDO}
)
"""The moves whose reason is what a person wrote."""


def spoken(why: str, by: str) -> str:
    """Return a reason for people: a person's own words stand in quotes, with the name, and pass for no one else's."""
    return f"{json.dumps(by, ensure_ascii=False)} says: {json.dumps(why, ensure_ascii=False)}" if by else why


def whose_words(run: Run) -> str:
    """Return the person whose words are the reason of the state; empty where they are Airlock's own."""
    moved = next((entry for entry in reversed(run.audit) if entry.kind is AuditKind.TRANSITION), None)
    if moved is None or moved.reason != run.why:
        return ""
    by = moved.by if moved.what in _IN_OWN_WORDS else ""
    if moved.what == Event.COMPENSATED and run.rollback is not None and run.rollback.reason == run.why:
        by = run.rollback.by
    return "" if by.lower() in RESERVED else by
