"""The content of the outside systems, read from those systems themselves: HTTP, SQLite, files. Never from a workflow."""

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.table import Table
from rich.text import Text

from airlock.cli.output import safe
from devtools.environment import Environment
from sandbox.smtp import read_mailbox

_PRIVATE = ".airlock"
_SHORT = 60


@dataclass(frozen=True)
class World:
    """Everything that the demo's plans can change. Two that are equal prove that nothing changed."""

    contacts: tuple[dict[str, Any], ...]
    billing: tuple[dict[str, Any], ...]
    rows: tuple[dict[str, Any], ...]
    mails: tuple[dict[str, Any], ...]
    files: tuple[tuple[str, str], ...]

    def contact(self, email: str) -> dict[str, Any] | None:
        """Return the contact with that email, or None."""
        return next((found for found in self.contacts if found["email"] == email), None)

    def row(self, email: str) -> dict[str, Any] | None:
        """Return the row of `accounts` with that email, or None."""
        return next((found for found in self.rows if found["email"] == email), None)


def read_world(env: Environment) -> World:
    """Read the current content of the outside systems."""
    with httpx.Client(base_url=env.crm_url, trust_env=False, timeout=10) as client:
        contacts = client.get("/_sandbox/contacts").raise_for_status().json()["contacts"]
        billing = client.get("/_sandbox/accounts").raise_for_status().json()["accounts"]
    with closing(sqlite3.connect(f"file:{env.database_path}?mode=ro", uri=True)) as db:
        db.row_factory = sqlite3.Row
        rows = [dict(row) for row in db.execute("SELECT * FROM accounts ORDER BY id")]
    return World(
        contacts=tuple(contacts),
        billing=tuple(billing),
        rows=tuple(rows),
        mails=tuple(read_mailbox(env.mailbox)),
        files=tuple(_files(env.work_folder)),
    )


def requests_made(env: Environment) -> list[dict[str, Any]]:
    """Return all requests that the CRM has answered, oldest first."""
    with httpx.Client(base_url=env.crm_url, trust_env=False, timeout=10) as client:
        found: list[dict[str, Any]] = client.get("/_sandbox/log").raise_for_status().json()["requests"]
    return found


def _files(folder: Path) -> list[tuple[str, str]]:
    """Return path and SHA-256 of every file, without the tools' own backups."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and _PRIVATE not in path.relative_to(folder).parts)
    return [(path.relative_to(folder).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()) for path in found]


def world_table(before: World, after: World) -> Table:
    """Return a table of both, side by side."""
    table = Table(title="The outside systems, read from the systems themselves", title_justify="left", show_lines=True)
    for column in ("", "before", "after"):
        table.add_column(column, overflow="fold")
    table.add_row("CRM contacts", _listed(_contacts(before)), _listed(_contacts(after)))
    table.add_row("billing accounts", _listed(_billing(before)), _listed(_billing(after)))
    table.add_row("database: accounts", _listed(_rows(before)), _listed(_rows(after)))
    table.add_row("mailbox", _listed(_mails(before)), _listed(_mails(after)))
    table.add_row("folder", _listed(_paths(before)), _listed(_paths(after)))
    return table


def _contacts(world: World) -> list[str]:
    return [f"{found['id']} {found['email']}" for found in world.contacts]


def _billing(world: World) -> list[str]:
    return [f"{found['id']} {found['name']}" for found in world.billing]


def _rows(world: World) -> list[str]:
    return [f"#{row['id']} {row['email']} contact {row['contact_id']}" for row in world.rows]


def _mails(world: World) -> list[str]:
    return [f"to {', '.join(mail['to'])}: {mail['subject']}" for mail in world.mails]


def _paths(world: World) -> list[str]:
    return [f"{path} ({sha[:8]})" for path, sha in world.files]


def _listed(lines: list[str]) -> Text:
    shown = [safe(line)[:_SHORT] for line in lines]
    return Text("\n".join(shown)) if shown else Text("(nothing)", style="dim")
