"""The CRM's store: documents, replies kept under idempotency keys, and the log of requests, in SQLite."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

JsonObject = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    n INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, id TEXT NOT NULL, lookup TEXT NOT NULL,
    body TEXT NOT NULL, UNIQUE (kind, id));
CREATE INDEX IF NOT EXISTS documents_by_lookup ON documents (kind, lookup);
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, status INTEGER NOT NULL, headers TEXT NOT NULL,
    body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS requests (
    n INTEGER PRIMARY KEY AUTOINCREMENT, method TEXT NOT NULL, path TEXT NOT NULL, idempotency_key TEXT,
    received_at TEXT NOT NULL, status INTEGER, effect_status INTEGER, replayed INTEGER NOT NULL DEFAULT 0,
    fault TEXT);
"""


def utc_now() -> str:
    """Return the time now, UTC, ISO 8601 with milliseconds and a Z, as the LeadConnector API writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class StoredReply:
    """The answer of a write that took effect; `fingerprint` identifies its request."""

    fingerprint: str
    status: int
    headers: dict[str, str]
    body: Any


class Store:
    """State that survives `kill -9` when it has a path, and is gone with the process when it has none."""

    def __init__(self, path: Path | None = None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file; the store cannot be used afterwards."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything written inside is kept together, or not at all when the block raises."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def put(self, kind: str, doc_id: str, body: JsonObject, lookup: str = "") -> None:
        """Insert or replace a document; `lookup` is what `find` will find it by."""
        self._db.execute(
            "INSERT INTO documents (kind, id, lookup, body) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (kind, id) DO UPDATE SET lookup = excluded.lookup, body = excluded.body",
            (kind, doc_id, lookup, json.dumps(body)),
        )

    def get(self, kind: str, doc_id: str) -> JsonObject | None:
        """Return the document, or None."""
        return self._one("SELECT body FROM documents WHERE kind = ? AND id = ?", kind, doc_id)

    def find(self, kind: str, lookup: str) -> JsonObject | None:
        """Return the oldest document with that lookup, or None."""
        return self._one("SELECT body FROM documents WHERE kind = ? AND lookup = ? ORDER BY n", kind, lookup)

    def delete(self, kind: str, doc_id: str) -> bool:
        """Return True if the document was there and is now gone."""
        return self._db.execute("DELETE FROM documents WHERE kind = ? AND id = ?", (kind, doc_id)).rowcount > 0

    def all(self, kind: str) -> list[JsonObject]:
        """Return every document of that kind, in the order of creation."""
        rows = self._db.execute("SELECT body FROM documents WHERE kind = ? ORDER BY n", (kind,))
        return [json.loads(row["body"]) for row in rows]

    def reply(self, key: str) -> StoredReply | None:
        """Return the answer under that idempotency key, or None."""
        row = self._db.execute("SELECT * FROM replies WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        return StoredReply(row["fingerprint"], row["status"], json.loads(row["headers"]), json.loads(row["body"]))

    def remember(self, key: str, reply: StoredReply) -> None:
        """Keep the reply under an idempotency key that has none yet."""
        row = (key, reply.fingerprint, reply.status, json.dumps(reply.headers), json.dumps(reply.body))
        self._db.execute("INSERT INTO replies VALUES (?, ?, ?, ?, ?)", row)

    def log_received(self, method: str, path: str, idempotency_key: str | None) -> int:
        """Record that a request has arrived, before anything is done about it; returns its number."""
        cursor = self._db.execute(
            "INSERT INTO requests (method, path, idempotency_key, received_at) VALUES (?, ?, ?, ?)",
            (method, path, idempotency_key, utc_now()),
        )
        return int(cursor.lastrowid or 0)

    def log_effect(self, number: int, effect_status: int, replayed: bool) -> None:
        """Record what the operation itself answered, whatever the client gets to see."""
        self._db.execute(
            "UPDATE requests SET effect_status = ?, replayed = ? WHERE n = ?",
            (effect_status, replayed, number),
        )

    def log_sent(self, number: int, status: int | None, fault: str | None) -> None:
        """Record what the client was sent; None when the connection was dropped."""
        self._db.execute("UPDATE requests SET status = ?, fault = ? WHERE n = ?", (status, fault, number))

    def requests(self) -> list[JsonObject]:
        """Return every request received, in order of arrival."""
        rows = self._db.execute("SELECT * FROM requests ORDER BY n")
        return [{**dict(row), "replayed": bool(row["replayed"])} for row in rows]

    def reset(self) -> None:
        """Forget everything."""
        with self.transaction():
            for table in ("documents", "replies", "requests"):
                self._db.execute(f"DELETE FROM {table}")

    def _one(self, query: str, *values: str) -> JsonObject | None:
        row = self._db.execute(query, values).fetchone()
        if row is None:
            return None
        body: JsonObject = json.loads(row["body"])
        return body
