"""The undo of `database_write` is exact: every value of every kind, and any sequence of operations."""

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from airlock.base.errors import ToolFailed
from airlock.tools import database_write
from airlock.tools.values import bound, exact, plain, restored
from sandbox.database import create_database

Make = Callable[..., Any]

KINDS = sa.Table(
    "kinds", sa.MetaData(), sa.Column("price", sa.Numeric), sa.Column("at", sa.DateTime), sa.Column("day", sa.Date),
    sa.Column("blob", sa.LargeBinary), sa.Column("id", sa.Uuid), sa.Column("doc", sa.JSON), sa.Column("text", sa.Text),
    sa.Column("ratio", sa.Float), sa.Column("flag", sa.Boolean), sa.Column("what", sa.types.NullType),
)  # fmt: skip
ROW: dict[str, Any] = {
    "price": Decimal("1.10"), "at": datetime(2024, 1, 2, 3, 4, 5, 6, UTC), "day": date(2024, 1, 2), "blob": b"\x00\xff",
    "id": UUID(int=7), "doc": {"decimal": "1", "b": [1]}, "text": "x", "ratio": 0.1, "flag": True, "what": None,
    "list": [1, {"a": 2}], "hour": time(1, 2), "span": timedelta(days=-1, microseconds=3), "inf": float("inf"), "big": 2**70,
}  # fmt: skip


def test_every_kind_of_value_survives_json() -> None:
    kept = exact(ROW)
    back = restored(kept)
    assert back == ROW
    assert {name: type(value) for name, value in back.items()} == {name: type(value) for name, value in ROW.items()}
    assert plain(ROW) | {"price": "1.10", "blob": "AP8=", "inf": "inf", "hour": "01:02:00"} == plain(ROW)
    with pytest.raises(ToolFailed, match="column 'x' holds a complex"):
        exact({"x": 1j})


def test_values_of_a_plan_become_what_a_typed_column_takes() -> None:
    written = {"price": 1.1, "at": "2024-01-02T03:04:05", "day": "2024-01-02", "blob": "AP8=", "id": str(UUID(int=7))}
    same = {"doc": {"a": 1}, "text": "2024-01-02", "ratio": 1, "flag": True, "what": "x"}
    assert bound(KINDS, {**written, **same}, as_text=False) == {
        "price": Decimal("1.1"), "at": datetime.fromisoformat("2024-01-02T03:04:05"), "day": date(2024, 1, 2),
        "blob": b"\x00\xff", "id": UUID(int=7), **same,
    }  # fmt: skip
    for name, wrong in (("price", "much"), ("at", "soon"), ("id", "x"), ("blob", "%")):
        with pytest.raises(ToolFailed, match=f"column '{name}' takes a"):
            bound(KINDS, {name: wrong}, as_text=False)


ODD = """
CREATE TABLE odd (a TEXT, b INTEGER, exact NUMERIC(30, 20), blob BLOB, day DATE, at DATETIME, flag BOOLEAN, doc JSON,
    twice INTEGER GENERATED ALWAYS AS (b * 2), PRIMARY KEY (a, b));
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parent (id) ON DELETE CASCADE);
CREATE TABLE keyless (a TEXT);
CREATE TABLE named (code TEXT PRIMARY KEY, value REAL);
"""


@pytest.fixture
def odd(database: Any) -> Any:
    with closing(sqlite3.connect(database.path)) as db, db:
        db.executescript(ODD)
    return database


ODD_ROW = ("k", 2, 0.1234567890123456, b"\x00\xff", "2024-02-30", "2024-01-01T10:00:00", 1, '{"b":  1}')


@pytest.mark.parametrize("operation", ["update", "delete"])
async def test_undo_is_exact_whatever_the_columns_hold(runner: Make, odd: Any, operation: str) -> None:
    odd.run("INSERT INTO odd (a, b, exact, blob, day, at, flag, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", *ODD_ROW)
    odd.run("INSERT INTO odd (a, b, exact, blob, day) VALUES ('text in all', 3, 'not a number', 'text', 17)")
    before = odd.run("SELECT *, typeof(exact), typeof(blob) FROM odd ORDER BY 1")
    for number, (a, b) in enumerate((("k", 2), ("text in all", 3))):
        tool = runner(database_write, odd.settings, key=str(number))
        args = {"table": "odd", "operation": operation, "where": {"a": a, "b": b}}
        if operation == "update":
            args["row"] = {"exact": 5, "blob": None, "doc": {"x": [1]}, "day": "2024-01-01", "flag": False}
        preview = await tool.dry_run(**args)
        call = tool.call(observed=preview.observed)
        assert await tool.live(call, **args) == preview.output
        await tool.undo(call.undo, **args)
        assert odd.run("SELECT *, typeof(exact), typeof(blob) FROM odd ORDER BY 1") == before


