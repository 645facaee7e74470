"""The change of one row, as a plan asks for it, in a transaction that a caller began."""

from collections.abc import Callable

import sqlalchemy as sa

from airlock.base.errors import Stale, ToolFailed
from airlock.plans.tool_call import ToolCall
from airlock.tools.databases import rows
from airlock.tools.databases.cascades import refuse_cascade
from airlock.tools.databases.database import stores_text
from airlock.tools.databases.row_undo import Undo
from airlock.tools.databases.shapes import DatabaseWrite
from airlock.tools.values import Row, bound, exact


def change(connection: sa.Connection, table: sa.Table, args: DatabaseWrite, call: ToolCall) -> tuple[Row, Undo]:
    """Make the change; return the row for the output, and the data for an undo."""
    version = call.settings.version_column
    if args.operation == "insert":
        new = rows.insert(connection, table, _still_fits(call, lambda: rows.new_row(connection, table, args.row)))
        return new, {"key": exact(rows.key_of(table, new)), "before": None, "after": exact(new)}
    where = bound(table, args.where, as_text=stores_text(connection))
    old = _still_fits(call, lambda: rows.named_row(connection, table, where))
    if call.observed is not None and call.observed != rows.seen(old, version):
        raise Stale(f"the row of {args.table!r} has changed since its preview")
    key = exact(rows.key_of(table, old))
    if args.operation == "delete":
        refuse_cascade(connection, table, old)
        rows.delete(connection, table, old)
        return old, {"key": key, "before": exact(old), "after": None}
    new = rows.update(connection, table, old, rows.changed_row(connection, table, old, args.row, version))
    return new, {"key": key, "before": exact(old), "after": exact(new)}


def _still_fits(call: ToolCall, look: Callable[[], Row]) -> Row:
    """Return the result of a check; if the preview succeeded with it and it now fails, the call is stale."""
    try:
        return look()
    except ToolFailed as error:
        if call.observed is not None:
            raise Stale(str(error)) from error
        raise
