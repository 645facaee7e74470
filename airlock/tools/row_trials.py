"""The trial of a row's change in a transaction that is always rolled back: only the database knows all its constraints."""

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError

from airlock.base.errors import ToolFailed
from airlock.plans.tool import ToolCall
from airlock.tools.database import stores_text, transaction

NOT_TRIED = " The constraints of the database were not tried: {why}."
_FORBIDDEN = ("42501", "25006")
"""SQLSTATEs of a user that may not write, and of a database that is read-only."""


class _RollBack(Exception):
    """The end of a trial that worked."""


def tried(call: ToolCall, change: Callable[[sa.Connection], object]) -> str:
    """Make a change and take it back at once. Return "" if the database accepts it, or why that could not be tried.

    Args:
        call: The dry run.
        change: A function that makes the change in the transaction it gets.

    Raises:
        ToolFailed: If the database refuses the change: a foreign key, a check, a type, a trigger.
    """
    try:
        with transaction(call, write=True) as connection:
            late = _deferred_violations(connection)
            change(connection)
            _now(connection, late)
            raise _RollBack
    except _RollBack:
        return ""
    except ToolFailed as error:
        if why := _could_not_try(error.__cause__):
            return NOT_TRIED.format(why=why)
        raise


def _could_not_try(error: BaseException | None) -> str:
    """Return why a trial says nothing about the change; empty if the database refused the change itself."""
    if isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _FORBIDDEN:
        return "this worker may only read"
    if not isinstance(error, OperationalError):
        return ""
    readonly = "readonly" in str(error.orig)
    return "this worker may only read" if readonly else "the database was busy"


def _now(connection: sa.Connection, before: int) -> None:
    """Check what a database otherwise checks at the commit, which never comes.

    Raises:
        ToolFailed: If a constraint that may be deferred is violated.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
    if _deferred_violations(connection) > before:
        raise ToolFailed("the database refused it: FOREIGN KEY constraint failed")


def _deferred_violations(connection: sa.Connection) -> int:
    """Return the number of rows that violate a foreign key; 0 without counting if no key of an SQLite file is deferred."""
    if not stores_text(connection):
        return 0
    deferred = "SELECT 1 FROM sqlite_master WHERE upper(sql) LIKE '%INITIALLY DEFERRED%' LIMIT 1"
    if connection.exec_driver_sql(deferred).first() is None:
        return 0
    return len(connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall())
