"""The trial of a row's change in a transaction that is always rolled back: only the database knows all its constraints."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from airlock.base.errors import Stale, ToolFailed
from airlock.plans.tool_call import ToolCall
from airlock.tools.databases.database import LEDGER, answer_of, said_by, stores_text, transaction
from airlock.tools.databases.ledger import Ledger
from airlock.tools.databases.row_undo import Undo, sides, take_back
from airlock.tools.outcomes import Asked, meaning
from airlock.tools.values import same

NOT_TRIED = " The constraints of the database were not tried: {why}."
BEHIND = " The database refuses it as it is now, before the earlier steps of this plan: {why}."
_FORBIDDEN = ("42501", "25006", "SQLITE_READONLY")
"""The answers to a user that may not write, and of a database that is read-only."""
_ROW_SECURITY = "ExecWithCheckOptions"
"""PostgreSQL's function that checks new rows against policies. Its message may be in any language."""
_FOREIGN_KEY = ("23503", "FOREIGN KEY constraint failed")
"""The SQLSTATE of a violated foreign key, and SQLite's text for it."""

Looked = TypeVar("Looked")
Made = TypeVar("Made")


class Trial(NamedTuple):
    """A change that was made in a transaction which is rolled back."""

    table: sa.Table
    undo: Undo
    otherwise: str
    """A sentence about values that the database would store otherwise; empty if there are none."""
    step: str = ""
    """The step whose change it is."""
    numbered: bool = False
    """True if the database gives the row its key."""
    unforeseen: frozenset[str] = frozenset()
    """The columns to which the database gives another value each time, such as a number of a sequence or the time."""

    def inserted(self, other: "Trial") -> bool:
        """Return True if this trial inserted the row that another one changed."""
        same_row = (self.table.fullname, self.undo["key"]) == (other.table.fullname, other.undo["key"])
        return same_row and self.undo["before"] is None


class _RollBack(Exception):
    """The end of a trial that worked."""


def tried(call: ToolCall, change: Callable[[sa.Connection], Trial], made: list[Trial]) -> str:
    """Make a change and take it back at once. Return what is to be told: nothing if the database accepts all as it is.

    Args:
        call: The dry run.
        change: A function that makes the change in the transaction it gets.
        made: Gets the change, once it is made.

    Raises:
        ToolFailed: If the database refuses the change: a foreign key, a check, a type, a trigger. Behind a writing step of
            the same plan, a foreign key is told of instead: that step may write or delete the other row.
    """

    def make(connection: sa.Connection) -> Trial:
        made.append(change(connection))
        return made[0]

    try:
        return _rolled_back(call, make, partial(tell, key=call.idempotency_key))[1]
    except ToolFailed as error:
        if call.follows_writes and _is_foreign_key(error):
            return BEHIND.format(why=error)
        if why := _could_not_try(error.__cause__):
            return NOT_TRIED.format(why=why)
        raise


def foreseen(
    call: ToolCall,
    earlier: Iterable[Callable[[sa.Connection], object]],
    look: Callable[[sa.Connection], Looked],
    change: Callable[[sa.Connection], Made],
    tell: Callable[[sa.Connection, Made], str],
) -> tuple[Looked, Made, str] | None:
    """Make the changes of earlier steps, look, make a change, tell of it, and take everything back at once.

    Returns:
        What the three functions returned; None if this worker cannot make the changes of the earlier steps, so that
        nothing can be foreseen.

    Raises:
        ToolFailed: If the look or the change fails behind those changes.
    """
    behind = False

    def make(connection: sa.Connection) -> tuple[Looked, Made]:
        nonlocal behind
        for each in earlier:
            each(connection)
        behind = True
        return look(connection), change(connection)

    try:
        (looked, made), said = _rolled_back(call, make, lambda connection, found: tell(connection, found[1]))
    except ToolFailed as error:
        if behind and not _could_not_try(error.__cause__):
            raise
        return None
    return looked, made, said


