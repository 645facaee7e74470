"""The common part of the database tools: connections, transactions with a definite outcome, tables, rows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from airlock.base.errors import InDoubt, ToolFailed
from airlock.plans.tool_call import ToolCall
from airlock.tools.common import required
from airlock.tools.databases.exact_columns import keep_exact
from airlock.tools.databases.shapes import DatabaseSettings
from airlock.tools.outcomes import LOST, NOT_SENT, SQLSTATE, Asked, Effect, meaning

LEDGER = "airlock_calls"
"""The table that records calls; no plan can address it."""


@contextmanager
def transaction(call: ToolCall, *, write: bool) -> Iterator[sa.Connection]:
    """Open a transaction: committed at the end of the block, rolled back if the block raises.

    A transaction that does not write is read-only if the database can enforce that.

    Raises:
        ToolFailed: If nothing was written: no connection, a lock held by another writer, a constraint, an SQL error.
        InDoubt: If the database did not say whether it committed.
    """
    engine = _engine(call, write=write)
    try:
        options = {"airlock_write": write, **({} if write else {"postgresql_readonly": True})}
        with engine.connect().execution_options(**options) as connection, _errors():
            work = connection.begin()
            try:
                _wait_for_locks(connection, call.settings.busy_timeout)
                yield connection
                if write:
                    _check_now(connection)
            except BaseException:
                work.rollback()
                raise
            # a file holds nothing that was not committed, and a transaction that reads commits nothing
            _commit(work, certain=not write or engine.dialect.name == "sqlite")
    except SQLAlchemyError as error:
        again = meaning(Asked.SQL_STATEMENT, NOT_SENT).again
        raise ToolFailed(f"the database cannot be reached: {said_by(error)}", retry=again) from error
    finally:
        engine.dispose()


def _wait_for_locks(connection: sa.Connection, seconds: float) -> None:
    if connection.dialect.name == "postgresql":  # it would wait longer than the tool has
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {max(1, int(seconds * 1000))}")


def _check_now(connection: sa.Connection) -> None:
    # what waits for the commit may raise any error there, and only before it every error is certainly without effect
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")


def _commit(work: sa.Transaction, *, certain: bool) -> None:
    try:
        work.commit()
    except DBAPIError as error:
        if certain:
            work.rollback()
            raise
        found, said = meaning(Asked.SQL_COMMIT, answer_of(error)), said_by(error)
        if found.effect is Effect.DOUBT:
            raise InDoubt(f"the commit has no certain answer: {said}") from error
        raise ToolFailed(f"the database rolled back at the commit: {said}", retry=found.again) from error


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, OverflowError, UnicodeError) as error:
        found = meaning(Asked.SQL_STATEMENT, answer_of(error))
        text = "the database could not do it" if found.again else "the database refused it"
        raise ToolFailed(f"{text}: {said_by(error)}", retry=found.again) from error


def answer_of(error: BaseException | None) -> str:
    """Return the SQLSTATE that the database gave, or SQLite's result code, or else `LOST` or the name of the error."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if isinstance(state, str) and len(state) == SQLSTATE:
        return state
    code = getattr(cause, "sqlite_errorname", None)
    if isinstance(code, str):
        return "_".join(code.split("_")[:2])  # SQLITE_BUSY of SQLITE_BUSY_SNAPSHOT
    return LOST if isinstance(error, DBAPIError) and error.connection_invalidated else type(error).__name__


