"""Database values as JSON: exact for the undo, plain for people and plans."""

import base64
import json
import math
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Self

import sqlalchemy as sa
from pydantic import JsonValue

from airlock.base.errors import ToolFailed

Row = dict[str, Any]
_ENDLESS = ("infinity", "-infinity")
"""Dates of a database that Python does not have."""


class DatabaseText(str):
    """A value in the database's own text, where Python has no exact value for it."""

    __slots__ = ("plain",)
    plain: JsonValue
    """The value as JSON."""

    def __new__(cls, text: str, *plain: JsonValue) -> Self:
        """Keep the text, and the value as JSON; without one, the text itself."""
        made = super().__new__(cls, text)
        made.plain = plain[0] if plain else text
        return made


_EXACT: dict[type, tuple[str, Callable[[Any], JsonValue], Callable[[Any], Any]]] = {
    DatabaseText: ("text", str, DatabaseText),
    bytes: ("bytes", lambda value: base64.b64encode(value).decode(), lambda text: base64.b64decode(text, validate=True)),
    Decimal: ("decimal", str, Decimal),
    datetime: ("datetime", datetime.isoformat, datetime.fromisoformat),
    date: ("date", date.isoformat, date.fromisoformat),
    time: ("time", time.isoformat, time.fromisoformat),
    timedelta: (
        "timedelta",
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda parts: timedelta(days=parts[0], seconds=parts[1], microseconds=parts[2]),
    ),
    uuid.UUID: ("uuid", str, uuid.UUID),
    float: ("float", repr, float),
    list: ("json", lambda value: value, lambda value: value),
    dict: ("json", lambda value: value, lambda value: value),
}
_DECODERS = {name: decode for name, _, decode in _EXACT.values()}


def exact(row: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Return a row as JSON from which `restored` returns equal values.

    Raises:
        ToolFailed: If JSON cannot represent a value exactly.
    """
    return {name: _exact(name, value) for name, value in row.items()}


def restored(row: Mapping[str, Any]) -> Row:
    """Return the row that `exact` was given."""
    return {
        name: _DECODERS[next(iter(value))](next(iter(value.values()))) if isinstance(value, dict) else value
        for name, value in row.items()
    }


def same(one: Row | None, other: Row | None) -> bool:
    """Return True if two rows have exactly the same values: 1.10 is not 1.1, and NaN is NaN."""
    if one is None or other is None:
        return one is other
    return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, datetime) and isinstance(other, datetime):
        return one == other  # kept by an earlier version, in another time zone
    if isinstance(one, DatabaseText) != isinstance(other, DatabaseText):
        return _plain(one) == _plain(other)  # kept by an earlier version, as Python's value
    return _exact("", one) == _exact("", other)


def plain(row: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Return a row as a person would write it: dates in ISO 8601, decimals as text, bytes as base64."""
    return {name: _plain(value) for name, value in row.items()}


def bound(table: sa.Table, row: Mapping[str, JsonValue], *, as_text: bool) -> Row:
    """Convert the values of a plan to those that the columns take.

    Args:
        table: The table with the columns.
        row: Values by column.
        as_text: True if the database stores values unchanged (SQLite); objects and lists become JSON text.

    Raises:
        ToolFailed: If a value does not have its column's type.
    """
    return {name: (_stored(value) if as_text else _typed(table.columns[name], value)) for name, value in row.items()}


def _whole(value: str | float) -> int:
    """Return a whole number; the database would round another one, and find another row by it."""
    if (number := int(value)) != value and not isinstance(value, str):
        raise ValueError(value)
    return number


def _exact(name: str, value: Any) -> JsonValue:
    if value is None or (isinstance(value, bool | int | str) and not isinstance(value, DatabaseText)):
        return value
    for kind, (tag, encode, _) in _EXACT.items():
        if isinstance(value, kind):
            return {tag: encode(value)}
    raise ToolFailed(f"column {name!r} holds a {type(value).__name__}, which cannot be kept for an undo")


def _plain(value: Any) -> JsonValue:
    if isinstance(value, DatabaseText):
        return value.plain
    if value is None or isinstance(value, bool | int | str | list | dict):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)


def _stored(value: JsonValue) -> Any:
    if isinstance(value, bool):
        return int(value)
    return json.dumps(value) if isinstance(value, list | dict) else value


def _typed(column: "sa.Column[Any]", value: JsonValue) -> Any:
    try:
        kind = column.type.python_type
    except NotImplementedError:
        return value
    try:
        if kind is Decimal and isinstance(value, str | int | float) and not isinstance(value, bool):
            return Decimal(str(value))
        if kind is int and isinstance(value, str | float):
            return _whole(value)
        if value in _ENDLESS and issubclass(kind, date):
            return value
        if isinstance(value, str) and kind in _EXACT and kind not in (float, list, dict, timedelta):
            return _EXACT[kind][2](value)
    except (ValueError, ArithmeticError) as error:
        raise ToolFailed(f"column {column.name!r} takes a {kind.__name__}, not {value!r}") from error
    return value
