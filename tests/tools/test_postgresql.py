"""The database tools on a real PostgreSQL: rows, constraints and values, each undo back to the initial rows."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from airlock.base.errors import Stale, ToolFailed
from airlock.plans.refs import UNKNOWN
from airlock.tools import database_query, database_write

Make = Callable[..., Any]
ACCOUNTS = """
CREATE TABLE accounts (id serial PRIMARY KEY, name text, email text UNIQUE, plan text,
    amount numeric(8, 2) CHECK (amount > 0), row_version integer NOT NULL DEFAULT 1);
INSERT INTO accounts (name, email, plan, amount) VALUES ('Jo', 'jo@acme.test', 'free', 1.50);
CREATE TABLE orders (id integer PRIMARY KEY, account integer NOT NULL REFERENCES accounts (id),
    later integer REFERENCES accounts (id) DEFERRABLE INITIALLY DEFERRED);
"""
INSERT = {"table": "accounts", "row": {"name": "Zoë 🜁", "email": "zoe@acme.test", "amount": 2}}
UPDATE = {
    "table": "accounts",
    "operation": "update",
    "where": {"email": "jo@acme.test"},
    "row": {"plan": "gold", "amount": "9.1"},
}
DELETE = {"table": "accounts", "operation": "delete", "where": {"id": 1}}


def written(table: str, operation: str = "insert", where: Any = None, **row: Any) -> dict[str, Any]:
    return {"table": table, "operation": operation, "row": row, "where": where or {}}


@pytest.fixture
def tool(runner: Make, postgres: Any) -> Any:
    postgres.run(ACCOUNTS)
    return runner(database_write, postgres.settings())


@pytest.mark.parametrize(
    ("args", "after"),
    [
        (INSERT, ["(1,Jo,jo@acme.test,free,1.50,1)", '(3,"Zoë 🜁",zoe@acme.test,,2.00,1)']),
        (UPDATE, ["(1,Jo,jo@acme.test,gold,9.10,2)"]),
        (DELETE, []),
    ],
)
async def test_dry_run_live_and_undo_end_in_the_initial_rows(tool: Any, postgres: Any, args: Any, after: Any) -> None:
    before = postgres.rows()
    preview = await tool.dry_run(**args)
    assert postgres.rows() == before
    assert postgres.run("SELECT to_regclass('airlock_calls')") == [(None,)], "a dry run leaves nothing"
    assert "database" not in preview.effect
    call = tool.call(observed=preview.observed)
    output = await tool.live(call, **args)
    assert postgres.rows() == after
    assert await tool.live(tool.call(attempt=2, observed=preview.observed), **args) == output
    assert (await tool.probe(tool.call(), **args)).happened
    assert postgres.rows() == after
    for _ in range(2):
        await tool.undo(call.undo, **args)
        assert postgres.rows() == before
    with pytest.raises(ToolFailed, match="was undone"):
        await tool.live(**args)


async def test_the_trial_of_an_insert_takes_a_number_of_the_sequence(tool: Any, postgres: Any) -> None:
    preview = await tool.dry_run(**INSERT)
    assert preview.output["row"]["id"] == UNKNOWN
    assert postgres.run("SELECT last_value FROM accounts_id_seq") == [(2,)], "a sequence knows no rollback"
    assert (await tool.live(tool.call(observed=preview.observed), **INSERT))["row"]["id"] == 3


@pytest.mark.parametrize("args", [UPDATE, DELETE])
@pytest.mark.parametrize(
    "change", ["UPDATE accounts SET name = 'X'", "UPDATE accounts SET row_version = 9", "DELETE FROM accounts"]
)
async def test_a_row_that_moved_since_the_preview_is_stale(tool: Any, postgres: Any, args: Any, change: str) -> None:
    preview = await tool.dry_run(**args)
    postgres.run(change)
    before = postgres.rows()
    with pytest.raises(Stale):
        await tool.live(tool.call(observed=preview.observed), **args)
    assert postgres.rows() == before


@pytest.mark.parametrize(
    ("args", "change"),
    [
        (INSERT, "UPDATE accounts SET plan = 'theirs' WHERE id = 2"),
        (UPDATE, "UPDATE accounts SET plan = 'theirs'"),
        (DELETE, "INSERT INTO accounts (id, name) VALUES (1, 'theirs')"),
        (DELETE, "INSERT INTO accounts (id, email) VALUES (7, 'jo@acme.test')"),
    ],
)
async def test_the_undo_leaves_alone_what_another_program_did(tool: Any, postgres: Any, args: Any, change: str) -> None:
    call = tool.call()
    await tool.live(call, **args)
    postgres.run(change)
    before = postgres.rows()
    with pytest.raises(ToolFailed, match=r"another program has changed|UniqueViolation"):
        await tool.undo(call.undo, **args)
    assert postgres.rows() == before


REFUSED = [
    (written("orders", id=1, account=999), "ForeignKeyViolation"),
    (written("orders", id=1, account=1, later=999), "ForeignKeyViolation"),
    (written("accounts", "update", {"id": 1}, amount=-1), "CheckViolation"),
    (written("accounts", amount=0), "CheckViolation"),
    (written("accounts", amount=10**7), "NumericValueOutOfRange"),
    (written("orders", id=1, account=None), "needs a value for account"),
    (written("accounts", email="jo@acme.test"), "already has a row with the same email"),
    (written("orders", id="many", account=1), "column 'id' takes a int, not 'many'"),
    (written("accounts", "update", {"id": 1.4}, name="x"), "column 'id' takes a int, not 1.4"),
    (written("accounts", name="a\0b"), "NUL"),
]


@pytest.mark.parametrize(("args", "said"), REFUSED)
async def test_a_constraint_refuses_in_the_dry_run_and_in_the_call(tool: Any, postgres: Any, args: Any, said: str) -> None:
    before = postgres.rows(), postgres.rows("orders")
    for attempt in (tool.dry_run, tool.live):
        with pytest.raises(ToolFailed, match=said) as refusal:
            await attempt(**args)
        assert not refusal.value.retry
    assert (postgres.rows(), postgres.rows("orders")) == before


async def test_a_row_that_others_refer_to_is_not_deleted(tool: Any, postgres: Any) -> None:
    postgres.run("INSERT INTO orders VALUES (1, 1)")
    with pytest.raises(ToolFailed, match="ForeignKeyViolation"):
        await tool.dry_run(**DELETE)
    behind = await tool.dry_run(follows_writes=True, **DELETE)
    assert "before the earlier steps of this plan" in behind.effect


@pytest.mark.parametrize("action", ["CASCADE", "SET NULL", "SET DEFAULT"])
async def test_a_cascade_into_another_schema_is_refused(tool: Any, postgres: Any, action: str) -> None:
    postgres.run(
        f'CREATE SCHEMA sales; CREATE TABLE sales."Order" (id int, who int REFERENCES accounts (id) ON DELETE {action});'
        'INSERT INTO sales."Order" VALUES (1, 1)'
    )
    with pytest.raises(
        ToolFailed, match=rf"rows of 'sales.Order' would be deleted or changed with it \(ON DELETE {action}\)"
    ):
        await tool.dry_run(**DELETE)
    postgres.run('DELETE FROM sales."Order"')
    await tool.dry_run(**DELETE)


async def test_the_undo_of_an_insert_deletes_no_rows_of_others_with_it(tool: Any, postgres: Any) -> None:
    postgres.run("CREATE TABLE notes (id int, account int REFERENCES accounts (id) ON DELETE CASCADE)")
    call = tool.call()
    await tool.live(call, **INSERT)
    postgres.run("INSERT INTO notes SELECT 1, max(id) FROM accounts")
    for kind in ("undo_check", "compensate"):
        with pytest.raises(ToolFailed, match=r"rows of 'notes' would be deleted or changed with it \(ON DELETE CASCADE\)"):
            await tool._run(kind, INSERT, tool.call(undo=call.undo))
    assert postgres.rows("notes") == ["(1,2)"]


KEYS = {
    "uuid DEFAULT gen_random_uuid()": {},
    "timestamptz DEFAULT now()": {},
    "bigint GENERATED BY DEFAULT AS IDENTITY": {},
    "date": {"a": "2024-01-01"},
    "numeric": {"a": "1.10"},
    "inet": {"a": "10.0.0.1"},
    "int4range": {"a": "[1,5)"},
    "text[]": {"a": ["x", "y"]},
    "char(4)": {"a": "ab"},
}


@pytest.mark.parametrize("kind", KEYS)
async def test_a_key_of_any_type_names_its_row(runner: Make, postgres: Any, kind: str) -> None:
    postgres.run(f"CREATE TABLE keyed (a {kind}, b int, value text, PRIMARY KEY (a, b))")
    insert, update = (runner(database_write, postgres.settings(), key=key) for key in ("insert", "update"))
    args = {"table": "keyed", "row": {**KEYS[kind], "b": 1, "value": "x"}}
    preview = await insert.dry_run(**args)
    call = insert.call(observed=preview.observed)
    row = (await insert.live(call, **args))["row"]
    before = postgres.rows("keyed")
    if not isinstance(row["a"], list):  # `where` takes no lists
        where = {"a": row["a"], "b": 1}
        change = await update.dry_run(**written("keyed", "update", where, value="y"))
        changed = update.call(observed=change.observed)
        assert (await update.live(changed, **written("keyed", "update", where, value="y")))["row"] == {**row, "value": "y"}
        await update.undo(changed.undo, **written("keyed", "update", where, value="y"))
        assert postgres.rows("keyed") == before
    await insert.undo(call.undo, **args)
    assert postgres.rows("keyed") == []


async def test_the_same_key_from_another_namespace_is_told_of(tool: Any, runner: Make, postgres: Any) -> None:
    """Case 23: one plan file in two namespaces, with one database."""
    output = await tool.live(**INSERT)
    again = runner(database_write, postgres.settings())
    preview = await again.dry_run(**INSERT)
    assert preview.effect.startswith("Would change nothing. The database has a call under this plan id and step already.")
    assert await again.live(again.call(observed=preview.observed), **INSERT) == output
    assert len(postgres.rows()) == 2


KINDS: dict[str, tuple[str, Any, Any]] = {
    "integer[]": ("{1,2}", [3, None], [3, None]),
    "numeric[]": ("{1.10,2}", [1.5], [1.5]),
    "text[]": ('{a,"q\\"x\\\\",NULL}', ['a "b"', "c,{d}", "\\"], ['a "b"', "c,{d}", "\\"]),
    "int[][]": ("[0:1][1:1]={{1},{2}}", [[1, 2], [3, 4]], [[1, 2], [3, 4]]),
    "date[]": ("{2024-01-01,infinity}", ["2024-02-03"], ["2024-02-03"]),
    "bigint": ("9223372036854775807", -5, -5),
    "bit(3)": ("101", "110", "110"),
    "boolean": ("t", False, False),
    "bytea": ("\\x00ff", "AP8A", "AP8A"),
    "char(4)": ("ab", "cd", "cd  "),
    "cidr": ("10.0.0.0/8", "192.168.0.0/16", "192.168.0.0/16"),
    "date": ("2024-02-29", "2024-03-01", "2024-03-01"),
    "date ": ("0044-03-15 BC", "infinity", "infinity"),
    "double precision": ("NaN", 0.1, 0.1),
    "email": ("a@b", "c@d", "c@d"),
    "inet": ("10.0.0.1/24", "::1", "::1"),
    "int4range": ("[1,5)", "[2,3]", "[2,4)"),
    "interval": ("1 mon 2 days", "P1Y", "1 year"),
    "json": ('{"b":  1.10, "b": 2}', {"x": [1, None]}, {"x": [1, None]}),
    "json ": ("null", "text", "text"),
    "jsonb": ('{"x": 0.12345678901234567890}', [1], [1]),
    "mood": ("sad", "ok", "ok"),
    "money": ("$1.00", "2", "$2.00"),
    "numeric": ("1.100", "0.30", "0.30"),
    "numeric ": ("NaN", 5, "5"),
    "real": ("0.1", 0.5, 0.5),
    "text": ("héé 🜁", "line\nline", "line\nline"),
    "time": ("24:00:00", "10:30", "10:30:00"),
    "timestamp": ("2024-01-01 10:00:00.000001", "2024-01-01T11:00:00", "2024-01-01T11:00:00"),
    "timestamptz": ("2024-01-01 10:00:00+01", "2024-01-01T11:00:00+02:00", "2024-01-01T09:00:00+00:00"),
    "timestamptz ": ("infinity", "2024-01-01T11:00:00Z", "2024-01-01T11:00:00+00:00"),
    "timetz": ("10:00:00+01", "11:00+02", "11:00:00+02:00"),
    "tsvector": ("'a':1", "'b':2", "'b':2"),
    "uuid": (str(UUID(int=7)), str(UUID(int=8)), str(UUID(int=8))),
}  # fmt: skip
"""For each type: a value in the database's text, a value of a plan, and that value as the tools return it."""