def said_by(error: Exception) -> str:
    """Return the message of the driver, without the statement and its parameters."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return f"{type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}"


def _engine(call: ToolCall, *, write: bool) -> sa.Engine:
    settings: DatabaseSettings = call.settings
    try:
        url = sa.make_url(required(settings.url, "settings.database.url"))
        if settings.password_secret:
            url = url.set(password=call.secret(settings.password_secret))
        if url.get_backend_name() != "sqlite":
            return sa.create_engine(url, poolclass=NullPool)
        if "uri" not in url.query and not (url.database and Path(url.database).is_file()):
            raise ToolFailed("settings.database.url names an SQLite file that does not exist: create it, or correct it")
        engine = sa.create_engine(url, poolclass=NullPool, connect_args={"timeout": settings.busy_timeout})
    except ModuleNotFoundError as error:
        hint = " (pip install 'airlock-temporal[postgresql]')" if error.name == "psycopg" else ""
        raise ToolFailed(f"settings.database.url needs the driver {error.name}: install it{hint}") from error
    except (SQLAlchemyError, ImportError) as error:
        raise ToolFailed(f"settings.database.url cannot be used: {type(error).__name__}") from error
    _be_strict(engine, write=write)
    return engine


def _be_strict(engine: sa.Engine, *, write: bool) -> None:
    """Make SQLite as strict as other databases: a writing transaction holds the write lock from its first read on."""

    @event.listens_for(engine, "connect")
    def _connected(dbapi_connection: Any, _record: Any) -> None:
        dbapi_connection.isolation_level = None  # otherwise the driver begins the transaction itself, too late
        dbapi_connection.execute("PRAGMA foreign_keys = ON")  # SQLite enforces none unless each connection asks
        if not write:
            dbapi_connection.execute("PRAGMA query_only = ON")

    @event.listens_for(engine, "begin")
    def _begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def locked(connection: sa.Connection, query: sa.Select[Any]) -> sa.Select[Any]:
    """Make a query lock its rows if the transaction writes; a read-only user has no right to lock."""
    return query.with_for_update() if connection.get_execution_options()["airlock_write"] else query


def stores_text(connection: sa.Connection) -> bool:
    """Return True if the database stores values unchanged, regardless of the column type (SQLite)."""
    return connection.dialect.name == "sqlite"


def open_table(connection: sa.Connection, name: str, settings: DatabaseSettings, *, views: bool = False) -> sa.Table:
    """Return a table as the database describes it.

    Raises:
        ToolFailed: If there is no such table, or the operator does not offer it; the message names the offered ones.
    """
    inspector = sa.inspect(connection)
    here = {*inspector.get_table_names(), *(inspector.get_view_names() if views else ())} - {LEDGER}
    elsewhere = {each for each in settings.tables if each not in here and _in_other_schema(inspector, each)}
    offered = sorted((here & set(settings.tables)) | elsewhere if settings.tables else here)
    if name not in offered:
        raise ToolFailed(f"there is no table {name!r} here; there is: {', '.join(offered) or '(none)'}")
    metadata = sa.MetaData()
    event.listen(metadata, "column_reflect", _LISTENERS.get(connection.dialect.name, _null_is_null))
    schema, _, bare = name.partition(".") if name in elsewhere else ("", "", name)
    return sa.Table(bare, metadata, schema=schema or None, autoload_with=connection, resolve_fks=False)


def _in_other_schema(inspector: sa.Inspector, name: str) -> bool:
    """Return True for `schema.table` outside the default schema. A table there has one name only: locks go by names."""
    schema, _, bare = name.partition(".")
    if not bare or bare == LEDGER or schema == inspector.default_schema_name:
        return False
    return bare in inspector.get_table_names(schema=schema)


def _as_stored(_inspector: Any, _table: Any, column: dict[str, Any]) -> None:
    # SQLite stores values regardless of the column type: read and write them unchanged, so that the undo is exact
    if not isinstance(column["type"], sa.Integer):
        column["type"] = sa.types.NullType()


def _null_is_null(_inspector: Any, _table: Any, column: dict[str, Any]) -> None:
    if isinstance(column["type"], sa.JSON):  # SQLAlchemy would write JSON's null, and an undo would not be exact
        column["type"].none_as_null = True


_LISTENERS = {"sqlite": _as_stored, "postgresql": keep_exact}


def known_columns(table: sa.Table, names: Sequence[str]) -> None:
    """Check that a table has all these columns.

    Raises:
        ToolFailed: If it lacks one; the message names the missing and the existing columns.
    """
    if unknown := [name for name in names if name not in table.columns]:
        has = ", ".join(column.name for column in table.columns)
        raise ToolFailed(f"table {table.fullname!r} has no column {', '.join(map(repr, unknown))}; it has: {has}")


def equal_to(table: sa.Table, values: Mapping[str, Any]) -> sa.ColumnElement[bool]:
    """Return the condition that these columns have these values; None means NULL."""
    return sa.and_(
        sa.true(),
        *(
            table.columns[name].is_(None) if value is None else table.columns[name] == value
            for name, value in values.items()
        ),
    )


def unique_keys(connection: sa.Connection, table: sa.Table) -> list[tuple[str, ...]]:
    """Return every set of columns that identifies a row, the primary key first."""
    inspector = sa.inspect(connection)
    keys = [tuple(column.name for column in table.primary_key.columns)]
    keys += [tuple(found["column_names"]) for found in inspector.get_unique_constraints(table.name, table.schema)]
    for index in inspector.get_indexes(table.name, table.schema):
        partial = any(key.endswith("_where") for key in index.get("dialect_options", {}))
        if index["unique"] and not partial and None not in index["column_names"]:
            keys.append(tuple(name for name in index["column_names"] if name is not None))
    return [key for key in dict.fromkeys(keys) if key]
