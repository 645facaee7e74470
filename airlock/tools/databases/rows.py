"""Changes of one row with an exact undo; each function works inside the caller's transaction."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from pydantic import JsonValue
from sqlalchemy.ext.compiler import compiles

from airlock.base.canonical import digest
from airlock.base.errors import Stale, ToolFailed
from airlock.plans.refs import UNKNOWN, contains_unknown
from airlock.tools.databases.database import equal_to, known_columns, locked, stores_text, unique_keys
from airlock.tools.values import Row, bound, exact


def key_of(table: sa.Table, row: Mapping[str, Any]) -> Row:
    """Return the primary key of a row."""
    return {column.name: row[column.name] for column in table.primary_key.columns}


def fetch(connection: sa.Connection, table: sa.Table, where: Mapping[str, Any], *, lock: bool = True) -> Row | None:
    """Return the one row that matches; None if there is none.

    Args:
        connection: The connection of the transaction.
        table: The table.
        where: Values by column.
        lock: True to lock the row if the transaction writes, which takes the right to update it.

    Raises:
        ToolFailed: If more than one row matches.
    """
    query = sa.select(table).where(equal_to(table, where)).limit(2)
    found = connection.execute(locked(connection, query) if lock else query).mappings().all()
    if len(found) > 1:
        raise ToolFailed(f"more than one row of {table.fullname!r} matches: name a row by its key")
    return dict(found[0]) if found else None


def named_row(connection: sa.Connection, table: sa.Table, where: Mapping[str, Any]) -> Row:
    """Return the row that `where` identifies by its primary key, or by unique columns.

    Raises:
        ToolFailed: If `where` does not identify one row, or there is no such row.
    """
    known_columns(table, list(where))
    keys = unique_keys(connection, table)
    if not any(set(key) <= set(where) and all(where[name] is not None for name in key) for key in keys):
        ways = " or ".join(f"({', '.join(key)})" for key in keys) or "(the table has no key)"
        raise ToolFailed(f"`where` must name one row of {table.fullname!r} by {ways}")
    row = fetch(connection, table, where)
    if row is None:
        raise ToolFailed(f"no row of {table.fullname!r} matches `where`")
    return row


def seen(row: Row, version_column: str) -> JsonValue:
    """Return the state of a row for a preview: the hash of the whole row, and its version if it has one."""
    state: dict[str, JsonValue] = {"sha256": digest(exact(row))}
    if version_column in row:
        state["version"] = exact({version_column: row[version_column]})[version_column]
    return state


def refuse_clash(connection: sa.Connection, table: sa.Table, row: Row, own_key: Row | None = None) -> None:
    """Check that no other row has the same values in unique columns; values not known yet are not checked.

    Args:
        connection: The connection of the transaction.
        table: The table.
        row: The row after the change.
        own_key: The primary key of the row before the change; None for a new row.

    Raises:
        ToolFailed: If another row has the same values; the message names the columns.
    """
    for key in unique_keys(connection, table):
        if any(row.get(name) in (None, UNKNOWN) for name in key):
            continue
        other = fetch(connection, table, {name: row[name] for name in key}, lock=False)
        if other is not None and key_of(table, other) != own_key:
            raise ToolFailed(f"{table.fullname!r} already has a row with the same {', '.join(key)}")


def values_of(connection: sa.Connection, table: sa.Table, row: Mapping[str, JsonValue]) -> Row:
    """Return the values of a plan's row as the columns take them; values not known yet stay unchanged.

    Raises:
        ToolFailed: If the table lacks a column, or has no primary key.
    """
    known_columns(table, list(row))
    if not table.primary_key.columns:
        raise ToolFailed(f"table {table.fullname!r} has no primary key, which identifies a row")
    unknown = {name: value for name, value in row.items() if contains_unknown(value)}
    known = {name: value for name, value in row.items() if name not in unknown}
    return {**bound(table, known, as_text=stores_text(connection)), **unknown}


def new_row(connection: sa.Connection, table: sa.Table, row: Mapping[str, JsonValue]) -> Row:
    """Return the values of a row to insert.

    Raises:
        ToolFailed: If a column lacks a required value, or another row has the same values in unique columns.
    """
    values = values_of(connection, table, row)
    missing = [
        column.name
        for column in table.columns
        if (not column.nullable or column.primary_key)
        and values.get(column.name) is None
        and (column.server_default, column.computed, column.identity) == (None, None, None)
        and column is not table.autoincrement_column
    ]
    if missing:
        raise ToolFailed(f"a row of {table.fullname!r} needs a value for {', '.join(missing)}")
    refuse_clash(connection, table, values)
    return values


def changed_row(
    connection: sa.Connection, table: sa.Table, old: Row, row: Mapping[str, JsonValue], version_column: str
) -> Row:
    """Return the values that an update sets, with the version incremented if the table has one.

    Raises:
        ToolFailed: If the values would change the key or the version, or another row has the same unique values.
    """
    values = values_of(connection, table, row)
    fixed = sorted({column.name for column in table.primary_key.columns} | {version_column})
    if wrong := [name for name in fixed if name in values]:
        raise ToolFailed(f"an update cannot change {', '.join(wrong)}")
    refuse_clash(connection, table, {**old, **values}, key_of(table, old))
    version = old.get(version_column)
    return {**values, version_column: version + 1} if isinstance(version, int) else values


def insert(connection: sa.Connection, table: sa.Table, row: Row) -> Row:
    """Insert a row and return it with the values that the database added.

    Raises:
        ToolFailed: If the database gives the row no key.
    """
    key = connection.execute(sa.insert(table).values(row)).inserted_primary_key
    names = [column.name for column in table.primary_key.columns]
    known = dict(zip(names, key, strict=True)) if key and None not in key else None
    added = fetch(connection, table, known, lock=False) if known else None
    if added is None:
        raise ToolFailed(
            f"{table.fullname!r} creates no key by itself: give {', '.join(names) or 'the table a primary key'}"
        )
    return added


def update(connection: sa.Connection, table: sa.Table, old: Row, values: Row) -> Row:
    """Set values of a row and return the whole row.

    Raises:
        Stale: If the row is gone.
    """
    fixed = [
        column.name for column in table.columns if column.computed is not None or column.primary_key or _numbered(column)
    ]
    writable = {name: value for name, value in values.items() if name not in fixed}
    if writable:
        changed = connection.execute(sa.update(table).where(equal_to(table, key_of(table, old))).values(writable))
        if changed.rowcount != 1:
            raise Stale(f"the row of {table.fullname!r} is gone")
    new = fetch(connection, table, key_of(table, old))
    if new is None:
        raise Stale(f"the row of {table.fullname!r} is gone")
    return new


def delete(connection: sa.Connection, table: sa.Table, row: Row) -> None:
    """Delete a row.

    Raises:
        Stale: If the row is gone.
    """
    if connection.execute(sa.delete(table).where(equal_to(table, key_of(table, row)))).rowcount != 1:
        raise Stale(f"the row of {table.fullname!r} is gone")


def put_back(connection: sa.Connection, table: sa.Table, row: Row) -> None:
    """Insert a deleted row again, with its former key."""
    writable = {name: value for name, value in row.items() if table.columns[name].computed is None}
    insert = _NumberedInsert if any(map(_numbered, table.columns)) else sa.Insert
    connection.execute(insert(table).values(writable))


def _numbered(column: "sa.Column[Any]") -> bool:
    """Return True if only the database gives the column its values: GENERATED ALWAYS AS IDENTITY."""
    return column.identity is not None and bool(column.identity.always)


class _NumberedInsert(sa.Insert):
    """An insert that gives an identity column its former value."""

    inherit_cache = False


@compiles(_NumberedInsert)
def _overriding(element: _NumberedInsert, compiler: Any, **options: Any) -> str:
    # after VALUES there are placeholders only, so that its last occurrence is the keyword
    before, values, after = compiler.visit_insert(element, **options).rpartition(" VALUES (")
    return f"{before} OVERRIDING SYSTEM VALUE{values}{after}"
