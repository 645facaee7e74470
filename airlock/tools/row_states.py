"""The changes of rows that the dry runs of one plan hand from step to step, so that a later one can repeat them."""

from typing import Any

from pydantic import JsonValue

from airlock.base.canonical import canonical_json
from airlock.plans.own_steps import Left
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import ToolCall

MAX_REPEATED = 100
"""The most changes of earlier steps that one dry run repeats."""
_CHANGE = "change"


def row_name(table: str, key: JsonValue) -> str:
    """Return the name of one row, by its primary key."""
    return f"row:{table}/{canonical_json(key)}"


def known_change(call: ToolCall, change: JsonValue) -> dict[str, Left]:
    """Return what a dry run says of its change, for those that repeat it."""
    return {f"{_CHANGE}:{call.step_id}": Left(seen=None, content=change)}


def unknown_change(call: ToolCall) -> dict[str, Left]:
    """Return what a dry run says of a change that only the live run will know."""
    return {f"{_CHANGE}:{call.step_id}": Left(seen=UNKNOWN)}


def earlier_changes(call: ToolCall) -> list[Any]:
    """Return the changes of all earlier steps in their order; none if one of them is not known, or if they are too many."""
    found = call.earlier_all(_CHANGE)
    unknown = any(each.seen == UNKNOWN for each in found)
    return [] if unknown or len(found) > MAX_REPEATED else [each.content for each in found]


def agrees(call: ToolCall, name: str, observed: JsonValue) -> bool:
    """Return True if a row was found as the earlier step that changed it left it, and record that step.

    A row that comes out otherwise each time, by a clock or a sequence, cannot be foreseen.
    """
    earlier = call.look_before(name)
    if earlier is None or earlier.seen is None:  # no earlier step changed it, or one deleted it and this one inserts it
        return True
    return bool(earlier.seen == observed) and call.earlier(name) is not None
