"""`database_write`: one row inserted, updated or deleted exactly once, with an exact undo.

The functions import their work when they are called: it needs SQLAlchemy, for which a program that only reads contracts,
such as the command line, has no use.
"""

from collections.abc import Mapping
from typing import Any

from airlock.base.errors import Stale, ToolFailed
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, Probe, ToolCall
from airlock.tools.common import fits
from airlock.tools.databases.shapes import DatabaseSettings, DatabaseWrite, Written


@tool(
    name="database_write",
    risk="MEDIUM",
    reversibility="reversible",
    permissions={"database:write"},
    timeout=30,
    idempotent=True,
    fenced=True,
    settings=DatabaseSettings,
)
def database_write(args: DatabaseWrite, call: ToolCall) -> Written:
    """Insert, update or delete one row of a table."""
    from airlock.tools.databases.row_writing import write_row

    try:
        return write_row(args, call)
    except (ToolFailed, Stale):
        call.undo = None  # the transaction was rolled back
        raise


@database_write.dry_run(partial=True)
def look(args: DatabaseWrite, call: ToolCall) -> Preview:
    """Read the row in a read-only transaction, predict the change, and try it in a transaction that is rolled back."""
    from airlock.tools.databases.row_previews import preview_of

    return preview_of(args, call)


@database_write.compensate
def undo(_args: DatabaseWrite, call: ToolCall) -> None:
    """Restore the row exactly as it was; a repeat has no effect.

    Raises:
        ToolFailed: If another program has changed the row since; it is left alone.
    """
    from airlock.tools.databases.row_writing import undo_row

    undo_row(call)


@database_write.undo_check
def look_at_undo(_args: DatabaseWrite, call: ToolCall) -> Preview:
    """Check that the row is still as this call left it."""
    from airlock.tools.databases.row_writing import check_undo

    return check_undo(call)


@database_write.probe
def probe(_args: DatabaseWrite, call: ToolCall) -> Probe:
    """Check whether the ledger, written in the same transaction as the row, has the call; if not, bar its attempts."""
    from airlock.tools.databases.row_writing import probe_row

    return probe_row(call)


@database_write.mock
def mock(args: DatabaseWrite, _call: ToolCall) -> Written:
    """Return the given values, with an unknown id: it leaves open which other columns the row has."""
    given = {**args.where, **args.row} if fits(args) else {}
    return {"table": str(args.table), "operation": str(args.operation), "row": {**given, "id": UNKNOWN}}


@database_write.variant
def named_resource(args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add the row of an update or delete to the resources of the call; an insert has none."""
    table, where = args.get("table"), args.get("where")
    if not isinstance(table, str) or not isinstance(where, Mapping) or not where:
        return {}
    if not all(isinstance(value, str | int | float) and not str(name).startswith("$") for name, value in where.items()):
        return {}
    named = f"row:{table}/" + ",".join(f"{name}={where[name]}" for name in sorted(where))
    return {"resources": (named.replace("{", "{{").replace("}", "}}"),)}
