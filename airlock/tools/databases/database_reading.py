"""`database_query`: rows of one table, by equality."""

import json
from functools import partial
from typing import Annotated, Any

import sqlalchemy as sa
from pydantic import Field, JsonValue
from typing_extensions import TypedDict

from airlock.base.errors import ToolFailed
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.tools.common import Arguments, fits, frozen_description, json_of
from airlock.tools.databases.database import DatabaseSettings, equal_to, known_columns, open_table, stores_text, transaction
from airlock.tools.databases.row_previews import repeats
from airlock.tools.databases.row_trials import foreseen
from airlock.tools.values import bound, plain

MAX_OUTPUT_BYTES = 60_000


class DatabaseQuery(Arguments):
    """The rows to read."""

    model_config = frozen_description("Which rows to read.")

    table: Annotated[str, Field(min_length=1, description="the table or view to read")]
    columns: Annotated[tuple[str, ...], Field(description="the columns to return; all when empty")] = ()
    where: Annotated[
        dict[str, str | int | float | bool | None],
        Field(description="values the columns must equal; null matches NULL", default_factory=dict),
    ]
    order_by: Annotated[tuple[str, ...], Field(description="columns to sort by; `-name` sorts downwards")] = ()
    limit: Annotated[int, Field(ge=1, le=1_000, description="the most rows to return")] = 100


class Rows(TypedDict):
    """The rows found."""

    table: str
    rows: list[dict[str, JsonValue]]
    count: int
    """The number of returned rows."""


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
    with transaction(call, write=False) as connection:
        return _read(connection, args, call)


def _read(connection: sa.Connection, args: DatabaseQuery, call: ToolCall) -> Rows:
    table = open_table(connection, args.table, call.settings, views=True)
    query = _query(table, args, as_text=stores_text(connection))
    rows = [plain(dict(row)) for row in connection.execute(query).mappings()]
    if len(json.dumps(rows)) > MAX_OUTPUT_BYTES:
        raise ToolFailed(f"the rows are larger than {MAX_OUTPUT_BYTES} bytes: name columns, or lower the limit")
    return {"table": args.table, "rows": rows, "count": len(rows)}


@database_query.dry_run
def look(args: DatabaseQuery, call: ToolCall) -> Preview:
    """Run the query in a read-only transaction; behind changes of the same plan, in one that is rolled back with them."""
    changes, changed = repeats(call), bool(call.earlier_all("change"))
    read = partial(_read, args=args, call=call)
    behind = foreseen(call, changes, read, lambda _: None, lambda *_: "") if changes else None
    found = database_query.live(args, call) if behind is None else behind[0]
    said = f", {'before' if behind is None else 'after'} the earlier steps of this plan" if changed else ""
    return Preview(effect=f"Would read {found['count']} rows of {args.table}{said}.", output=json_of(found))


@database_query.mock
def mock(args: DatabaseQuery, _call: ToolCall) -> Rows:
    """Return one row that fits the query."""
    if not fits(args):
        return {"table": str(args.table), "rows": [{"id": 1}], "count": 1}
    names = args.columns or ("id", *args.where)
    row: dict[str, JsonValue] = {name: args.where.get(name, 1 if name == "id" else f"a {name}") for name in names}
    return {"table": args.table, "rows": [row], "count": 1}


def _query(table: sa.Table, args: DatabaseQuery, *, as_text: bool) -> sa.Select[Any]:
    order = [(name.removeprefix("-"), name.startswith("-")) for name in args.order_by]
    known_columns(table, [*args.columns, *args.where, *(name for name, _ in order)])
    columns = [table.columns[name] for name in args.columns] if args.columns else list(table.columns)
    condition = equal_to(table, bound(table, args.where, as_text=as_text))
    sorting = [table.columns[name].desc() if down else table.columns[name] for name, down in order]
    return sa.select(*columns).where(condition).order_by(*sorting).limit(args.limit)
