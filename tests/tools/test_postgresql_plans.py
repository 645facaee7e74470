"""Whole plans over a real PostgreSQL, with a real worker: nothing that a server does to a connection needs a person."""

from typing import Any

import pytest

from airlock.run.outcome import Outcome
from airlock.testing import fake_tool, run_plan
from airlock.tools import database_write
from tests.tools.postgresql import losing

ACCOUNTS = """
CREATE TABLE accounts (id serial PRIMARY KEY, email text UNIQUE, tags text[], doc jsonb, row_version int NOT NULL DEFAULT 1);
INSERT INTO accounts (email, tags) VALUES ('jo@acme.test', '{a}');
CREATE TABLE orders (id int PRIMARY KEY, account int NOT NULL REFERENCES accounts (id));
"""


@pytest.fixture
def database(postgres: Any) -> Any:
    postgres.run(ACCOUNTS)
    return postgres


def step(id: str, tool: str = "database_write", after: Any = (), **args: Any) -> dict[str, Any]:
    return {"id": id, "agent": "ops", "tool": tool, "args": args, "confidence": 0.95, "after": list(after)}


def plan(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"plan_id": "p-1", "goal": "test", "requested_by": "ops", "steps": list(steps)}


WRITES = (
    step("new", table="accounts", row={"email": "new@acme.test", "tags": ["x"], "doc": {"a": [1.5]}}),
    step(
        "order", after=["new"], table="orders",
        row={"id": 1, "account": {"$ref": "new.row.id"}},
    ),
    step(
        "change", after=["order"], table="accounts", operation="update", where={"email": "jo@acme.test"},
        row={"tags": {"$ref": "new.row.tags"}},
    ),
)  # fmt: skip


async def test_a_plan_that_fails_late_ends_in_the_initial_rows(database: Any) -> None:
    before = database.rows(), database.rows("orders")
    tools = [database_write, fake_tool("last").fail()]
    done = await run_plan(plan(*WRITES, step("last", "last", ["change"])), tools, settings={"database": database.settings()})
    assert done.result.outcome is Outcome.ABORTED
    assert database.run("SELECT undone FROM airlock_calls") == [(True,)] * 3
    assert (database.rows(), database.rows("orders")) == before


@pytest.mark.parametrize("answered", [True, False])
async def test_a_commit_without_an_answer_is_settled_by_the_probe(database: Any, answered: bool) -> None:
    with losing(database.url, b"COMMIT", answered=answered, after=b"UPDATE airlock_calls", times=1) as port:
        done = await run_plan(plan(*WRITES), [database_write], settings={"database": database.settings(port=port)})
    assert done.result.outcome is Outcome.COMPLETED
    assert [tags for (tags,) in database.run("SELECT tags FROM accounts")] == [["x"], ["x"]]
    assert len(database.rows("airlock_calls")) == 3


async def test_a_connection_that_breaks_in_a_call_and_in_a_dry_run_needs_no_person(database: Any) -> None:
    with (
        losing(database.url, b"INSERT INTO accounts", after=b"INSERT INTO airlock_calls", answered=False, times=1) as port,
        losing(database.settings(port=port)["url"], b"FROM accounts", answered=False, times=1) as outer,
    ):
        done = await run_plan(plan(*WRITES), [database_write], settings={"database": database.settings(port=outer)})
    assert done.result.outcome is Outcome.COMPLETED
    assert len(database.rows()) == 2


@pytest.mark.parametrize("table", ["accounts", "moments"])
async def test_a_step_changes_the_row_that_an_earlier_step_inserted(database: Any, table: str) -> None:
    """A sequence or a clock gives the row other values in each trial, which need no second approval."""
    database.run("CREATE TABLE moments (email text PRIMARY KEY, tags text[], at timestamptz DEFAULT clock_timestamp())")
    new = step("new", table=table, row={"email": "new@acme.test", "tags": ["x"]})
    where = {"email": "new@acme.test"}
    change = step("tag", after=["new"], table=table, operation="update", where=where, row={"tags": ["y"]})
    done = await run_plan(plan(new, change), [database_write], settings={"database": database.settings()})
    assert done.result.outcome is Outcome.COMPLETED
    assert len(done.previews) == 1
    name = "inserted:accounts/new" if table == "accounts" else 'row:moments/{"email":"new@acme.test"}'
    assert f"as step new leaves {name}" in done.previews[0].text, "the call compares the row with what the insert left"
    assert database.run(f"SELECT tags FROM {table} WHERE email = 'new@acme.test'") == [(["y"],)]
