"""The dry run of `database_write`: what a change would do, behind the earlier changes of its plan."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import sqlalchemy as sa
from pydantic import JsonValue

from airlock.base.canonical import digest
from airlock.base.errors import ToolFailed
from airlock.plans.own_steps import Earlier, Left
from airlock.plans.refs import UNKNOWN, contains_unknown
from airlock.plans.tool_call import Preview, ToolCall
from airlock.tools.databases import rows
from airlock.tools.databases.cascades import refuse_cascade
from airlock.tools.databases.database import known_columns, open_table, stores_text, transaction
from airlock.tools.databases.ledger import Entry, Ledger
from airlock.tools.databases.row_changes import change
from airlock.tools.databases.row_states import (
    earlier_changes,
    foreseen_state,
    inserted_name,
    known_change,
    row_name,
    unforeseen_columns,
    unknown_change,
)
from airlock.tools.databases.row_trials import NOT_TRIED, Trial, foreseen, tell, tried
from airlock.tools.databases.shapes import DatabaseWrite
from airlock.tools.values import bound, exact, plain, restored, same

_HAS_ONE = " The database has a call under this plan id and step already."
_MADE_LIVE = (
    " An earlier step of this plan changes that row, and only then all its values are known: the call compares it with the "
    "row that this step leaves."
)


def preview_of(args: DatabaseWrite, call: ToolCall) -> Preview:
    """Return the preview of one change.

    Raises:
        ToolFailed: If the change would be refused, or the database does not answer.
    """
    unknown = contains_unknown({"row": dict(args.row), "where": dict(args.where)})
    found: tuple[Preview, str | None] | None = None
    with transaction(call, write=False) as connection:
        entry = Ledger(connection).find(call.idempotency_key)
        earlier = None if entry is None or (entry.barred and not entry.undone) else entry
        if earlier is not None and not unknown:
            return _made_before(args, earlier)
        if unknown or not earlier_changes(call):
            found = _in_the_world(connection, args, call)
    if found is None:  # the world alone does not tell: the row may be one that an earlier step of the plan inserts
        if (foreseen_now := _foreseen(args, call)) is not None:
            return foreseen_now
        with transaction(call, write=False) as connection:
            found = _in_the_world(connection, args, call)
    preview, name = found
    made: list[Trial] = []
    if unknown:
        said = NOT_TRIED.format(why="a value is known after live") + (_HAS_ONE if earlier else "")
        leaves = unknown_change(call) | ({} if name is None else {name: _open_state(args)})
    else:
        said = tried(call, lambda connection: _try(connection, args, call), made)
        leaves = _left(args, call, made[0], None) if made else {}
    told = None if name is None else call.look_before(name)
    if name is None or told is None or told.seen is None:
        return preview.model_copy(update={"effect": preview.effect + said, "leaves": leaves})
    # an earlier step changes the row, in a way that could not be repeated here: the call compares with what it leaves
    call.earlier(name)
    observed = foreseen_state(told.seen, preview.observed)
    if contains_unknown(observed):
        said, leaves = said + _MADE_LIVE, {**leaves, name: _open_state(args)}
        preview = preview.model_copy(update={"output": UNKNOWN})
    # the former values are those of the world, and no longer those that the call would replace
    told_again = {"effect": preview.effect + said, "observed": observed, "leaves": leaves, "former": {}}
    return preview.model_copy(update=told_again)


def _open_state(args: DatabaseWrite) -> Left:
    return Left(seen=None if args.operation == "delete" else {"sha256": UNKNOWN})


def _in_the_world(connection: sa.Connection, args: DatabaseWrite, call: ToolCall) -> tuple[Preview, str | None]:
    """Return the preview of a change as the database is now, and the name of its row; None if that cannot be told."""
    preview = _looked(connection, args, call)
    table, as_text = open_table(connection, args.table, call.settings), stores_text(connection)
    keys = [column.name for column in table.primary_key.columns]
    if args.operation != "insert":
        if contains_unknown(dict(args.where)):
            return preview, _name_by_reference(args, call)
        row = rows.named_row(connection, table, bound(table, args.where, as_text=as_text))
        return preview, row_name(table.fullname, exact(rows.key_of(table, row)))
    if any(args.row.get(key) in (None, UNKNOWN) for key in keys):
        return preview, inserted_name(table.fullname, call.step_id)
    return preview, row_name(table.fullname, exact(bound(table, {key: args.row[key] for key in keys}, as_text=as_text)))


def _try(connection: sa.Connection, args: DatabaseWrite, call: ToolCall, step: str = "") -> Trial:
    table = open_table(connection, args.table, call.settings)
    row, undo = change(connection, table, args, call)
    given = bound(table, args.row, as_text=stores_text(connection))
    stored = {name for name, value in given.items() if value == row[name] or same({name: value}, {name: row[name]})}
    otherwise = {name: value for name, value in plain(row).items() if name in given.keys() - stored}
    inserts = args.operation == "insert"
    return Trial(
        table, undo, f" The database would store {column_text(otherwise)}." if otherwise else "", step or call.step_id,
        numbered=inserts and any(args.row.get(column.name) is None for column in table.primary_key.columns),
        unforeseen=unforeseen_columns(table, dict(args.row)) if inserts else frozenset(),
    )  # fmt: skip


def repeats(call: ToolCall, made: list[Trial] | None = None) -> list[Callable[[sa.Connection], None]]:
    """Return functions that make the changes of the plan's earlier steps in a transaction, in their order.

    Args:
        call: The dry run.
        made: Gets each change as it is made.
    """
    trials = [] if made is None else made

    def repeat(connection: sa.Connection, change: Earlier) -> None:
        trials.append(_try(connection, DatabaseWrite.model_validate(change.content), call, change.step))

    return [partial(repeat, change=change) for change in earlier_changes(call)]


def _foreseen(args: DatabaseWrite, call: ToolCall) -> Preview | None:
    """Return the preview behind the changes of earlier steps; None if they cannot be made before it."""
    earlier: list[Trial] = []
    found = foreseen(
        call,
        repeats(call, earlier),
        lambda connection: _looked(connection, args, call),
        lambda connection: _try(connection, args, call),
        partial(tell, key=call.idempotency_key),
    )
    if found is None:
        return None
    preview, made, said = found
    inserted = next((each for each in reversed(earlier) if each.inserted(made)), None)
    told = call.look_before(_name(made, inserted))
    if told is None or told.seen is None:  # no earlier step changed the row, or one deleted it and this one inserts it
        left = _left(args, call, made, inserted)
        return preview.model_copy(update={"effect": preview.effect + said, "leaves": left})
    call.earlier(_name(made, inserted))
    observed = foreseen_state(told.seen, preview.observed)
    changes: dict[str, Any] = {"observed": observed, "leaves": _left(args, call, made, inserted)}
    if not contains_unknown(observed):
        return preview.model_copy(update={**changes, "effect": preview.effect + said})
    # a sequence or a clock gives another row each time it is made
    if (after := changes["leaves"][_name(made, inserted)]).seen is not None:
        changes["leaves"][_name(made, inserted)] = Left(seen={**after.seen, "sha256": UNKNOWN})
    return preview.model_copy(update={**changes, "effect": preview.effect + said + _MADE_LIVE, "output": UNKNOWN})


def _name_by_reference(args: DatabaseWrite, call: ToolCall) -> str | None:
    """Return the name of the row whose key is read from the step that inserts it; None if it is not named so."""
    sources = {column: call.source(f"where.{column}") for column in args.where}
    steps = {source[0] for column, source in sources.items() if source is not None and source[1] == ("row", column)}
    told = len(steps) == 1 and all(source is not None and source[1] == ("row", column) for column, source in sources.items())
    return inserted_name(args.table, next(iter(steps))) if told else None


def _name(made: Trial, inserted: Trial | None) -> str:
    """Return the name of a changed row: by the step that inserts it, where only the database knows its key."""
    source = inserted or made
    table = made.table.fullname
    return inserted_name(table, source.step) if source.numbered else row_name(table, made.undo["key"])


def _left(args: DatabaseWrite, call: ToolCall, made: Trial, inserted: Trial | None) -> dict[str, Left]:
    after: Any = made.undo["after"]
    seen: Any = None if after is None else rows.seen(restored(after), call.settings.version_column)
    if seen is not None and made.unforeseen:
        seen |= dict.fromkeys(["sha256", *({"version"} & seen.keys() if _version_varies(made, call) else ())], UNKNOWN)
    return {_name(made, inserted): Left(seen=seen), **known_change(call, args.model_dump(mode="json"))}


def _version_varies(made: Trial, call: ToolCall) -> bool:
    return call.settings.version_column in made.unforeseen


def _made_before(args: DatabaseWrite, earlier: Entry) -> Preview:
    """Return the preview of a call that the ledger has already, under the same plan id and step.

    Raises:
        ToolFailed: If the ledger has another call there: the live call would be refused.
    """
    if earlier.undone or earlier.undo["request"] != digest(args.model_dump(mode="json")):
        raise ToolFailed(f"{_HAS_ONE.strip()} It was another call, or it was undone: use a new plan_id")
    effect = f"Would change nothing.{_HAS_ONE} To make it once more, use a new plan_id."
    return Preview(effect=effect, output=earlier.output, undo="Take back what the earlier call did.")


def _looked(connection: sa.Connection, args: DatabaseWrite, call: ToolCall) -> Preview:
    table = open_table(connection, args.table, call.settings)
    if args.operation == "insert":
        return _look_insert(connection, table, args)
    if contains_unknown(dict(args.where)):
        known_columns(table, [*args.where, *args.row])
        effect = f"Would {args.operation} a row of {args.table} that is known after live."
        return Preview(effect=effect, undo="Restore the former row.")
    old = rows.named_row(connection, table, bound(table, args.where, as_text=stores_text(connection)))
    version = call.settings.version_column
    new = old
    if args.operation == "delete":
        refuse_cascade(connection, table, old)
        effect, undo = f"Would delete the row {column_text(args.where)} of {args.table}.", "Insert the row again, same key."
        former = plain(old)
    else:
        new = {**old, **rows.changed_row(connection, table, old, args.row, version)}
        changes = ", ".join(f"{name} from {plain(old)[name]!r} to {args.row[name]!r}" for name in args.row)
        effect = f"Would update the row {column_text(args.where)} of {args.table}: {changes}."
        undo = "Restore the former values."
        former = {name: plain(old)[name] for name in args.row}
    output: JsonValue = {"table": args.table, "operation": args.operation, "row": plain(new)}
    # the effect names these too, but is cut where they are long
    return Preview(effect=effect, output=output, observed=rows.seen(old, version), undo=undo, former={"row": former})


def _look_insert(connection: sa.Connection, table: sa.Table, args: DatabaseWrite) -> Preview:
    values = rows.new_row(connection, table, args.row)
    added = {column.name: _default(column) for column in table.columns}
    return Preview(
        effect=f"Would insert a row into {args.table}: {column_text(args.row)}.",
        output={"table": args.table, "operation": "insert", "row": {**added, **plain(values)}},
        observed={"clashes": 0},
        undo="Delete the row again.",
    )


def _default(column: "sa.Column[Any]") -> JsonValue:
    made = column.server_default is not None or column.computed is not None or column.primary_key
    return UNKNOWN if made else None


def column_text(values: Mapping[str, Any]) -> str:
    """Return values by column on one line."""
    return ", ".join(f"{name}={value!r}" for name, value in values.items())