def _rolled_back(
    call: ToolCall, make: Callable[[sa.Connection], Made], tell: Callable[[sa.Connection, Made], str]
) -> tuple[Made, str]:
    """Make changes in a transaction, check what waits for a commit, tell of them, and take everything back at once."""
    found: list[tuple[Made, str]] = []
    try:
        with transaction(call, write=True) as connection:
            late = _deferred_violations(connection)
            made = make(connection)
            _now(connection, late)
            found.append((made, tell(connection, made)))
            raise _RollBack
    except _RollBack:
        return found[0]


def tell(connection: sa.Connection, made: Trial, key: str) -> str:
    """Try the record and the undo of a change within its trial. Return what is to be told of them and of the values.

    Raises:
        ToolFailed: If this user may write the row but not the ledger.
    """
    _try_ledger(connection, key)
    return made.otherwise + _tried_undo(connection, made.table, made.undo)


def _tried_undo(connection: sa.Connection, table: sa.Table, undo: Undo) -> str:
    """Take a change back within its trial, as the last thing there. Return "" if that is exact, or else what is missing."""
    try:
        take_back(connection, table, undo)
        before, _, now = sides(connection, table, undo)
    except (ToolFailed, Stale, DBAPIError) as error:
        busy = meaning(Asked.SQL_STATEMENT, answer_of(error)).again
        return "" if busy else f" The undo would fail, as the database is now: {said_by(error)}."
    if before is None or now is None or same(before, now):
        return ""
    lost = [name for name in before if not same({name: before[name]}, {name: now[name]})]
    return f" The undo could not restore {', '.join(lost)}: the database sets it itself."


def _try_ledger(connection: sa.Connection, key: str) -> None:
    """Record a call within a trial.

    Raises:
        ToolFailed: If this user may write the row but not the ledger.
    """
    if connection.dialect.name != "postgresql":  # others commit when a table is created, or have no such rights
        return
    ledger = Ledger(connection)
    try:
        ledger.create()
        if ledger.find(key) is None:
            ledger.reserve(key)
    except DBAPIError as error:
        if answer_of(error) not in _FORBIDDEN:
            raise
        raise ToolFailed(
            f"the database refused it: its user may write the row, but not create or write the table {LEDGER} "
            f"(see the operator's guide): {said_by(error)}"
        ) from None


def _is_foreign_key(error: ToolFailed) -> bool:
    state, text = _FOREIGN_KEY
    return answer_of(error.__cause__) == state or text in str(error)


def _is_row_refused(error: BaseException | None) -> bool:
    """Return True if row-level security refused the row itself, which has the SQLSTATE of a missing right."""
    told = getattr(error.orig, "diag", None) if isinstance(error, DBAPIError) else None
    return getattr(told, "source_function", None) == _ROW_SECURITY


def _could_not_try(error: BaseException | None) -> str:
    """Return why a trial says nothing about the change; empty if the database refused the change itself."""
    if answer_of(error) in _FORBIDDEN:
        return "" if _is_row_refused(error) else "this worker may only read"
    busy = isinstance(error, DBAPIError) and meaning(Asked.SQL_STATEMENT, answer_of(error)).again
    return "the database was busy" if busy else ""


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
    """Return the number of rows that violate a foreign key of an SQLite file, in the tables whose keys are deferred."""
    if not stores_text(connection):
        return 0
    deferred = "SELECT name FROM sqlite_master WHERE type = 'table' AND upper(sql) LIKE '%INITIALLY DEFERRED%'"
    return sum(_violations(connection, name) for (name,) in connection.exec_driver_sql(deferred).all())


def _violations(connection: sa.Connection, table: str) -> int:
    try:
        found = sa.func.pragma_foreign_key_check(table).table_valued("rowid")
        return int(connection.execute(sa.select(sa.func.count()).select_from(found)).scalar_one())
    except DBAPIError as error:
        if meaning(Asked.SQL_STATEMENT, answer_of(error)).again:
            raise
        return 0  # a key that refers to what is no key: SQLite refuses each change of such a table by itself
