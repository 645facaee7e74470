"""The work of `database_write`: the row, the ledger and the undo, each in one transaction."""

import json
from typing import Any

from airlock.base.canonical import digest
from airlock.base.errors import ToolFailed
from airlock.plans.tool_call import Preview, Probe, ToolCall
from airlock.tools.common import require_mine_sync
from airlock.tools.databases.cascades import refuse_cascade
from airlock.tools.databases.database import open_table, transaction
from airlock.tools.databases.ledger import Ledger
from airlock.tools.databases.row_changes import change
from airlock.tools.databases.row_previews import column_text
from airlock.tools.databases.row_states import set_left
from airlock.tools.databases.row_undo import sides, take_back
from airlock.tools.databases.rows import seen
from airlock.tools.databases.shapes import DatabaseWrite, Written
from airlock.tools.values import plain, restored, same

MAX_OUTPUT_BYTES = 60_000


def write_row(args: DatabaseWrite, call: ToolCall) -> Written:
    """Change the row and record the call in the ledger; a repeat of a recorded call returns what it returned."""
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


def undo_row(call: ToolCall) -> None:
    """Restore the row exactly as it was before a call; a repeat has no effect."""
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


def check_undo(call: ToolCall) -> Preview:
    """Check that the row is still as a call left it."""
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


def probe_row(call: ToolCall) -> Probe:
    """Check whether the ledger has a call; if not, bar its attempts."""
    with transaction(call, write=True) as connection:
        entry = Ledger(connection).bar(call.idempotency_key, call.fence)
    if entry is None or entry.undone:
        return Probe(happened=False, why="the ledger has no such call, or it is undone")
    call.undo = {"call": call.idempotency_key}
    return Probe(happened=True, output=entry.output, why="the ledger has the call")


def _key(call: ToolCall) -> str:
    if not isinstance(call.undo, dict) or not isinstance(call.undo.get("call"), str):
        raise ToolFailed("the undo token is not one of database_write")
    return str(call.undo["call"])
