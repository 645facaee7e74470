"""The database tools on a real PostgreSQL when something is in the way: other calls, lost connections, missing rights."""

import asyncio
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airlock.base.errors import InDoubt, ToolFailed
from airlock.tools import database_query, database_write
from tests.tools.postgresql import Gate, losing

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "guides" / "databases.md"
Make = Callable[..., Any]
ACCOUNTS = """
CREATE TABLE accounts (id serial PRIMARY KEY, email text UNIQUE, plan text);
INSERT INTO accounts (email, plan) VALUES ('jo@acme.test', 'free'), ('al@acme.test', 'free');
"""
INSERT = {"table": "accounts", "row": {"email": "new@acme.test"}}
UPDATE = {"table": "accounts", "operation": "update", "where": {"id": 1}, "row": {"plan": "gold"}}
INITIAL = ["(1,jo@acme.test,free)", "(2,al@acme.test,free)"]
GOLD = ["(1,jo@acme.test,gold)", "(2,al@acme.test,free)"]


@pytest.fixture
def database(postgres: Any) -> Any:
    postgres.run(ACCOUNTS)
    return postgres


async def failure(attempt: Any) -> ToolFailed:
    with pytest.raises(ToolFailed) as refusal:
        await attempt
    assert not isinstance(refusal.value, InDoubt)
    return refusal.value


@pytest.mark.parametrize("args", [INSERT, UPDATE])
async def test_two_attempts_of_one_call_at_once_have_one_effect(runner: Make, database: Any, args: Any) -> None:
    tool, gate = runner(database_write, database.settings()), Gate()
    await runner(database_write, database.settings(), key="earlier").probe(**INSERT)  # there is a ledger
    first = asyncio.create_task(tool.live(tool.call(still_mine_sync=gate.pass_through), **args))
    await gate.wait()
    second = asyncio.create_task(failure(tool.live(**args)))
    await database.waiting()
    gate.open.set()
    output = await first
    refused = await second
    assert refused.retry, "a certain failure would say that the call has no effect, and the other attempt had one"
    assert "another attempt of this call" in str(refused)
    assert await tool.live(**args) == output
    assert len(database.run("SELECT * FROM accounts WHERE plan = 'gold' OR email = 'new@acme.test'")) == 1


@pytest.mark.parametrize("kind", ["probe", "undo"])
async def test_a_probe_and_an_undo_wait_for_the_attempt_that_is_under_way(runner: Make, database: Any, kind: str) -> None:
    tool, gate = runner(database_write, database.settings()), Gate()
    await runner(database_write, database.settings(), key="earlier").probe(**INSERT)
    first = asyncio.create_task(tool.live(tool.call(still_mine_sync=gate.pass_through), **UPDATE))
    await gate.wait()

    def ask() -> Any:
        return tool.probe(**UPDATE) if kind == "probe" else tool.undo({"call": tool.key}, **UPDATE)

    asked = asyncio.create_task(failure(ask()))
    await database.waiting()
    gate.open.set()
    await first
    assert (await asked).retry
    answer = await ask()
    assert kind == "undo" or answer.happened
    assert database.rows() == (INITIAL if kind == "undo" else GOLD)


async def test_the_first_two_calls_of_a_database_both_make_its_ledger(runner: Make, database: Any) -> None:
    one, other = (runner(database_write, database.settings(), key=key) for key in ("one", "other"))
    gate = Gate()
    first = asyncio.create_task(one.live(one.call(still_mine_sync=gate.pass_through), **UPDATE))
    await gate.wait()
    second = asyncio.create_task(failure(other.live(**INSERT)))
    await database.waiting()
    gate.open.set()
    await first
    assert (await second).retry
    await other.live(**INSERT)
    assert len(database.rows()) == 3


async def test_a_serialization_failure_is_tried_again(runner: Make, database: Any) -> None:
    tool = runner(database_write, database.settings("default_transaction_isolation=serializable"))
    with database.session() as other:
        other.execute("BEGIN")
        other.execute("UPDATE accounts SET plan = 'theirs' WHERE id = 1")
        refused = asyncio.create_task(failure(tool.live(**UPDATE)))
        await database.waiting()
        other.execute("COMMIT")
        found = await refused
    assert "SerializationFailure" in str(found)
    assert found.retry
    await tool.live(**UPDATE)
    assert database.rows() == GOLD


