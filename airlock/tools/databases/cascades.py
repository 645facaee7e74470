"""Rows that the database would delete or change together with a deleted row; an undo could not restore them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from airlock.base.errors import ToolFailed
from airlock.tools.databases.database import stores_text
from airlock.tools.values import Row

ACTIONS = ("CASCADE", "SET NULL", "SET DEFAULT")


class Dependent(NamedTuple):
    """A foreign key with an action on delete."""

    table: sa.TableClause
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
        # with the types of the referred columns: a value may be the database's own text
        names = {referred: sa.column(name, table.columns[referred].type) for referred, name in columns.items()}
        child = sa.table(other.name, *names.values(), schema=other.schema)
        same = [child.c[column.name] == row[referred] for referred, column in names.items()]
        if connection.execute(sa.select(sa.exists().where(sa.and_(sa.true(), *same)))).scalar():
            raise ToolFailed(
                f"rows of {other.fullname!r} would be deleted or changed with it (ON DELETE {action}): "
                "delete or change them first"
            )


def _dependents(connection: sa.Connection, table: sa.Table) -> Iterator[Dependent]:
    inspector = sa.inspect(connection)
    keys = [column.name for column in table.primary_key.columns]
    if stores_text(connection):
        for other in inspector.get_table_names():
            yield from _of_sqlite(connection, other, table.name, keys)
        return
    if connection.dialect.name == "postgresql":
        yield from _of_postgresql(connection, table)
        return
    for (_, other), foreign in inspector.get_multi_foreign_keys().items():
        for key in foreign:
            action = str(key["options"].get("ondelete") or "").upper()
            if key["referred_table"] == table.name and action in ACTIONS:
                referred = key["referred_columns"] or keys
                yield Dependent(sa.table(other), dict(zip(referred, key["constrained_columns"], strict=True)), action)


def _of_sqlite(connection: sa.Connection, other: str, referred: str, keys: list[str]) -> Iterator[Dependent]:
    # reflection omits the ON DELETE of a column's own REFERENCES clause
    listed = sa.func.pragma_foreign_key_list(other).table_valued("id", "seq", "table", "from", "to", "on_delete")
    found: dict[int, list[Any]] = {}
    for part in connection.execute(sa.select(listed).order_by(listed.c.id, listed.c.seq)).mappings():
        if part["table"].casefold() == referred.casefold() and part["on_delete"] in ACTIONS:
            found.setdefault(part["id"], []).append(part)
    for parts in found.values():
        columns = {part["to"] or keys[part["seq"]]: part["from"] for part in parts}
        yield Dependent(sa.table(other), columns, parts[0]["on_delete"])


_IN_ANY_SCHEMA = sa.text("""
SELECT space.nspname AS schema, child.relname AS name, found.confdeltype::text AS action,
    (SELECT array_agg(a.attname::text ORDER BY k.place) FROM unnest(found.conkey) WITH ORDINALITY AS k (number, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = found.conrelid AND a.attnum = k.number) AS own,
    (SELECT array_agg(a.attname::text ORDER BY k.place) FROM unnest(found.confkey) WITH ORDINALITY AS k (number, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = found.confrelid AND a.attnum = k.number) AS referred
FROM pg_catalog.pg_constraint found
    JOIN pg_catalog.pg_class child ON child.oid = found.conrelid
    JOIN pg_catalog.pg_namespace space ON space.oid = child.relnamespace
WHERE found.contype = 'f' AND found.confdeltype IN ('c', 'n', 'd') AND found.confrelid = CAST(:parent AS regclass)
ORDER BY 1, 2
""")
_ACTION = {"c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


def _of_postgresql(connection: sa.Connection, table: sa.Table) -> Iterator[Dependent]:
    # reflection names the schema of the child only, and looks into one schema
    parent = connection.dialect.identifier_preparer.format_table(table)
    for found in connection.execute(_IN_ANY_SCHEMA, {"parent": parent}).mappings().all():
        schema = None if found["schema"] == sa.inspect(connection).default_schema_name else found["schema"]
        columns = dict(zip(found["referred"], found["own"], strict=True))
        yield Dependent(sa.table(found["name"], schema=schema), columns, _ACTION[found["action"]])
