"""`database_write`: one row inserted, updated or deleted exactly once, with an exact undo."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue
from typing_extensions import TypedDict

from airlock.base.canonical import digest
from airlock.base.errors import Stale, ToolFailed
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, Probe, ToolCall
from airlock.tools.common import fits, require_mine_sync
from airlock.tools.databases.cascades import refuse_cascade
from airlock.tools.databases.database import DatabaseSettings, open_table, transaction
from airlock.tools.databases.ledger import Ledger
from airlock.tools.databases.row_changes import DatabaseWrite, change
from airlock.tools.databases.row_previews import column_text, preview_of
from airlock.tools.databases.row_states import set_left
from airlock.tools.databases.row_undo import sides, take_back
from airlock.tools.databases.rows import seen
from airlock.tools.values import plain, restored, same

MAX_OUTPUT_BYTES = 60_000


class Written(TypedDict):
    """The row after the call, with the values that the database added; the former row of a delete."""

    table: str
    operation: str
    row: dict[str, JsonValue]


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
    try:
        return _written(args, call)
    except (ToolFailed, Stale):
        call.undo = None  # the transaction was rolled back
        raise


def _written(args: DatabaseWrite, call: ToolCall) -> Written:
    request = digest(args.model_dump(mode="json"))
    call.undo = {"call": call.idempotency_key}
    with transaction(call, write=True) as connection:
        ledger = Ledger(connection)
        earlier = ledger.find(call.idempotency_key)
        barred = earlier is not None and earlier.barred and not earlier.undone
        if earlier is not None and barred and call.fence <= earlier.fence:
            raise ToolFailed("a probe has found that this attempt had no effect: it may have none any more")
        if earlier is not None and not barred:
            if earlier.undone or earlier.undo["request"] != request:
                raise ToolFailed("this idempotency key was used for a call that was undone, or for another one")
            output: Written = earlier.output
            _tell_left(call, earlier.undo["after"])
            return output
        ledger.create()
        if not barred:
            ledger.reserve(call.idempotency_key)
        table = open_table(connection, args.table, call.settings)
        row, undo = change(connection, table, args, call)
        output = {"table": args.table, "operation": args.operation, "row": plain(row)}
        if len(json.dumps(output)) > MAX_OUTPUT_BYTES:
            raise ToolFailed(f"the row is larger than {MAX_OUTPUT_BYTES} bytes")
        record = {**undo, "request": request, "table": args.table, "fence": call.fence}
        ledger.replace(call.idempotency_key, output, record)
        require_mine_sync(call)
    _tell_left(call, undo["after"])
    return output


def _tell_left(call: ToolCall, after: Any) -> None:
    set_left(call, None if after is None else seen(restored(after), call.settings.version_column))


@database_write.dry_run(partial=True)
def look(args: DatabaseWrite, call: ToolCall) -> Preview:
    """Read the row in a read-only transaction, predict the change, and try it in a transaction that is rolled back."""
    return preview_of(args, call)


@database_write.compensate
def undo(_args: DatabaseWrite, call: ToolCall) -> None:
    """Restore the row exactly as it was; a repeat has no effect.

    Raises:
        ToolFailed: If another program has changed the row since; it is left alone.
    """
    key = _key(call)
    with transaction(call, write=True) as connection:
        ledger = Ledger(connection)
        entry = ledger.find(key)
        if entry is None:  # the call had no effect, and this entry stops an attempt that is still under way
            ledger.create()
            ledger.keep(key, None, {"request": None}, undone=True)
        elif entry.barred:
            ledger.mark_undone(key)
        elif not entry.undone:
            take_back(connection, open_table(connection, entry.undo["table"], call.settings), entry.undo)
            ledger.mark_undone(key)


@database_write.undo_check
def look_at_undo(_args: DatabaseWrite, call: ToolCall) -> Preview:
    """Check that the row is still as this call left it."""
    with transaction(call, write=False) as connection:
        entry = Ledger(connection).find(_key(call))
        if entry is None or entry.undone or entry.barred:
            return Preview(effect="Nothing to do: the ledger has no such call, or it is undone.")
        table = open_table(connection, entry.undo["table"], call.settings)
        before, after, now = sides(connection, table, entry.undo)
        if same(now, before):
            return Preview(effect=f"Nothing to do: the row of {table.fullname} is as it was before.")
        if not same(now, after):
            raise ToolFailed(f"another program has changed the row of {table.fullname!r} since: it would be left alone")
        if before is None:
            refuse_cascade(connection, table, after or {})
        verb = "delete" if before is None else "insert" if after is None else "restore"
        return Preview(effect=f"Would {verb} the row {column_text(plain(restored(entry.undo['key'])))} of {table.fullname}.")


@database_write.probe
def probe(_args: DatabaseWrite, call: ToolCall) -> Probe:
    """Check whether the ledger, written in the same transaction as the row, has the call; if not, bar its attempts."""
    with transaction(call, write=True) as connection:
        entry = Ledger(connection).bar(call.idempotency_key, call.fence)
    if entry is None or entry.undone:
        return Probe(happened=False, why="the ledger has no such call, or it is undone")
    call.undo = {"call": call.idempotency_key}
    return Probe(happened=True, output=entry.output, why="the ledger has the call")


@database_write.mock
def mock(args: DatabaseWrite, _call: ToolCall) -> Written:
    """Return a plausible row, with an id if none is given."""
    given = {**args.where, **args.row} if fits(args) else {}
    return {"table": str(args.table), "operation": str(args.operation), "row": {"id": 1, **given}}


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


def _key(call: ToolCall) -> str:
    if not isinstance(call.undo, dict) or not isinstance(call.undo.get("call"), str):
        raise ToolFailed("the undo token is not one of database_write")
    return str(call.undo["call"])
