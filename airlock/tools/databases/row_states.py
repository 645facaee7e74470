"""The changes and states of rows that the dry runs of one plan hand from step to step."""

import re
from typing import Any

import sqlalchemy as sa
from pydantic import JsonValue

from airlock.base.canonical import canonical_json
from airlock.plans.own_steps import Earlier, Left
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool_call import ToolCall

MAX_REPEATED = 100
"""The most changes of earlier steps that one dry run repeats."""
_CHANGE = "change"
_ROW, _INSERTED = "row:", "inserted:"
_CONSTANT = re.compile(r"[\s(]*([-+]?\d+(\.\d+)?|'([^']|'')*'|null|true|false)(::[\w\s\"()\[\].]+)?[\s)]*", re.IGNORECASE)
"""A default that gives each row the same value, as databases write it."""


def row_name(table: str, key: JsonValue) -> str:
    """Return the name of one row, by its primary key."""
    return f"{_ROW}{table}/{canonical_json(key)}"


def inserted_name(table: str, step: str) -> str:
    """Return the name of a row whose key only the live call of the step that inserts it will know."""
    return f"{_INSERTED}{table}/{step}"


def set_left(call: ToolCall, state: JsonValue) -> None:
    """Tell later steps in which state a live call leaves its row; they may know it by either name."""
    for name in call.wanted:
        if name.startswith((_ROW, _INSERTED)):  # a call changes one row
            call.leaves[name] = state


def unforeseen_columns(table: sa.Table, given: JsonValue) -> frozenset[str]:
    """Return the columns to which the database gives another value each time a row is inserted with the given ones."""
    row = given if isinstance(given, dict) else {}
    return frozenset(column.name for column in table.columns if row.get(column.name) is None and _varies(table, column))


def _varies(table: sa.Table, column: "sa.Column[Any]") -> bool:
    default = getattr(column.server_default, "arg", None)
    varies = default is not None and not _CONSTANT.fullmatch(str(default))
    return varies or column.identity is not None or column is table.autoincrement_column


def foreseen_state(told: JsonValue, found: JsonValue) -> JsonValue:
    """Return the state that a call will find, as far as two trials agree on it; the rest only the live call will know."""
    if not isinstance(told, dict) or not isinstance(found, dict) or told.keys() != found.keys():
        return UNKNOWN
    return {name: value if found[name] == value else UNKNOWN for name, value in told.items()}


def known_change(call: ToolCall, change: JsonValue) -> dict[str, Left]:
    """Return what a dry run says of its change, for those that repeat it."""
    return {f"{_CHANGE}:{call.step_id}": Left(seen=None, content=change)}


def unknown_change(call: ToolCall) -> dict[str, Left]:
    """Return what a dry run says of a change that only the live run will know."""
    return {f"{_CHANGE}:{call.step_id}": Left(seen=UNKNOWN)}


def earlier_changes(call: ToolCall) -> list[Earlier]:
    """Return the changes of all earlier steps in their order; none if one of them is not known, or if they are too many."""
    found = call.earlier_all(_CHANGE)
    unknown = any(each.seen == UNKNOWN for each in found)
    return [] if unknown or len(found) > MAX_REPEATED else list(found)
