"""Column types of PostgreSQL for an exact undo: what Python would round is read and written in the database's own text."""

import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator, TypeEngine

from airlock.tools.values import DatabaseText

_EXACT_IN_PYTHON = (
    sa.Boolean, sa.Integer, sa.Numeric, sa.Float, sa.String, sa.Uuid, sa.LargeBinary, sa.types.NullType,
)  # fmt: skip
"""Types with exact values in Python. A type that SQLAlchemy does not know is text in the driver already."""
_MOMENTS: dict[type[TypeEngine[Any]], type[date] | type[time]] = {sa.DateTime: datetime, sa.Date: date, sa.Time: time}


def keep_exact(_inspector: Any, _table: Any, column: dict[str, Any]) -> None:
    """Replace the type of a reflected column if Python has no exact values for it: a listener for `column_reflect`."""
    column["type"] = exact_type(column["type"])


def exact_type(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return a type that reads and writes values exactly."""
    while isinstance(kind, postgresql.DOMAIN):
        kind = kind.data_type
    for base, python in _MOMENTS.items():
        if isinstance(kind, base):
            return _Moment(kind, python)
    return kind if isinstance(kind, _EXACT_IN_PYTHON) else _Text(kind)


class _Text(TypeDecorator[Any]):
    """The database's own text of a value, beside the value as JSON for people and plans."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, kind: TypeEngine[Any]) -> None:
        super().__init__()
        self.kind = kind

    def column_expression(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        raw = sa.type_coerce(column, sa.types.NullType())
        # json_build_object would make an object of NULL too; it keeps every digit of a number, and each key of a json
        both = sa.func.json_build_object(
            sa.literal_column("'text'"), sa.cast(raw, sa.Text), sa.literal_column("'plain'"), raw
        )
        return sa.type_coerce(sa.case((raw.is_not(None), sa.cast(both, sa.Text))), self)

    def process_result_value(self, value: str | None, _dialect: sa.Dialect) -> DatabaseText | None:
        if value is None:
            return None
        both = json.loads(value, parse_float=_number)
        return DatabaseText(both["text"], both["plain"])

    def process_bind_param(self, value: Any, _dialect: sa.Dialect) -> str | None:
        if value is None or isinstance(value, DatabaseText):
            return value
        return json.dumps(value) if isinstance(self.kind, sa.JSON) else _as_text(value)

    def bind_expression(self, bindvalue: sa.BindParameter[Any]) -> sa.ColumnElement[Any]:
        return sa.cast(bindvalue, self.kind)

    @property
    def python_type(self) -> type[Any]:
        raise NotImplementedError  # the database judges the values of a plan


class _Moment(TypeDecorator[Any]):
    """A date or time of Python; as the database's text where it is beyond those, such as `infinity` or `24:00:00`."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, kind: TypeEngine[Any], python: type[date] | type[time]) -> None:
        super().__init__()
        self.kind = kind
        self.python = python

    def column_expression(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        # as JSON it is ISO 8601, whatever style of dates the role has
        raw = sa.type_coerce(column, sa.types.NullType())
        return sa.type_coerce(sa.func.to_jsonb(raw).op("#>>")(sa.literal_column("'{}'")), self)

    def process_result_value(self, value: str | None, _dialect: sa.Dialect) -> Any:
        if value is None:
            return None
        try:
            read: Callable[[str], Any] = self.python.fromisoformat
            found = DatabaseText(value) if value.startswith("24:") else read(value)
            # one form for all workers, whatever time zone their roles have
            return found.astimezone(UTC) if isinstance(found, datetime) and found.tzinfo else found
        except (ValueError, OverflowError):
            return DatabaseText(value)

    def process_bind_param(self, value: Any, _dialect: sa.Dialect) -> str | None:
        return None if value is None else _as_text(value)

    def bind_expression(self, bindvalue: sa.BindParameter[Any]) -> sa.ColumnElement[Any]:
        return sa.cast(bindvalue, self.kind)

    @property
    def python_type(self) -> type[Any]:
        return self.python


def _number(text: str) -> float | str:
    return number if math.isfinite(number := float(text)) else text


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return _array(value)
    if isinstance(value, timedelta):
        return f"{value.days} days {value.seconds}.{value.microseconds:06d} seconds"
    if isinstance(value, date | time):
        return value.isoformat()
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _array(values: list[Any]) -> str:
    """Return a list as an array literal of PostgreSQL."""
    return "{" + ",".join(_element(value) for value in values) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return _array(value)
    text = _as_text(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