STORED_OTHERWISE = {"char(4)", "int4range", "interval", "money"}


async def test_the_undo_is_exact_for_every_type(runner: Make, postgres: Any) -> None:
    postgres.run("CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN email AS text CHECK (position('@' in value) > 0)")
    names = {kind: f"v{number}" for number, kind in enumerate(KINDS)}
    columns = ", ".join(f"{name} {kind}" for kind, name in names.items())
    postgres.run(f"CREATE TABLE kinds (id int PRIMARY KEY, other text, {columns})")
    postgres.run("INSERT INTO kinds VALUES (1, 'x'" + ", %s" * len(KINDS) + ")", *(text for text, _, _ in KINDS.values()))
    postgres.run("INSERT INTO kinds (id, other) VALUES (2, 'empty')")
    look = f"SELECT id, other, {', '.join(f'{name}::text' for name in names.values())} FROM kinds ORDER BY id"
    before = postgres.run(look)
    # another time zone and style of dates, as another worker's role may have them
    elsewhere = postgres.settings("timezone=Asia/Tokyo", "datestyle=SQL,DMY")
    row = {name: KINDS[kind][1] for kind, name in names.items()}
    for number, (operation, values) in enumerate([("update", row), ("update", {"other": "y"}), ("delete", {})] * 2):
        args = {"table": "kinds", "operation": operation, "where": {"id": 1 + number // 3}, "row": values}
        tool = runner(database_write, postgres.settings(), key=str(number))
        preview = await tool.dry_run(**args)
        call = tool.call(observed=preview.observed)
        output = await runner(database_write, elsewhere, key=str(number)).live(call, **args)
        if values is row:
            assert {kind: output["row"][name] for kind, name in names.items()} == {k: v[2] for k, v in KINDS.items()}
            _, _, told = preview.effect.partition(" The database would store ")
            assert {kind for kind, name in names.items() if f"{name}=" in told} == STORED_OTHERWISE
            (found,) = (await runner(database_query, elsewhere).live(table="kinds", where={"id": args["where"]["id"]}))[
                "rows"
            ]
            assert found == output["row"]
        await tool.undo(call.undo, **args)
        assert postgres.run(look) == before


async def test_values_of_a_type_that_are_none_are_refused_in_the_dry_run(runner: Make, postgres: Any) -> None:
    postgres.run("CREATE TABLE kinds (id int PRIMARY KEY, at timestamptz, span interval, ip inet, list int[], day date)")
    tool = runner(database_write, postgres.settings())
    for name, value in (("at", "soon"), ("span", "long"), ("ip", "here"), ("list", ["x"]), ("day", "tomorrow")):
        with pytest.raises(ToolFailed, match=r"takes a|Invalid"):
            await tool.dry_run(table="kinds", row={"id": 1, name: value})


ODD = """
CREATE SCHEMA sales;
CREATE TABLE sales."Orders" ("Order No" int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "a%(b):c" text UNIQUE, price numeric,
    twice numeric GENERATED ALWAYS AS (price * 2) STORED, count int GENERATED ALWAYS AS IDENTITY);
INSERT INTO sales."Orders" ("a%(b):c", price) VALUES ('x', 1.10);
CREATE TABLE sales.hidden (id int PRIMARY KEY);
CREATE TABLE plain (id int PRIMARY KEY);
"""


@pytest.mark.parametrize(
    ("operation", "where", "row"),
    [
        ("insert", {}, {"a%(b):c": "y", "price": 3}),
        ("update", {"a%(b):c": "x"}, {"price": 3}),
        ("update", {"Order No": 1}, {"a%(b):c": "z"}),
        ("delete", {"a%(b):c": "x"}, {}),
    ],
)
async def test_schemas_odd_names_identities_and_computed_columns(
    runner: Make, postgres: Any, operation: str, where: Any, row: Any
) -> None:
    postgres.run(ODD)
    tool = runner(database_write, postgres.settings(tables="sales.Orders, plain"))
    args = {"table": "sales.Orders", "operation": operation, "where": where, "row": row}
    before = postgres.rows('sales."Orders"')
    preview = await tool.dry_run(**args)
    assert "undo" not in preview.effect
    call = tool.call(observed=preview.observed)
    await tool.live(call, **args)
    assert postgres.rows('sales."Orders"') != before
    await tool.undo(call.undo, **args)
    assert postgres.rows('sales."Orders"') == before


async def test_a_table_of_another_schema_must_be_offered_by_its_name(runner: Make, postgres: Any) -> None:
    postgres.run(ODD)
    for tables, name in (
        ("", "sales.Orders"), ("sales.Orders", "sales.hidden"), ("sales.Orders", "Orders"), ("public.plain", "public.plain"),
    ):  # fmt: skip
        with pytest.raises(ToolFailed, match="there is no table"):
            await runner(database_query, postgres.settings(tables=tables)).live(table=name)
    found = await runner(database_query, postgres.settings(tables="sales.Orders")).live(table="sales.Orders")
    assert found["rows"][0]["price"] == "1.10"


TRIGGERS = """
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.touched = now(); RETURN NEW; END $$;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no more rows'; END $$;
CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TABLE touched (id int PRIMARY KEY, name text, touched timestamptz);
INSERT INTO touched VALUES (1, 'a', '2024-01-01');
CREATE TRIGGER touch BEFORE UPDATE ON touched FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TABLE closed (id int PRIMARY KEY);
INSERT INTO closed VALUES (1);
CREATE TRIGGER refuse BEFORE INSERT ON closed FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TABLE skipped (id int PRIMARY KEY);
CREATE TRIGGER skip BEFORE INSERT ON skipped FOR EACH ROW EXECUTE FUNCTION skip();
"""


async def test_the_dry_run_tells_what_triggers_would_do(runner: Make, postgres: Any) -> None:
    postgres.run(TRIGGERS)
    tool = runner(database_write, postgres.settings())
    preview = await tool.dry_run(**written("touched", "update", {"id": 1}, name="b"))
    assert preview.effect.endswith(" The undo could not restore touched: the database sets it itself.")
    preview = await tool.dry_run(**written("closed", "delete", {"id": 1}))
    assert " The undo would fail, as the database is now: RaiseException: no more rows" in preview.effect
    with pytest.raises(ToolFailed, match="no more rows"):
        await tool.dry_run(**written("closed", id=2))
    for attempt in (tool.dry_run, tool.live):
        with pytest.raises(ToolFailed, match="creates no key"):
            await attempt(**written("skipped", id=2))
