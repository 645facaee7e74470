"""The undo of one row's change: the row as it was before, unless another program has changed it since."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from pydantic import JsonValue

from airlock.base.errors import ToolFailed
from airlock.tools.databases import rows
from airlock.tools.databases.cascades import refuse_cascade
from airlock.tools.values import Row, restored, same

Undo = dict[str, JsonValue]
"""The key of a row, and the row before and after the change; None where there is no row."""


def take_back(connection: sa.Connection, table: sa.Table, undo: Mapping[str, Any]) -> None:
    """Restore the row in the caller's transaction.

    Raises:
        ToolFailed: If the row is neither as it was before the change nor as it was after it, or if other rows would be
            deleted or changed with it.
    """
    before, after, now = sides(connection, table, undo)
    if same(now, before):
        return
    if not same(now, after):
        raise ToolFailed(f"another program has changed the row of {table.fullname!r} since: it is left alone")
    if before is None:
        refuse_cascade(connection, table, after or {})
        rows.delete(connection, table, after or {})
    elif after is None:
        rows.put_back(connection, table, before)
    else:
        rows.update(connection, table, after, before)


def sides(connection: sa.Connection, table: sa.Table, undo: Mapping[str, Any]) -> tuple[Row | None, Row | None, Row | None]:
    """Return the row before the call, after the call, and now."""
    before, after = (restored(undo[side]) if undo[side] is not None else None for side in ("before", "after"))
    return before, after, rows.fetch(connection, table, restored(undo["key"]))
