"""Values, names and triggers of a real PostgreSQL: what the database tools read, write and restore exactly."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from airlock.base.errors import ToolFailed
from airlock.tools import database_query, database_write

Make = Callable[..., Any]


def written(table: str, operation: str = "insert", where: Any = None, **row: Any) -> dict[str, Any]:
    return {"table": table, "operation": operation, "row": row, "where": where or {}}


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
