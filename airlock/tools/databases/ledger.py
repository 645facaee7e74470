"""The table that records calls in the transaction of their effect, so that each takes effect once."""

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from pydantic import JsonValue
from sqlalchemy.exc import DBAPIError, IntegrityError

from airlock.base.errors import ToolFailed
from airlock.tools.databases.database import LEDGER, answer_of, locked

_TABLE = sa.Table(
    LEDGER,
    sa.MetaData(),
    sa.Column("idempotency_key", sa.String(255), primary_key=True),
    sa.Column("output", sa.Text, nullable=False),
    sa.Column("undo", sa.Text, nullable=False),
    sa.Column("undone", sa.Boolean, nullable=False),
)
_EXISTS = ("23505", "42P07")
"""SQLSTATEs of PostgreSQL for a table that another transaction has just created."""


@dataclass(frozen=True)
class Entry:
    """One call that took effect."""

    output: Any
    undo: Any
    """The data for its undo."""
    undone: bool

    @property
    def barred(self) -> bool:
        """True if it is no call: it only keeps out attempts that began before a probe found that there was none."""
        return isinstance(self.undo, dict) and bool(self.undo.get("barred"))

    @property
    def fence(self) -> int:
        """The greatest fencing token that came with this key."""
        return int(self.undo.get("fence") or 0) if isinstance(self.undo, dict) else 0


class Ledger:
    """The ledger of one database, within one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def create(self) -> None:
        """Create the table if it does not exist.

        Raises:
            ToolFailed: If another call creates it at the same time; to be tried again.
        """
        try:
            _TABLE.create(self._connection, checkfirst=True)
        except DBAPIError as error:
            if answer_of(error) in _EXISTS:
                raise ToolFailed(f"another call created the table {LEDGER} at the same time", retry=True) from error
            raise

    def find(self, key: str) -> Entry | None:
        """Return the call with that key, locked until the transaction ends; None if it had no effect."""
        if not sa.inspect(self._connection).has_table(LEDGER):
            return None
        query = sa.select(_TABLE).where(_TABLE.c.idempotency_key == key)
        row = self._connection.execute(locked(self._connection, query)).one_or_none()
        return None if row is None else Entry(json.loads(row.output), json.loads(row.undo), row.undone)

    def keep(self, key: str, output: Any, undo: JsonValue, *, undone: bool = False) -> None:
        """Record a call.

        Raises:
            ToolFailed: If another transaction recorded that key meanwhile; to be tried again, to find its record.
        """
        values = {"idempotency_key": key, "output": json.dumps(output), "undo": json.dumps(undo), "undone": undone}
        try:
            self._connection.execute(sa.insert(_TABLE).values(values))
        except IntegrityError as error:
            raise ToolFailed("another attempt of this call was at the database at the same time", retry=True) from error

    def reserve(self, key: str) -> None:
        """Record that a call begins: another attempt at the same time waits here until this one is committed or undone."""
        self.keep(key, None, {"request": None})

    def replace(self, key: str, output: Any, undo: JsonValue) -> None:
        """Replace the record of a call that was reserved or barred."""
        values = {"output": json.dumps(output), "undo": json.dumps(undo), "undone": False}
        self._connection.execute(sa.update(_TABLE).where(_TABLE.c.idempotency_key == key).values(values))

    def bar(self, key: str, fence: int) -> Entry | None:
        """Return the call with that key. If it had no effect, let no attempt with a smaller fencing token have one.

        The record of a call and its effect are one transaction, so an attempt that is under way either is found here or
        finds this record.
        """
        entry = self.find(key)
        if entry is None:
            self.create()
            self.keep(key, None, {"request": None, "barred": True, "fence": fence})
            return None
        if not entry.barred:
            return entry
        if not entry.undone and fence > entry.fence:
            self.replace(key, None, {"request": None, "barred": True, "fence": fence})
        return None

    def mark_undone(self, key: str) -> None:
        """Mark a call as undone; it can then neither be undone nor made again."""
        self._connection.execute(sa.update(_TABLE).where(_TABLE.c.idempotency_key == key).values(undone=True))