TOTALS = """
CREATE TABLE totals (id int PRIMARY KEY, changes int);
INSERT INTO totals VALUES (1, 0);
CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM pg_advisory_xact_lock(42); UPDATE totals SET changes = changes + 1; RETURN NEW; END $$;
CREATE TRIGGER counted AFTER UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION counted();
"""


async def test_a_deadlock_is_tried_again(runner: Make, database: Any) -> None:
    database.run(TOTALS)
    tool = runner(database_write, database.settings("deadlock_timeout=20ms"))
    with database.session() as gate, database.session() as other:
        gate.execute("SELECT pg_advisory_lock(42)")
        other.execute("SET deadlock_timeout = '600s'")
        other.execute("BEGIN")
        other.execute("UPDATE totals SET changes = 100")
        refused = asyncio.create_task(failure(tool.live(**UPDATE)))
        await database.waiting()  # the call holds its row
        theirs = asyncio.create_task(asyncio.to_thread(other.execute, "DELETE FROM accounts WHERE id = 1"))
        await database.waiting(2)
        gate.execute("SELECT pg_advisory_unlock(42)")
        found = await refused
        await theirs
        other.execute("ROLLBACK")
    assert "DeadlockDetected" in str(found)
    assert found.retry
    await tool.live(**UPDATE)
    assert database.rows() == GOLD
    assert database.rows("totals") == ["(1,1)"]


async def test_a_row_that_another_program_keeps_locked_is_busy_and_not_away(runner: Make, database: Any) -> None:
    tool = runner(database_write, database.settings(busy_timeout=0.05))
    with database.session() as other:
        other.execute("BEGIN")
        other.execute("UPDATE accounts SET plan = 'theirs' WHERE id = 1")
        found = await failure(tool.live(**UPDATE))
        assert "the database could not do it: LockNotAvailable" in str(found)
        assert found.retry
        preview = await tool.dry_run(**UPDATE)
        assert preview.effect.endswith("The constraints of the database were not tried: the database was busy.")
        other.execute("ROLLBACK")
    assert database.rows() == INITIAL


async def test_a_connection_that_an_operator_ends_before_the_commit_had_no_effect(runner: Make, database: Any) -> None:
    database.run(TOTALS)
    tool = runner(database_write, database.settings(busy_timeout=100))
    with database.session() as gate:
        gate.execute("SELECT pg_advisory_lock(42)")
        refused = asyncio.create_task(failure(tool.live(call := tool.call(), **UPDATE)))
        await database.waiting()
        database.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        found = await refused
    assert found.retry
    assert call.undo is None
    assert database.rows() == INITIAL
    assert database.run("SELECT to_regclass('airlock_calls')") == [(None,)]


async def test_a_statement_that_takes_too_long_for_the_server_is_tried_again(runner: Make, database: Any) -> None:
    database.run(TOTALS)
    tool = runner(database_write, database.settings("statement_timeout=50ms"))
    with database.session() as gate:
        gate.execute("SELECT pg_advisory_lock(42)")
        found = await failure(tool.live(**UPDATE))
    assert "QueryCanceled" in str(found)
    assert found.retry
    assert database.rows() == INITIAL


async def test_a_connection_that_the_server_ended_is_noticed_before_the_commit_is_sent(runner: Make, database: Any) -> None:
    tool, gate = runner(database_write, database.settings("application_name=ended")), Gate()
    call = asyncio.create_task(tool.live(tool.call(still_mine_sync=gate.pass_through), **UPDATE))
    await gate.wait()
    database.run("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'ended'")
    gate.open.set()
    with pytest.raises(ToolFailed, match="AdminShutdown") as refusal:
        await call
    assert refusal.value.retry
    assert (await tool.probe(**UPDATE)).happened is False
    assert database.rows() == INITIAL


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("args", [INSERT, UPDATE])
async def test_a_connection_lost_in_the_commit_is_in_doubt_until_the_probe(
    runner: Make, database: Any, args: Any, answered: bool
) -> None:
    """The client sees the same, whether the server got the commit or not. Only the ledger knows."""
    direct = runner(database_write, database.settings())
    with losing(database.url, b"COMMIT", answered=answered) as port:
        tool = runner(database_write, database.settings(port=port))
        call = tool.call(fence=1)
        with pytest.raises(InDoubt, match="the commit has no certain answer"):
            await tool.live(call, **args)
        assert call.undo == {"call": tool.key}
    settled = direct.call(fence=2)
    answer = await direct.probe(settled, **args)
    assert answer.happened is answered
    if answered:
        assert len(database.run("SELECT * FROM accounts WHERE plan = 'gold' OR email = 'new@acme.test'")) == 1
        assert await direct.live(direct.call(fence=3), **args) == answer.output
        await direct.undo(settled.undo, **args)
    assert database.rows() == INITIAL


