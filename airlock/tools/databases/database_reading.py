"""`database_query`: rows of one table, by equality.

The functions import their work when they are called: see `database_writing`.
"""

from pydantic import JsonValue

from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.tools.common import fits
from airlock.tools.databases.shapes import DatabaseQuery, DatabaseSettings, Rows


@tool(
    name="database_query",
    risk="LOW",
    reversibility="read_only",
    permissions={"database:read"},
    timeout=30,
    idempotent=True,
    settings=DatabaseSettings,
)
def database_query(args: DatabaseQuery, call: ToolCall) -> Rows:
    """Read rows of a table."""
    from airlock.tools.databases.row_reading import read_rows

    return read_rows(args, call)


@database_query.dry_run
def look(args: DatabaseQuery, call: ToolCall) -> Preview:
    """Run the query in a read-only transaction; behind changes of the same plan, in one that is rolled back with them."""
    from airlock.tools.databases.row_reading import preview_rows

    return preview_rows(args, call)


@database_query.mock
def mock(args: DatabaseQuery, _call: ToolCall) -> Rows:
    """Return one row that fits the query. Which other columns and rows there are is not known."""
    if not fits(args):
        return {"table": str(args.table), "rows": [{"id": UNKNOWN}], "count": 1}
    row: dict[str, JsonValue] = {name: args.where.get(name, UNKNOWN) for name in args.columns or ("id", *args.where)}
    return {"table": args.table, "rows": [row], "count": 1}
