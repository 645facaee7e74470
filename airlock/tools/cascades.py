"""Rows that the database would delete or change together with a deleted row; an undo could not restore them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from airlock.base.errors import ToolFailed
from airlock.tools.database import stores_text
from airlock.tools.values import Row

ACTIONS = ("CASCADE", "SET NULL", "SET DEFAULT")


class Dependent(NamedTuple):
    """A foreign key with an action on delete."""

    table: str
    """The table that has the key."""
    columns: dict[str, str]
    """The columns of the key, by the columns that they refer to."""
    action: str


def refuse_cascade(connection: sa.Connection, table: sa.Table, row: Row) -> None:
    """Refuse to delete a row if the database would delete or change other rows with it.

    Raises:
        ToolFailed: If there are such rows; the message names their table.
    """
    for other, columns, action in _dependents(connection, table):
        child = sa.table(other, *(sa.column(name) for name in columns.values()))
        same = [child.c[name] == row[referred] for referred, name in columns.items()]
        if connection.execute(sa.select(sa.exists().where(sa.and_(sa.true(), *same)))).scalar():
            raise ToolFailed(
                f"rows of {other!r} would be deleted or changed with it (ON DELETE {action}): delete or change them first"
            )


def _dependents(connection: sa.Connection, table: sa.Table) -> Iterator[Dependent]:
    inspector = sa.inspect(connection)
    keys = [column.name for column in table.primary_key.columns]
    if stores_text(connection):
        for other in inspector.get_table_names():
            yield from _of_sqlite(connection, other, table.name, keys)
        return
    for (_, other), foreign in inspector.get_multi_foreign_keys().items():
        for key in foreign:
            action = str(key["options"].get("ondelete") or "").upper()
            if key["referred_table"] == table.name and action in ACTIONS:
                referred = key["referred_columns"] or keys
                yield Dependent(other, dict(zip(referred, key["constrained_columns"], strict=True)), action)


def _of_sqlite(connection: sa.Connection, other: str, referred: str, keys: list[str]) -> Iterator[Dependent]:
    # reflection omits the ON DELETE of a column's own REFERENCES clause
    listed = sa.func.pragma_foreign_key_list(other).table_valued("id", "seq", "table", "from", "to", "on_delete")
    found: dict[int, list[Any]] = {}
    for part in connection.execute(sa.select(listed).order_by(listed.c.id, listed.c.seq)).mappings():
        if part["table"].casefold() == referred.casefold() and part["on_delete"] in ACTIONS:
            found.setdefault(part["id"], []).append(part)
    for parts in found.values():
        columns = {part["to"] or keys[part["seq"]]: part["from"] for part in parts}
        yield Dependent(other, columns, parts[0]["on_delete"])
