"""The world of the chaos run: shelves with rows, and a journal that says who was at which shelf, and when.

One SQLite file, shared by every worker process. What is committed survives `kill -9` of the process that wrote it.
"""

import os
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS rows (
    n INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, plan TEXT NOT NULL, step TEXT NOT NULL, shelf TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS rows_by_key ON rows (key);
CREATE TABLE IF NOT EXISTS journal (
    n INTEGER PRIMARY KEY AUTOINCREMENT, call TEXT NOT NULL, moment TEXT NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL,
    plan TEXT NOT NULL, step TEXT NOT NULL, shelf TEXT NOT NULL, key TEXT NOT NULL, fence INTEGER, pid INTEGER NOT NULL,
    clash TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS journal_by_shelf ON journal (shelf, call);
"""


@dataclass(frozen=True)
class Visit:
    """One call at a shelf. `kind` is `live` or `undo`; `clash` names another plan that was there when it came.

    Times are seconds since the epoch; `ended` is None when the call was never seen to end.
    """

    call: str
    kind: str
    plan: str
    step: str
    shelf: str
    key: str
    fence: int | None
    pid: int
    clash: str
    began: float
    ended: float | None


@dataclass(frozen=True)
class Row:
    """An effect: what a live call put on a shelf. The same key twice is a call that was made twice."""

    key: str
    plan: str
    step: str
    shelf: str


@dataclass(frozen=True)
class Caller:
    """The visitor of a shelf, and its purpose."""

    kind: str
    plan: str
    step: str
    shelf: str
    key: str
    fence: int | None


class ChaosStore:
    """The shared file. Every method is one transaction; an object may be used by one thread only."""

    def __init__(self, path: Path | str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, timeout=20)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA synchronous = OFF")  # a killed process loses nothing by it, only a lost machine would

    @classmethod
    def create(cls, path: Path | str) -> "ChaosStore":
        """Return the store with its tables; safe to repeat."""
        store = cls(path)
        store._db.executescript(_SCHEMA)
        return store

    def close(self) -> None:
        """Close the file; the store cannot be used afterwards."""
        self._db.close()

    def begin(self, who: Caller) -> str:
        """Write that a call has begun; answers the id to end it with."""
        call = uuid.uuid4().hex
        with self._writing() as db:
            self._note(db, call, "begin", who, self._clash(db, who))
        return call

    def end(self, call: str, who: Caller) -> None:
        """Write that a call has ended without an effect here."""
        with self._writing() as db:
            self._note(db, call, "end", who)

    def put(self, call: str, who: Caller, *, once: bool) -> None:
        """Record the effect of a live call and its end, both or neither.

        Args:
            call: The id from `begin`.
            who: The caller.
            once: Whether a key that is there already is left as it is; otherwise the row is there twice.
        """
        with self._writing() as db:
            there = db.execute("SELECT 1 FROM rows WHERE key = ?", (who.key,)).fetchone()
            if not (once and there):
                db.execute(
                    "INSERT INTO rows (key, plan, step, shelf) VALUES (?, ?, ?, ?)", (who.key, who.plan, who.step, who.shelf)
                )
            self._note(db, call, "end", who)

    def take_back(self, call: str, who: Caller) -> None:
        """Remove one row of that key, if there is one, and end the call; both or neither."""
        with self._writing() as db:
            # one only: of a call that was made twice, the second row must stay to be seen
            db.execute("DELETE FROM rows WHERE n = (SELECT min(n) FROM rows WHERE key = ?)", (who.key,))
            self._note(db, call, "end", who)

    def has(self, key: str) -> bool:
        """Return True if a call under that key took effect."""
        return self._db.execute("SELECT 1 FROM rows WHERE key = ?", (key,)).fetchone() is not None

    def callers(self) -> list[int]:
        """Return the processes whose calls have begun and not ended, the latest first; some of them may be dead."""
        query = """
            SELECT pid FROM journal b WHERE moment = 'begin' AND kind = 'live'
            AND NOT EXISTS (SELECT 1 FROM journal e WHERE e.call = b.call AND e.moment = 'end') ORDER BY n DESC"""
        return [row["pid"] for row in self._db.execute(query)]

    def rows(self) -> list[Row]:
        """Return every effect that stands, oldest first."""
        return [Row(**dict(row)) for row in self._db.execute("SELECT key, plan, step, shelf FROM rows ORDER BY n")]

    def visits(self) -> list[Visit]:
        """Return every call so far, in the order in which they began."""
        query = """
            SELECT b.call, b.kind, b.plan, b.step, b.shelf, b.key, b.fence, b.pid, b.clash, b.at AS began, e.at AS ended
            FROM journal b LEFT JOIN journal e ON e.call = b.call AND e.moment = 'end'
            WHERE b.moment = 'begin' ORDER BY b.n"""
        return [Visit(**dict(row)) for row in self._db.execute(query)]

    @staticmethod
    def _clash(db: sqlite3.Connection, who: Caller) -> str:
        """Return another plan whose call is at the shelf at this moment, in a process that lives; empty if there is none."""
        open_calls = db.execute(
            """SELECT plan, pid FROM journal b WHERE shelf = ? AND moment = 'begin' AND plan != ?
               AND NOT EXISTS (SELECT 1 FROM journal e WHERE e.call = b.call AND e.moment = 'end') ORDER BY n""",
            (who.shelf, who.plan),
        )
        return next((row["plan"] for row in open_calls.fetchall() if alive(row["pid"])), "")

    @staticmethod
    def _note(db: sqlite3.Connection, call: str, moment: str, who: Caller, clash: str = "") -> None:
        db.execute(
            """INSERT INTO journal (call, moment, at, kind, plan, step, shelf, key, fence, pid, clash)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (call, moment, time.time(), who.kind, who.plan, who.step, who.shelf, who.key, who.fence, os.getpid(), clash),
        )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def alive(pid: int) -> bool:
    """Return True if there is a process of that id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
