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
    """Return one row of unknown values: known ones would claim that there is no other column, and no other row."""
    names = args.columns or ("id", *args.where) if fits(args) else ("id",)
    row: dict[str, JsonValue] = dict.fromkeys(names, UNKNOWN)
    return {"table": str(args.table), "rows": [row], "count": 1}
