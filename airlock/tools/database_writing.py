"""`database_write`: one row inserted, updated or deleted exactly once, with an exact undo."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal, Self

import sqlalchemy as sa
from pydantic import Field, JsonValue, model_validator
from typing_extensions import TypedDict

from airlock.base.canonical import digest
from airlock.base.errors import Stale, ToolFailed
from airlock.plans.own_steps import Left
from airlock.plans.refs import UNKNOWN, contains_unknown
from airlock.plans.tool import Preview, Probe, ToolCall, tool
from airlock.tools import rows
from airlock.tools.cascades import refuse_cascade
from airlock.tools.common import Arguments, fits, require_mine_sync
from airlock.tools.database import DatabaseSettings, known_columns, open_table, stores_text, transaction
from airlock.tools.ledger import Entry, Ledger
from airlock.tools.row_states import agrees, earlier_changes, known_change, row_name, unknown_change
from airlock.tools.row_trials import NOT_TRIED, Trial, foreseen, tell, tried
from airlock.tools.row_undo import Undo, sides, take_back
from airlock.tools.values import Row, bound, exact, plain, restored, same

MAX_OUTPUT_BYTES = 60_000
_HAS_ONE = " The database has a call under this plan id and step already."
_MADE_LIVE = " An earlier step of this plan inserts that row, and only then the database gives it all its values."


class DatabaseWrite(Arguments):
    """One row to write."""

    table: Annotated[str, Field(min_length=1, description="the table to write to")]
    operation: Annotated[Literal["insert", "update", "delete"], Field(description="what to do with the row")] = "insert"
    row: Annotated[
        dict[str, JsonValue],
        Field(description="values by column: of the new row, or what to change", default_factory=dict),
    ]
    where: Annotated[
        dict[str, str | int | float | bool | None],
        Field(
            description="for update and delete: the primary key of the row, or columns that are unique", default_factory=dict
        ),
    ]

    @model_validator(mode="after")
    def _fits_operation(self) -> Self:
        if bool(self.where) == (self.operation == "insert"):
            raise ValueError(f"{self.operation} takes {'no `where`' if self.where else '`where`'}")
        if bool(self.row) == (self.operation == "delete"):
            raise ValueError(f"{self.operation} takes {'no `row`' if self.row else '`row`'}")
        return self


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
            return output
        ledger.create()
        if not barred:
            ledger.reserve(call.idempotency_key)
        table = open_table(connection, args.table, call.settings)
        row, undo = _change(connection, table, args, call)
        output = {"table": args.table, "operation": args.operation, "row": plain(row)}
        if len(json.dumps(output)) > MAX_OUTPUT_BYTES:
            raise ToolFailed(f"the row is larger than {MAX_OUTPUT_BYTES} bytes")
        record = {**undo, "request": request, "table": args.table, "fence": call.fence}
        ledger.replace(call.idempotency_key, output, record)
        require_mine_sync(call)
    return output


def _change(connection: sa.Connection, table: sa.Table, args: DatabaseWrite, call: ToolCall) -> tuple[Row, Undo]:
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


@database_write.dry_run(partial=True)
def look(args: DatabaseWrite, call: ToolCall) -> Preview:
    """Read the row in a read-only transaction, predict the change, and try it in a transaction that is rolled back."""
    unknown = contains_unknown({"row": dict(args.row), "where": dict(args.where)})
    preview = None
    with transaction(call, write=False) as connection:
        entry = Ledger(connection).find(call.idempotency_key)
        earlier = None if entry is None or (entry.barred and not entry.undone) else entry
        if earlier is not None and not unknown:
            return _made_before(args, earlier)
        if unknown or not earlier_changes(call):
            preview = _looked(connection, args, call)
    if preview is None:  # the world alone does not tell: the row may be one that an earlier step of the plan inserts
        if (found := _foreseen(args, call)) is not None:
            return found
        with transaction(call, write=False) as connection:
            preview = _looked(connection, args, call)
    made: list[Trial] = []
    if unknown:
        said = NOT_TRIED.format(why="a value is known after live") + (_HAS_ONE if earlier else "")
        leaves = unknown_change(call)
    else:
        said = tried(call, lambda connection: _try(connection, args, call), made)
        leaves = _left(args, call, made[0].undo) if made else {}
    return preview.model_copy(update={"effect": preview.effect + said, "leaves": leaves})


def _try(connection: sa.Connection, args: DatabaseWrite, call: ToolCall) -> Trial:
    table = open_table(connection, args.table, call.settings)
    row, undo = _change(connection, table, args, call)
    given = bound(table, args.row, as_text=stores_text(connection))
    stored = {name for name, value in given.items() if value == row[name] or same({name: value}, {name: row[name]})}
    otherwise = {name: value for name, value in plain(row).items() if name in given.keys() - stored}
    return Trial(table, undo, f" The database would store {_text(otherwise)}." if otherwise else "")


def repeats(call: ToolCall, made: list[Trial] | None = None) -> list[Callable[[sa.Connection], None]]:
    """Return functions that make the changes of the plan's earlier steps in a transaction, in their order.

    Args:
        call: The dry run.
        made: Gets each change as it is made.
    """
    trials = [] if made is None else made

    def repeat(connection: sa.Connection, change: Any) -> None:
        trials.append(_try(connection, DatabaseWrite.model_validate(change), call))

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
    name = row_name(args.table, made.undo["key"])
    agreed = agrees(call, name, preview.observed)
    inserted = any(each.inserted(made) for each in earlier)
    if not agreed and not inserted:
        return None
    told: dict[str, Any] = {"effect": preview.effect + said, "leaves": _left(args, call, made.undo)}
    if inserted and (not agreed or call.look_before(name) is None):
        # a sequence or a clock: as little is known of the row as with a `where` that is known after live
        told |= {"effect": preview.effect + said + _MADE_LIVE, "output": UNKNOWN, "observed": None}
    return preview.model_copy(update=told)


def _left(args: DatabaseWrite, call: ToolCall, made: Undo) -> dict[str, Left]:
    after: Any = made["after"]
    seen = None if after is None else rows.seen(restored(after), call.settings.version_column)
    return {row_name(args.table, made["key"]): Left(seen=seen), **known_change(call, args.model_dump(mode="json"))}


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
        effect, undo = f"Would delete the row {_text(args.where)} of {args.table}.", "Insert the row again, same key."
    else:
        new = {**old, **rows.changed_row(connection, table, old, args.row, version)}
        changes = ", ".join(f"{name} from {plain(old)[name]!r} to {args.row[name]!r}" for name in args.row)
        effect = f"Would update the row {_text(args.where)} of {args.table}: {changes}."
        undo = "Restore the former values."
    output: JsonValue = {"table": args.table, "operation": args.operation, "row": plain(new)}
    return Preview(effect=effect, output=output, observed=rows.seen(old, version), undo=undo)


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
        return Preview(effect=f"Would {verb} the row {_text(plain(restored(entry.undo['key'])))} of {table.fullname}.")


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


def _still_fits(call: ToolCall, look: Callable[[], Row]) -> Row:
    """Return the result of a check; if the preview succeeded with it and it now fails, the call is stale."""
    try:
        return look()
    except ToolFailed as error:
        if call.observed is not None:
            raise Stale(str(error)) from error
        raise


def _look_insert(connection: sa.Connection, table: sa.Table, args: DatabaseWrite) -> Preview:
    values = rows.new_row(connection, table, args.row)
    added = {column.name: _default(column) for column in table.columns}
    return Preview(
        effect=f"Would insert a row into {args.table}: {_text(args.row)}.",
        output={"table": args.table, "operation": "insert", "row": {**added, **plain(values)}},
        observed={"clashes": 0},
        undo="Delete the row again.",
    )


def _default(column: "sa.Column[Any]") -> JsonValue:
    made = column.server_default is not None or column.computed is not None or column.primary_key
    return UNKNOWN if made else None


def _text(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def _key(call: ToolCall) -> str:
    if not isinstance(call.undo, dict) or not isinstance(call.undo.get("call"), str):
        raise ToolFailed("the undo token is not one of database_write")
    return str(call.undo["call"])
