"""Conflicts between steps and between plans: six kinds, four answers (DESIGN section 11)."""

import json
import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

from airlock.base.model import WireModel
from airlock.base.text import shorten
from airlock.plans.state import State

MAX_PER_KIND = 50
"""The most conflicts of one kind that a plan carries in full. Its steps show the changes of all others."""
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@:/+-]{0,199}")


class ConflictKind(StrEnum):
    """The kind of a conflict."""

    RESOURCE = "RESOURCE"
    ORDERING = "ORDERING"
    DUPLICATE_ACTION = "DUPLICATE_ACTION"
    RATE_LIMIT = "RATE_LIMIT"
    PERMISSION = "PERMISSION"
    TIMEOUT = "TIMEOUT"


class Answer(StrEnum):
    """The answer to a conflict: order the steps, move one, lower its ceiling, or leave it out."""

    DELAY = "DELAY"
    REASSIGN = "REASSIGN"
    DOWNGRADE = "DOWNGRADE"
    ABORT = "ABORT"


class Conflict(WireModel):
    """One conflict and its answer."""

    kind: ConflictKind
    answer: Answer
    steps: tuple[str, ...]
    detail: str
    """A sentence for the approver."""
    other: str | None = None
    """The workflow id of the other plan, for a conflict between plans."""


def conflict(kind: ConflictKind, answer: Answer, steps: Sequence[str], detail: str, other: str | None = None) -> Conflict:
    """Return a conflict whose sentence is one line of bounded length."""
    return Conflict(kind=kind, answer=answer, steps=tuple(steps), detail=shorten(detail), other=other)


def bounded(conflicts: Iterable[Conflict]) -> tuple[Conflict, ...]:
    """Return at most `MAX_PER_KIND` conflicts of each kind, in their order; one more entry counts the others."""
    kept: list[Conflict] = []
    rest: dict[tuple[ConflictKind, Answer], int] = {}
    number: dict[ConflictKind, int] = {}
    for found in conflicts:
        number[found.kind] = number.get(found.kind, 0) + 1
        if number[found.kind] <= MAX_PER_KIND:
            kept.append(found)
        else:
            rest[found.kind, found.answer] = rest.get((found.kind, found.answer), 0) + 1
    more = [conflict(kind, answer, (), f"{count} more like these") for (kind, answer), count in sorted(rest.items())]
    return (*kept, *more)


def with_another_plan(step: str, resource: str, other: str, state: State | None) -> Conflict:
    """Return the conflict with another open plan that touches the same resource; the gate admits one plan at a time.

    Args:
        step: The step of this plan.
        resource: The resource that both plans touch.
        other: The workflow id of the other plan.
        state: The state of the other plan, or None if it is not known.
    """
    does = _DOES.get(state, "is open and touches") if state else "is open and touches"
    detail = f"another plan, {quoted(other)}, {does} {quoted(resource)}"
    return conflict(ConflictKind.RESOURCE, Answer.DELAY, (step,), detail, other)


_DOES = {
    State.MOCK: "is being rehearsed with",
    State.DRY_RUN: "is being rehearsed with",
    State.AWAITING_APPROVAL: "awaits approval for",
    State.LIVE: "is live with",
    State.ROLLBACK: "is being rolled back and touches",
    State.LOCKED: "is locked and touches",
}


def quoted(name: str) -> str:
    """Return a plain word unchanged, any other name as a quoted ASCII string: a name must not read like a sentence."""
    return name if _PLAIN.fullmatch(name) else json.dumps(name, ensure_ascii=True)