@pytest.mark.parametrize("word", [b"UPDATE accounts", b"airlock_calls", b"BEGIN"])
async def test_a_connection_lost_before_the_commit_had_no_effect(runner: Make, database: Any, word: bytes) -> None:
    with losing(database.url, word, answered=False) as port:
        tool = runner(database_write, database.settings(port=port))
        found = await failure(tool.live(call := tool.call(), **UPDATE))
    assert found.retry
    assert call.undo is None
    assert database.rows() == INITIAL


async def test_a_server_that_is_away_is_worth_another_try(runner: Make, database: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    tool = runner(database_write, database.settings(port=port))
    for attempt in (tool.dry_run, tool.live):
        found = await failure(attempt(**UPDATE))
        assert str(found).startswith("the database cannot be reached: ")
        assert found.retry


async def test_a_worker_that_may_only_read_previews(runner: Make, database: Any) -> None:
    live = runner(database_write, database.settings(), key="earlier")
    await live.live(**INSERT)
    database.role("reader", "SELECT ON accounts, airlock_calls")
    reader = runner(database_write, database.settings(username="reader"))
    preview = await reader.dry_run(**UPDATE)
    assert preview.effect.endswith("were not tried: this worker may only read.")
    assert "InsufficientPrivilege" in str(await failure(reader.live(**UPDATE)))


async def test_a_role_that_is_read_only_by_default_stays_so(runner: Make, database: Any) -> None:
    """The same answers as those of a standby server."""
    tool = runner(database_write, database.settings("default_transaction_read_only=on"))
    preview = await tool.dry_run(**UPDATE)
    assert preview.effect.endswith("were not tried: this worker may only read.")
    found = await failure(tool.live(**UPDATE))
    assert "ReadOnlySqlTransaction" in str(found)
    assert not found.retry
    assert database.rows() == INITIAL


async def test_a_role_that_may_insert_but_not_update_inserts(runner: Make, database: Any) -> None:
    database.run("CREATE TABLE log (id serial PRIMARY KEY, line text UNIQUE)")
    await runner(database_write, database.settings(), key="earlier").live(**INSERT)
    database.role("scribe", "SELECT, INSERT ON log", "USAGE ON log_id_seq", "SELECT, INSERT, UPDATE ON airlock_calls")
    scribe = runner(database_write, database.settings(username="scribe"))
    args = {"table": "log", "row": {"line": "x"}}
    preview = await scribe.dry_run(**args)
    assert "not tried" not in preview.effect
    await scribe.live(scribe.call(observed=preview.observed), **args)
    assert database.rows("log") == ["(2,x)"]


async def test_a_role_that_cannot_make_the_ledger_is_told_in_the_dry_run(runner: Make, database: Any) -> None:
    database.role("guest", "SELECT, INSERT, UPDATE ON accounts")
    guest = runner(database_write, database.settings(username="guest"))
    found = await failure(guest.dry_run(**UPDATE))
    assert "not create or write the table airlock_calls" in str(found)
    await failure(guest.live(**UPDATE))
    assert database.rows() == INITIAL
    (documented,) = re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    database.run(documented.replace("TO airlock", "TO guest"))
    await guest.dry_run(**UPDATE)
    await guest.live(**UPDATE)
    assert database.rows() == GOLD
    assert (await runner(database_query, database.settings(username="guest")).live(table="accounts"))["count"] == 2
