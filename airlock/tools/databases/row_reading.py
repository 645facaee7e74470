"""The work of `database_query`: the rows, and the rows as the earlier steps of the plan would leave them."""

import json
from functools import partial
from typing import Any

import sqlalchemy as sa

from airlock.base.errors import ToolFailed
from airlock.plans.tool_call import Preview, ToolCall
from airlock.tools.common import json_of
from airlock.tools.databases.database import equal_to, known_columns, open_table, stores_text, transaction
from airlock.tools.databases.row_previews import repeats
from airlock.tools.databases.row_trials import foreseen
from airlock.tools.databases.shapes import DatabaseQuery, Rows
from airlock.tools.values import bound, plain

MAX_OUTPUT_BYTES = 60_000


def read_rows(args: DatabaseQuery, call: ToolCall) -> Rows:
    """Read the rows in a read-only transaction."""
    with transaction(call, write=False) as connection:
        return _read(connection, args, call)


def preview_rows(args: DatabaseQuery, call: ToolCall) -> Preview:
    """Read the rows; behind changes of the same plan, in a transaction that is rolled back with them."""
    changes, changed = repeats(call), bool(call.earlier_all("change"))
    read = partial(_read, args=args, call=call)
    behind = foreseen(call, changes, read, lambda _: None, lambda *_: "") if changes else None
    found = read_rows(args, call) if behind is None else behind[0]
    said = f", {'before' if behind is None else 'after'} the earlier steps of this plan" if changed else ""
    return Preview(effect=f"Would read {found['count']} rows of {args.table}{said}.", output=json_of(found))


def _read(connection: sa.Connection, args: DatabaseQuery, call: ToolCall) -> Rows:
    table = open_table(connection, args.table, call.settings, views=True)
    query = _query(table, args, as_text=stores_text(connection))
    rows = [plain(dict(row)) for row in connection.execute(query).mappings()]
    if len(json.dumps(rows)) > MAX_OUTPUT_BYTES:
        raise ToolFailed(f"the rows are larger than {MAX_OUTPUT_BYTES} bytes: name columns, or lower the limit")
    return {"table": args.table, "rows": rows, "count": len(rows)}


def _query(table: sa.Table, args: DatabaseQuery, *, as_text: bool) -> sa.Select[Any]:
    order = [(name.removeprefix("-"), name.startswith("-")) for name in args.order_by]
    known_columns(table, [*args.columns, *args.where, *(name for name, _ in order)])
    columns = [table.columns[name] for name in args.columns] if args.columns else list(table.columns)
    condition = equal_to(table, bound(table, args.where, as_text=as_text))
    sorting = [table.columns[name].desc() if down else table.columns[name] for name, down in order]
    return sa.select(*columns).where(condition).order_by(*sorting).limit(args.limit)
