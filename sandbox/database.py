"""The demo's SQLite database: two small tables with row versions."""

import sqlite3
from contextlib import closing
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    contact_id TEXT,
    name TEXT,
    email TEXT UNIQUE,
    plan TEXT,
    row_version INTEGER NOT NULL DEFAULT 1);
CREATE TABLE IF NOT EXISTS notes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    subject TEXT,
    body TEXT,
    row_version INTEGER NOT NULL DEFAULT 1);
"""


def create_database(path: Path | str) -> None:
    """Create the database with its tables; safe to repeat, existing rows stay."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as db:
        db.executescript(_SCHEMA)
