"""The database tools on a real PostgreSQL: rows, constraints and values, each undo back to the initial rows."""

from collections.abc import Callable
from typing import Any

import pytest

from airlock.base.errors import Stale, ToolFailed
from airlock.plans.refs import UNKNOWN
from airlock.tools import database_write

Make = Callable[..., Any]
ACCOUNTS = """
CREATE TABLE accounts (id serial PRIMARY KEY, name text, email text UNIQUE, plan text,
    amount numeric(8, 2) CHECK (amount > 0), row_version integer NOT NULL DEFAULT 1);
INSERT INTO accounts (name, email, plan, amount) VALUES ('Jo', 'jo@acme.test', 'free', 1.50);
CREATE TABLE orders (id integer PRIMARY KEY, account integer NOT NULL REFERENCES accounts (id),
    later integer REFERENCES accounts (id) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE reviewed (id integer PRIMARY KEY, name text, period int4range, EXCLUDE USING gist (period WITH &&));
INSERT INTO reviewed VALUES (1, 'Jo', '[1, 5)');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.name = 'now' OR NEW.name = 'late' AND TG_WHEN = 'AFTER' THEN RAISE EXCEPTION 'no %', NEW.name; END IF;
    IF NEW.name = 'own' AND TG_WHEN = 'AFTER' THEN RAISE EXCEPTION 'own code' USING ERRCODE = 'A1234'; END IF;
    RETURN NEW; END $$;
CREATE TRIGGER first BEFORE INSERT ON reviewed FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE CONSTRAINT TRIGGER last AFTER INSERT ON reviewed DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse();
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
    (written("reviewed", id=2, name="now"), "no now"),
    (written("reviewed", id=2, name="late"), "no late"),
    (written("reviewed", id=2, name="own"), "own code"),
    (written("reviewed", id=2, name="x", period="[2, 3)"), "ExclusionViolation"),
]
"""Also what a server checks no sooner than in the commit: it raises there whatever it likes, and that is no doubt."""


@pytest.mark.parametrize(("args", "said"), REFUSED)
async def test_a_constraint_refuses_in_the_dry_run_and_in_the_call(tool: Any, postgres: Any, args: Any, said: str) -> None:
    before = postgres.rows(), postgres.rows("orders")
    for attempt in (tool.dry_run, tool.live):
        with pytest.raises(ToolFailed, match=said) as refusal:
            await attempt(**args)
        assert not refusal.value.retry
    assert (postgres.rows(), postgres.rows("orders")) == before


async def test_row_level_security_refuses_a_row_in_the_dry_run_already(runner: Make, postgres: Any) -> None:
    """Its SQLSTATE is that of a missing right, which says nothing about the row."""
    postgres.run("CREATE TABLE notes (id integer PRIMARY KEY, owner text); INSERT INTO notes VALUES (1, 'me')")
    postgres.run("ALTER TABLE notes ENABLE ROW LEVEL SECURITY")
    postgres.run("CREATE POLICY own ON notes USING (owner = 'me') WITH CHECK (owner = 'me')")
    postgres.role("app", "ALL ON ALL TABLES IN SCHEMA public", "CREATE ON SCHEMA public")
    postgres.role("reader", "SELECT ON ALL TABLES IN SCHEMA public")
    tool = runner(database_write, postgres.settings(username="app"))
    for args in (written("notes", id=2, owner="you"), written("notes", "update", {"id": 1}, owner="you")):
        for attempt in (tool.dry_run, tool.live):
            with pytest.raises(ToolFailed, match="row-level security") as refusal:
                await attempt(**args)
            assert not refusal.value.retry
        told = await runner(database_write, postgres.settings(username="reader")).dry_run(**args)
        assert told.effect.endswith("were not tried: this worker may only read.")
    assert postgres.rows("notes") == ["(1,me)"]


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


async def test_the_same_key_from_another_namespace_is_told_of(tool: Any, runner: Make, postgres: Any) -> None:
    """Case 23: one plan file in two namespaces, with one database."""
    output = await tool.live(**INSERT)
    again = runner(database_write, postgres.settings())
    preview = await again.dry_run(**INSERT)
    assert preview.effect.startswith("Would change nothing. The database has a call under this plan id and step already.")
    assert await again.live(again.call(observed=preview.observed), **INSERT) == output
    assert len(postgres.rows()) == 2
