"""Constraints of the database: foreign keys, checks, types and triggers refuse a row in its dry run already."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airlock.base.errors import ToolFailed
from airlock.tools import database_write

SCHEMA = (
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers(id), amount INT CHECK (amount > 0))",
    "CREATE TABLE later (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers(id) DEFERRABLE INITIALLY DEFERRED)",
    "CREATE TABLE typed (id INTEGER PRIMARY KEY, number INTEGER NOT NULL) STRICT",
    "CREATE TABLE guarded (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TRIGGER no_bob BEFORE INSERT ON guarded WHEN NEW.name = 'bob' BEGIN SELECT RAISE(ABORT, 'no bobs'); END",
    "CREATE TABLE doubled (id INTEGER PRIMARY KEY, a INT, b INT AS (a * 2))",
    "CREATE TABLE pairs (id INTEGER PRIMARY KEY, other INTEGER REFERENCES nowhere (id))",
    "CREATE TABLE unkeyed (name TEXT)",
    "CREATE TABLE odd (id INTEGER PRIMARY KEY, name TEXT REFERENCES unkeyed (name) DEFERRABLE INITIALLY DEFERRED)",
    "CREATE TABLE foreign_function (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TRIGGER calls AFTER INSERT ON foreign_function BEGIN SELECT of_another_program(NEW.name); END",
    "CREATE TRIGGER no_rob BEFORE INSERT ON guarded WHEN NEW.name = 'rob' BEGIN SELECT RAISE(ROLLBACK, 'rolled back'); END",
    "INSERT INTO customers VALUES (1, 'with orders'), (2, 'without')",
    "INSERT INTO orders VALUES (1, 1, 5)",
)


@pytest.fixture
def tool(runner: Callable[..., Any], database: Any) -> Any:
    for statement in SCHEMA:
        database.run(statement)
    return runner(database_write, database.settings)


def written(table: str, operation: str = "insert", where: Any = None, **row: Any) -> dict[str, Any]:
    return {"table": table, "operation": operation, "row": row, "where": where or {}}


REFUSED = [
    (written("orders", customer=999, amount=5), "FOREIGN KEY constraint failed"),
    (written("later", customer=999), "FOREIGN KEY constraint failed"),
    (written("orders", "update", {"id": 1}, customer=999), "FOREIGN KEY constraint failed"),
    (written("customers", "delete", {"id": 1}), "FOREIGN KEY constraint failed"),
    (written("orders", customer=1, amount=0), "CHECK constraint failed"),
    (written("orders", "update", {"id": 1}, amount=-1), "CHECK constraint failed"),
    (written("typed", number="many"), "cannot store TEXT value in INTEGER column"),
    (written("guarded", name="bob"), "no bobs"),
    (written("guarded", name="rob"), "rolled back"),
    (written("doubled", a=1, b=3), "cannot INSERT into generated column"),
    (written("pairs", other=1), "no such table: main.nowhere"),
    (written("foreign_function", name="x"), "no such function"),
]
"""Also what SQLite reports by the error that it uses for a busy file, and a foreign key elsewhere that refers to no key."""


@pytest.mark.parametrize(("args", "said"), REFUSED)
async def test_a_constraint_refuses_in_the_dry_run_and_in_the_call(args: Any, said: str, tool: Any, database: Any) -> None:
    before = Path(database.path).read_bytes()
    with pytest.raises(ToolFailed, match=said) as refusal:
        await tool.dry_run(**args)
    assert not refusal.value.retry
    assert Path(database.path).read_bytes() == before
    with pytest.raises(ToolFailed, match=said) as refusal:
        await tool.live(**args)
    assert not refusal.value.retry
    assert (database.rows("customers"), database.rows("orders")) == ([(1, "with orders"), (2, "without")], [(1, 1, 5)])


async def test_a_trial_that_works_leaves_nothing_and_is_not_told(tool: Any, database: Any) -> None:
    before = Path(database.path).read_bytes()
    for args in (
        written("orders", customer=2, amount=1),
        written("later", customer=2),
        written("orders", "update", {"id": 1}, amount=7),
        written("customers", "delete", {"id": 2}),
        written("typed", number=3),
    ):
        preview = await tool.dry_run(**args)
        assert "not tried" not in preview.effect
        assert Path(database.path).read_bytes() == before


@pytest.mark.parametrize(("args", "said"), REFUSED)
async def test_behind_a_write_of_the_plan_other_rows_refuse_nothing(args: Any, said: str, tool: Any, database: Any) -> None:
    """The parent of a row may be an earlier step of the same plan; what the row itself violates stays violated."""
    before = Path(database.path).read_bytes()
    if said.startswith("FOREIGN KEY"):
        assert (
            "before the earlier steps of this plan: the database refused it"
            in (await tool.dry_run(follows_writes=True, **args)).effect
        )
    else:
        with pytest.raises(ToolFailed, match=said):
            await tool.dry_run(follows_writes=True, **args)
    assert Path(database.path).read_bytes() == before


async def test_an_older_violation_of_a_deferred_key_is_not_this_calls(tool: Any, database: Any) -> None:
    database.run("INSERT INTO later VALUES (7, 555)")
    assert "Would insert" in (await tool.dry_run(**written("later", customer=1))).effect


async def test_constraints_that_cannot_be_tried_are_told_of(tool: Any, database: Any) -> None:
    preview = await tool.dry_run(**written("orders", customer="(known after live)", amount=5), unknown=("row.customer",))
    assert preview.effect.endswith(" The constraints of the database were not tried: a value is known after live.")
    with closing(sqlite3.connect(database.path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        preview = await tool.dry_run(**written("orders", customer=2, amount=5))
    assert preview.effect.endswith(" The constraints of the database were not tried: the database was busy.")


@pytest.mark.usefixtures("tool")
async def test_a_worker_that_may_only_read_says_so(runner: Callable[..., Any], database: Any) -> None:
    read_only = runner(database_write, {"url": f"sqlite:///file:{database.path}?mode=ro&uri=true"})
    preview = await read_only.dry_run(**written("orders", customer=2, amount=5))
    assert preview.effect.endswith(" The constraints of the database were not tried: this worker may only read.")
    with pytest.raises(ToolFailed, match="attempt to write a readonly database") as refusal:
        await read_only.live(**written("orders", customer=2, amount=5))
    assert not refusal.value.retry


async def test_the_dry_run_says_that_the_call_was_made_before(runner: Callable[..., Any], tool: Any, database: Any) -> None:
    args = written("orders", customer=2, amount=3)
    call = tool.call()
    output = await tool.live(call, **args)
    preview = await tool.dry_run(**args)
    assert preview.effect.startswith("Would change nothing. The database has a call under this plan id and step already.")
    assert preview.output == output
    assert await tool.live(tool.call(observed=preview.observed), **args) == output
    assert len(database.rows("orders")) == 2
    with pytest.raises(ToolFailed, match="another call, or it was undone: use a new plan_id"):
        await tool.dry_run(**written("orders", customer=2, amount=4))
    unknown = await tool.dry_run(**written("orders", customer="(known after live)", amount=3), unknown=("row.customer",))
    assert "has a call under this plan id and step already" in unknown.effect
    other = runner(database_write, database.settings, key="plan-1/step-2")
    assert (await other.dry_run(**args)).effect.startswith("Would insert")
    await tool.undo(call.undo, **args)
    with pytest.raises(ToolFailed, match="it was undone"):
        await tool.dry_run(**args)