async def test_what_could_not_be_undone_is_refused(runner: Make, odd: Any) -> None:
    odd.run("INSERT INTO parent VALUES (1, 'p')")
    odd.run("INSERT INTO child VALUES (1, 1)")
    tool = runner(database_write, odd.settings)
    with pytest.raises(ToolFailed, match=r"rows of 'child' would be deleted or changed with it \(ON DELETE CASCADE\)"):
        await tool.dry_run(table="parent", operation="delete", where={"id": 1})
    with pytest.raises(ToolFailed, match="would be deleted or changed with it"):
        await tool.live(table="parent", operation="delete", where={"id": 1})
    with pytest.raises(ToolFailed, match="no primary key"):
        await tool.live(table="keyless", row={"a": "x"})
    with pytest.raises(ToolFailed, match="needs a value for code"):
        await tool.live(table="named", row={"value": 1})
    assert odd.rows("parent") == [(1, "p")]
    assert odd.rows("keyless") == odd.rows("named") == []
    assert (await tool.live(table="named", row={"code": "x", "value": 2}))["row"] == {"code": "x", "value": 2.0}


async def test_the_undo_of_an_insert_deletes_no_rows_of_others_with_it(runner: Make, odd: Any) -> None:
    tool = runner(database_write, odd.settings)
    call = tool.call()
    await tool.live(call, table="parent", row={"name": "p"})
    odd.run("INSERT INTO child VALUES (1, 1)")
    for kind in ("undo_check", "compensate"):
        with pytest.raises(ToolFailed, match=r"rows of 'child' would be deleted or changed with it"):
            await tool._run(kind, {"table": "parent", "row": {"name": "p"}}, tool.call(undo=call.undo))
    assert odd.rows("child") == [(1, 1)]


EMAILS = st.sampled_from(["a@x.test", "b@x.test", None])
WHERE = st.fixed_dictionaries({"id": st.integers(1, 3)})
INSERTS = st.fixed_dictionaries(
    {
        "operation": st.just("insert"),
        "row": st.fixed_dictionaries({"email": EMAILS, "name": st.text(max_size=5)}, optional={"id": st.integers(1, 4)}),
    }
)
UPDATES = st.fixed_dictionaries(
    {
        "operation": st.just("update"),
        "where": WHERE,
        "row": st.fixed_dictionaries({"email": EMAILS}) | st.fixed_dictionaries({"plan": st.none() | st.text(max_size=5)}),
    }
)
OPERATIONS = st.lists(
    INSERTS | UPDATES | st.fixed_dictionaries({"operation": st.just("delete"), "where": WHERE}), max_size=8
)


@settings(deadline=None, max_examples=30)
@given(operations=OPERATIONS)
async def test_undoing_any_operations_in_reverse_restores_the_whole_table(runner: Make, operations: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.db"
        create_database(path)
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("INSERT INTO accounts (email, name) VALUES ('a@x.test', 'A'), (NULL, 'B')")
            before = db.execute("SELECT * FROM accounts ORDER BY id").fetchall()
        done = []
        for number, args in enumerate(operations):
            tool = runner(database_write, {"url": f"sqlite:///{path}"}, key=str(number))
            call = tool.call()
            try:
                preview = await tool.dry_run(table="accounts", **args)
            except ToolFailed:
                with pytest.raises(ToolFailed):
                    await tool.live(call, table="accounts", **args)
                continue
            call.observed = preview.observed
            output = await tool.live(call, table="accounts", **args)
            assert await tool.live(tool.call(attempt=2), table="accounts", **args) == output
            done.append((tool, args, call.undo))
        for tool, args, token in reversed(done):
            await tool.undo(token, table="accounts", **args)
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("SELECT * FROM accounts ORDER BY id").fetchall() == before
