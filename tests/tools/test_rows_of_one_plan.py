"""Rows that one plan changes more than once: previewed before any call, made with those previews, undone in reverse."""

from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from airlock.activities.preview import PreviewActivities
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.base.errors import Stale
from airlock.plans.catalogue import Catalogue
from airlock.plans.drift import drift
from airlock.plans.outcome import Previewed
from airlock.plans.plan import Step
from airlock.plans.refs import UNKNOWN
from airlock.tools.database_writing import database_write
from airlock.wire import RehearsalRequest

TABLES = (
    "CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT UNIQUE NOT NULL, stock INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE loans (id INTEGER PRIMARY KEY, book INTEGER NOT NULL REFERENCES books(id), who TEXT)",
    "INSERT INTO books VALUES (1, 'Emma', 3)",
)
WHERE = {"id": 1}


@pytest.fixture
def books(database):
    for statement in TABLES:
        database.run(statement)
    return database


async def previews(database, *changes: dict[str, Any]) -> dict[str, Any]:
    """Preview changes that follow one another, each under its own step."""
    catalogue = Catalogue([database_write], settings={"database": database.settings})
    steps = [
        Step(id=f"s{number}", agent="a", tool="database_write", args=change, confidence=1.0)
        for number, change in enumerate(changes)
    ]
    contracts = {step.id: catalogue.contract(step.tool, step.args) for step in steps}
    request = RehearsalRequest(
        plan_id="plan-1", steps=tuple(steps), epoch=3,
        contracts={contract.digest(): contract for contract in contracts.values()},
        contract_of={step: contract.digest() for step, contract in contracts.items()},
        parents={f"s{number}": (f"s{number - 1}",) if number else () for number in range(len(steps))},
    )  # fmt: skip
    policy = Policy.model_validate({"agents": {"a": {"permissions": ["*"]}}})
    result = await ActivityEnvironment().run(PreviewActivities(Toolbox(catalogue, policy)).preview, request)
    return {each.step: each if isinstance(each, Previewed) else each.error for each in result.previews}


def insert(table: str, **row: Any) -> dict[str, Any]:
    return {"table": table, "row": row}


def update(where: dict[str, Any], **row: Any) -> dict[str, Any]:
    return {"table": "books", "operation": "update", "where": where, "row": row}


def delete(where: dict[str, Any], table: str = "books") -> dict[str, Any]:
    return {"table": table, "operation": "delete", "where": where}


PLANS = {
    "two updates": [update(WHERE, stock=4), update(WHERE, stock=5)],
    "named in two ways": [update(WHERE, stock=4), update({"title": "Emma"}, stock=5)],
    "insert, update, delete": [insert("books", id=2, title="Ida"), update({"title": "Ida"}, stock=9), delete({"id": 2})],
    "delete, insert": [delete(WHERE), insert("books", id=1, title="Emma", stock=8), update(WHERE, stock=7)],
    "a foreign key": [insert("books", id=2, title="Ida"), insert("loans", id=5, book=2, who="Jo")],
    "renamed": [update(WHERE, title="Emma II"), update({"title": "Emma II"}, stock=1)],
}


@pytest.mark.parametrize("changes", PLANS.values(), ids=PLANS)
async def test_one_preview_holds_for_all_calls_and_the_undos_restore_the_rows(books, runner, changes):
    before = books.rows("books"), books.rows("loans")
    seen = await previews(books, *changes)
    assert (books.rows("books"), books.rows("loans")) == before
    assert [each for each in seen.values() if not isinstance(each, Previewed)] == []
    assert "refuses" not in " ".join(each.effect for each in seen.values())
    tokens: list[Any] = []
    for number, change in enumerate(changes):
        made = runner(database_write, books.settings, key=f"plan-1/s{number}")
        call = made.call(observed=seen[f"s{number}"].observed)
        output = await made.live(call, **change)
        assert drift(seen[f"s{number}"].output, output) == ()
        tokens.append((made, call.undo, change))
    for made, token, change in reversed(tokens):
        await made.undo(token, **change)
    assert (books.rows("books"), books.rows("loans")) == before


async def test_the_approver_reads_what_the_call_will_find_and_whose_row_it_is(books):
    seen = await previews(books, *PLANS["named in two ways"])
    assert "stock from 4 to 5" in seen["s1"].effect
    assert seen["s1"].follows == {'row:books/{"id":1}': "s0"}


async def test_a_change_by_another_program_between_two_own_calls_is_stale(books, runner):
    changes = PLANS["two updates"]
    seen = await previews(books, *changes)
    first = runner(database_write, books.settings, key="plan-1/s0")
    await first.live(first.call(observed=seen["s0"].observed), **changes[0])
    books.run("UPDATE books SET stock = 77 WHERE id = 1")
    second = runner(database_write, books.settings, key="plan-1/s1")
    with pytest.raises(Stale):
        await second.live(second.call(observed=seen["s1"].observed), **changes[1])
    assert books.rows("books") == [(1, "Emma", 77)]


async def test_a_change_of_a_row_that_an_earlier_step_deletes_fails_its_dry_run(books):
    seen = await previews(books, delete(WHERE), update(WHERE, stock=1))
    assert "no row of 'books' matches" in seen["s1"]


async def test_an_unknown_change_before_it_leaves_the_preview_as_it_was(books):
    seen = await previews(books, insert("books", title=UNKNOWN), update(WHERE, stock=5))
    assert isinstance(seen["s1"], Previewed)
    assert "stock from 3 to 5" in seen["s1"].effect
    assert seen["s1"].follows == {}
