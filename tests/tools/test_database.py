"""`database_write` and `database_query` on a real SQLite file: one effect, undo, nothing of others."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from airlock.base.errors import Stale, ToolFailed
from airlock.plans.contract import resource_names
from airlock.plans.refs import UNKNOWN
from airlock.tools import database_query, database_write

Make = Callable[..., Any]
JO = {"contact_id": "c1", "name": "Jo", "email": "jo@acme.test", "plan": "free"}
INSERT = {"table": "accounts", "row": JO}
UPDATE = {"table": "accounts", "operation": "update", "where": {"email": "jo@acme.test"}, "row": {"plan": "gold"}}
DELETE = {"table": "accounts", "operation": "delete", "where": {"id": 1}}


@pytest.fixture
def tool(runner: Make, database: Any) -> Any:
    return runner(database_write, database.settings)


@pytest.fixture
def jo(database: Any) -> tuple[Any, ...]:
    database.run("INSERT INTO accounts VALUES (1, 'c1', 'Jo', 'jo@acme.test', 'free', 1)")
    return (1, "c1", "Jo", "jo@acme.test", "free", 1)


async def test_insert_returns_the_generated_key_and_undo_deletes_the_row(tool: Any, database: Any) -> None:
    preview = await tool.dry_run(**INSERT)
    assert database.rows() == []
    assert database.run("SELECT name FROM sqlite_master WHERE name = 'airlock_calls'") == []
    assert preview.output["row"] == {"id": UNKNOWN, **JO, "row_version": UNKNOWN}
    call = tool.call(observed=preview.observed)
    output = await tool.live(call, **INSERT)
    assert output == {"table": "accounts", "operation": "insert", "row": {"id": 1, **JO, "row_version": 1}}
    assert database.rows() == [(1, "c1", "Jo", "jo@acme.test", "free", 1)]
    for _ in range(2):
        await tool.undo(call.undo, **INSERT)
        assert database.rows() == []


@pytest.mark.usefixtures("jo")
async def test_update_counts_the_version_up_and_undo_restores_every_value(tool: Any, database: Any) -> None:
    before = database.rows()
    preview = await tool.dry_run(**UPDATE)
    assert database.rows() == before
    assert preview.effect == "Would update the row email='jo@acme.test' of accounts: plan from 'free' to 'gold'."
    call = tool.call(observed=preview.observed)
    output = await tool.live(call, **UPDATE)
    assert output == preview.output
    assert database.rows() == [(1, "c1", "Jo", "jo@acme.test", "gold", 2)]
    for _ in range(2):
        await tool.undo(call.undo, **UPDATE)
        assert database.rows() == before


@pytest.mark.usefixtures("jo")
async def test_delete_and_the_same_row_back_under_its_key(tool: Any, database: Any) -> None:
    before = database.rows()
    preview = await tool.dry_run(**DELETE)
    assert database.rows() == before
    call = tool.call(observed=preview.observed)
    assert await tool.live(call, **DELETE) == preview.output
    assert database.rows() == []
    for _ in range(2):
        await tool.undo(call.undo, **DELETE)
        assert database.rows() == before


@pytest.mark.usefixtures("jo")
@pytest.mark.parametrize("args", [{**INSERT, "row": {"name": "Al"}}, UPDATE, DELETE])
async def test_the_second_attempt_returns_the_same_with_one_effect(tool: Any, database: Any, args: Any) -> None:
    observed = (await tool.dry_run(**args)).observed
    first, second = tool.call(observed=observed), tool.call(observed=observed, attempt=2)
    output = await tool.live(first, **args)
    after = database.rows()
    assert await tool.live(second, **args) == output
    assert second.undo == first.undo
    assert database.rows() == after
    answer = await tool.probe(third := tool.call(), **args)
    assert (answer.happened, answer.output, third.undo) == (True, output, first.undo)


@pytest.mark.usefixtures("jo")
async def test_a_key_is_for_one_call_only_and_not_for_one_that_was_undone(tool: Any, database: Any) -> None:
    call = tool.call()
    await tool.live(call, **UPDATE)
    with pytest.raises(ToolFailed, match="used for a call"):
        await tool.live(**DELETE)
    await tool.undo(call.undo, **UPDATE)
    before = database.rows()
    with pytest.raises(ToolFailed, match="was undone"):
        await tool.live(**UPDATE)
    assert (await tool.probe(**UPDATE)).happened is False
    assert database.rows() == before


@pytest.mark.usefixtures("jo")
async def test_undo_of_what_never_happened_stops_an_attempt_that_is_still_under_way(tool: Any, database: Any) -> None:
    assert (await tool.probe(**UPDATE)).happened is False
    before = database.rows()
    await tool.undo({"call": tool.key}, **UPDATE)
    with pytest.raises(ToolFailed, match="was undone"):
        await tool.live(**UPDATE)
    assert database.rows() == before


@pytest.mark.usefixtures("jo")
@pytest.mark.parametrize("args", [UPDATE, DELETE])
@pytest.mark.parametrize(
    "change", ["UPDATE accounts SET name = 'X'", "UPDATE accounts SET row_version = 9", "DELETE FROM accounts"]
)
async def test_stale_when_the_row_moved_since_the_preview(tool: Any, database: Any, args: Any, change: str) -> None:
    observed = (await tool.dry_run(**args)).observed
    database.run(change)
    before = database.rows()
    call = tool.call(observed=observed)
    with pytest.raises(Stale):
        await tool.live(call, **args)
    assert call.undo is None
    assert database.rows() == before


async def test_stale_when_the_row_to_insert_appeared_since_the_preview(tool: Any, database: Any, jo: Any) -> None:
    database.run("DELETE FROM accounts")
    observed = (await tool.dry_run(**INSERT)).observed
    database.run("INSERT INTO accounts VALUES (?, ?, ?, ?, ?, ?)", *jo)
    with pytest.raises(Stale, match="same email"):
        await tool.live(tool.call(observed=observed), **INSERT)
    with pytest.raises(ToolFailed, match="same email"):
        await tool.live(**INSERT)
    with pytest.raises(ToolFailed, match="same email"):
        await tool.dry_run(**INSERT)


@pytest.mark.usefixtures("jo")
@pytest.mark.parametrize(
    ("args", "change"),
    [
        ({**INSERT, "row": {"name": "Al"}}, "UPDATE accounts SET plan = 'theirs' WHERE id = 2"),
        (UPDATE, "UPDATE accounts SET plan = 'theirs'"),
        (UPDATE, "DELETE FROM accounts"),
        (DELETE, "INSERT INTO accounts (id, name) VALUES (1, 'theirs')"),
        (DELETE, "INSERT INTO accounts (id, email) VALUES (7, 'jo@acme.test')"),
    ],
)
async def test_undo_leaves_alone_what_somebody_else_did(tool: Any, database: Any, args: Any, change: str) -> None:
    call = tool.call()
    await tool.live(call, **args)
    database.run(change)
    before = database.rows()
    with pytest.raises(ToolFailed, match=r"another program has changed|UNIQUE"):
        await tool.undo(call.undo, **args)
    assert database.rows() == before


@pytest.mark.usefixtures("jo")
@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"table": "nope", "row": {"a": 1}}, r"no table 'nope' here; there is: accounts, notes"),
        ({"table": "airlock_calls", "row": {"a": 1}}, r"no table 'airlock_calls'"),
        ({"table": "accounts; DROP TABLE accounts", "row": {"a": 1}}, "no table"),
        ({"table": "accounts", "row": {"nope": 1}}, r"no column 'nope'; it has: id, contact_id, name"),
        ({**UPDATE, "row": {"nope": 1}}, "no column 'nope'"),
        ({**UPDATE, "where": {"nope": 1}}, "no column 'nope'"),
        ({**UPDATE, "where": {"name": "Jo"}}, r"must name one row of 'accounts' by \(id\) or \(email\)"),
        ({**UPDATE, "where": {"email": None}}, "must name one row"),
        ({**UPDATE, "where": {"id": 99}}, "no row of 'accounts' matches"),
        ({**DELETE, "where": {"id": 1, "name": "other"}}, "no row of 'accounts' matches"),
        ({**UPDATE, "row": {"id": 2}}, "cannot change id"),
        ({**UPDATE, "row": {"row_version": 2}}, "cannot change row_version"),
        ({**INSERT, "row": {"id": 1}}, "same id"),
    ],
)
async def test_refusals_say_what_there_is_instead(tool: Any, database: Any, args: Any, message: str) -> None:
    before = database.rows()
    with pytest.raises(ToolFailed, match=message):
        await tool.dry_run(**args)
    call = tool.call()
    with pytest.raises(ToolFailed, match=message):
        await tool.live(call, **args)
    assert call.undo is None
    assert database.rows() == before


@pytest.mark.parametrize(
    "args",
    [
        {"table": "accounts"}, {**INSERT, "where": {"id": 1}}, {**UPDATE, "where": {}}, {**UPDATE, "row": {}},
        {**DELETE, "row": {"a": 1}}, {**INSERT, "operation": "drop"}, {**INSERT, "sql": "x"}, {"row": {"a": 1}},
        {**UPDATE, "where": {"id": {"gt": 1}}},
    ],
)  # fmt: skip
async def test_arguments_that_do_not_fit_together_are_refused_by_the_model(args: Any) -> None:
    with pytest.raises(ValidationError):
        database_write.arguments.model_validate(args)


async def test_the_operator_limits_the_tables(runner: Make, database: Any) -> None:
    limited = {**database.settings, "tables": "notes, other"}
    with pytest.raises(ToolFailed, match="there is: notes"):
        await runner(database_write, limited).live(**INSERT)
    with pytest.raises(ToolFailed, match="there is: notes"):
        await runner(database_query, limited).live(table="accounts")
    await runner(database_write, limited).live(table="notes", row={"subject": "x"})
    with pytest.raises(ToolFailed, match="no table 'airlock_calls'"):
        await runner(database_query, database.settings).live(table="airlock_calls")


async def test_settings_that_cannot_work_are_named(runner: Make, tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match=r"settings\.database\.url is not set"):
        await runner(database_query).live(table="x")
    with pytest.raises(ToolFailed, match="does not exist"):
        await runner(database_query, {"url": f"sqlite:///{tmp_path}/none.db"}).live(table="x")
    assert not (tmp_path / "none.db").exists()
    for url in ("nonsense", "nope://x", "postgresql+psycopg2://u:s3cret@127.0.0.1:1/x"):
        with pytest.raises(ToolFailed) as refusal:
            await runner(database_query, {"url": url}).live(table="x")
        assert "s3cret" not in str(refusal.value)


@pytest.mark.usefixtures("jo")
async def test_a_lock_that_is_not_freed_had_no_effect_and_is_worth_another_try(tool: Any, database: Any) -> None:
    before = database.rows()
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        call = tool.call()
        with pytest.raises(ToolFailed, match="locked") as refusal:
            await tool.live(call, **UPDATE)
        assert refusal.value.retry
        assert call.undo is None
    assert database.rows() == before


async def test_calls_side_by_side_all_take_effect_once(runner: Make, database: Any) -> None:
    patient = {**database.settings, "busy_timeout": 120}
    database.run("INSERT INTO accounts (id, plan) VALUES (1, 'x')")
    tools = [runner(database_write, patient, key=f"p/{number}") for number in range(8)]
    args = {"table": "accounts", "operation": "update", "where": {"id": 1}}
    await asyncio.gather(
        *(tool.live(**args, row={"plan": tool.key}) for tool in tools for _ in range(2)),
    )
    assert database.rows()[0][-1] == 9


async def test_dry_run_of_what_only_live_can_know(tool: Any, database: Any) -> None:
    preview = await tool.dry_run(table="accounts", row={"contact_id": UNKNOWN}, unknown=("row.contact_id",))
    assert preview.output["row"]["contact_id"] == UNKNOWN
    await tool.live(tool.call(observed=preview.observed), table="accounts", row={"contact_id": "c9"})
    preview = await tool.dry_run(**{**UPDATE, "where": {"id": UNKNOWN}}, unknown=("where.id",))
    assert (preview.output, preview.observed) == (UNKNOWN, None)
    with pytest.raises(ToolFailed, match="no column 'nope'"):
        await tool.dry_run(**{**UPDATE, "where": {"id": UNKNOWN}, "row": {"nope": 1}}, unknown=("where.id",))
    assert (await tool.mock(**UPDATE))["row"] == {"id": UNKNOWN, "email": "jo@acme.test", "plan": "gold"}
    assert len(database.rows()) == 1


async def test_the_row_an_update_names_is_a_resource(tool: Any) -> None:
    contract = database_write.contract(UPDATE)
    assert resource_names(contract, UPDATE) == ("row:accounts/email=jo@acme.test",)
    assert contract.undoable
    assert contract.has_compensate
    braces = {**DELETE, "where": {"id": "{x}"}}
    assert resource_names(database_write.contract(braces), braces) == ("row:accounts/id={x}",)
    for args in (INSERT, {**UPDATE, "where": {"id": {"$ref": "a.row.id"}}}, {**UPDATE, "where": {"$ref": "a.row"}}):
        assert resource_names(database_write.contract(args), args) == ()


async def test_query(runner: Make, database: Any) -> None:
    for number in range(5):
        database.run("INSERT INTO accounts (name, plan) VALUES (?, ?)", f"n{number}", "gold" if number % 2 else None)
    tool = runner(database_query, database.settings)
    args = {"table": "accounts", "columns": ["id", "name"], "where": {"plan": "gold"}, "order_by": ["-id"], "limit": 1}
    found = await tool.live(**args)
    assert found == {"table": "accounts", "rows": [{"id": 4, "name": "n3"}], "count": 1}
    assert (await tool.dry_run(**args)).output == found
    assert (await tool.mock(**args))["rows"] == [{"id": UNKNOWN, "name": UNKNOWN}]
    assert (await tool.live(table="accounts", where={"plan": None}))["count"] == 3
    database.run("CREATE VIEW golden AS SELECT name FROM accounts WHERE plan = 'gold'")
    assert (await tool.live(table="golden"))["count"] == 2
    for wrong in ({"columns": ["x"]}, {"where": {"x": 1}}, {"order_by": ["-x"]}):
        with pytest.raises(ToolFailed, match="no column 'x'; it has: id"):
            await tool.live(table="accounts", **wrong)
    with pytest.raises(ToolFailed, match="no table 'x' here; there is: accounts, golden, notes"):
        await tool.live(table="x")
    database.run("INSERT INTO notes (body) VALUES (?)", "x" * 70_000)
    with pytest.raises(ToolFailed, match="name columns, or lower the limit"):
        await tool.live(table="notes")
