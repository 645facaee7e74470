"""Rows that one plan changes more than once: previewed before any call, made with those previews, undone in reverse."""

from typing import Any

import pytest
import sqlalchemy as sa
from temporalio.testing import ActivityEnvironment

from airlock.activities.rehearsals.preview import PreviewActivities
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.base.errors import Stale
from airlock.plans.catalogue import Catalogue
from airlock.plans.drift import drift
from airlock.plans.left_states import completed
from airlock.plans.outcome import Previewed
from airlock.plans.plan import Step
from airlock.plans.refs import UNKNOWN
from airlock.tools.databases.database_reading import database_query
from airlock.tools.databases.database_writing import database_write
from airlock.tools.databases.row_states import unforeseen_columns
from airlock.wire import RehearsalRequest

TABLES = (
    "CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT UNIQUE NOT NULL, stock INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE loans (id INTEGER PRIMARY KEY, book INTEGER NOT NULL REFERENCES books(id), who TEXT)",
    "INSERT INTO books VALUES (1, 'Emma', 3)",
    "CREATE TABLE moments (id INTEGER PRIMARY KEY, text TEXT, at TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')))",
    "CREATE TABLE counted (id INTEGER PRIMARY KEY, stock INTEGER, mark TEXT)",
    "INSERT INTO counted VALUES (1, 3, '')",
    "CREATE TRIGGER marks AFTER UPDATE OF stock ON counted BEGIN UPDATE counted SET mark = hex(randomblob(8)); END",
)
WHERE = {"id": 1}


@pytest.fixture
def books(database):
    for statement in TABLES:
        database.run(statement)
    return database


async def previews(database, *changes: dict[str, Any]) -> dict[str, Any]:
    """Preview changes that follow one another, each under its own step."""
    catalogue = Catalogue([database_write, database_query], settings={"database": database.settings})
    steps = [
        Step(
            id=f"s{number}",
            agent="a",
            tool="database_query" if "columns" in change else "database_write",
            args=change,
            confidence=1.0,
        )
        for number, change in enumerate(changes)
    ]
    contracts = {step.id: catalogue.contract(step.tool, step.args) for step in steps}
    request = RehearsalRequest(
        plan_id="plan-1", steps=tuple(steps), epoch=3,
        contracts={contract.digest(): contract for contract in contracts.values()},
        contract_of={step: contract.digest() for step, contract in contracts.items()},
        outputs={"made": {"n": UNKNOWN}},
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
    "a given number": [insert("books", title="Ida"), update({"title": "Ida"}, stock=9), delete({"title": "Ida"})],
    "a time": [
        insert("moments", id=7, text="a"), update({"id": 7}, text="b") | {"table": "moments"}, delete({"id": 7}, "moments"),
    ],
    "renamed": [update(WHERE, title="Emma II"), update({"title": "Emma II"}, stock=1)],
}  # fmt: skip


def compared(books, runner, seen: dict[str, Any], left: dict[str, Any], number: int) -> tuple[Any, Any]:
    """Return a call as a worker makes it: with what earlier calls left, and asked for what later ones need."""
    preview = seen[f"s{number}"]
    wanted = {name for each in seen.values() for name, step in each.follows.items() if step == f"s{number}"}
    made = runner(database_write, books.settings, key=f"plan-1/s{number}")
    known = {name: state for name, state in left.items() if name in preview.follows}
    return made, made.call(observed=completed(preview.observed, preview.follows, known), wanted=tuple(sorted(wanted)))


@pytest.mark.parametrize("changes", PLANS.values(), ids=PLANS)
async def test_one_preview_holds_for_all_calls_and_the_undos_restore_the_rows(books, runner, changes):
    before = books.rows("books"), books.rows("loans")
    seen = await previews(books, *changes)
    assert (books.rows("books"), books.rows("loans")) == before
    assert [each for each in seen.values() if not isinstance(each, Previewed)] == []
    assert "refuses" not in " ".join(each.effect for each in seen.values())
    tokens: list[Any] = []
    left: dict[str, Any] = {}
    for number, change in enumerate(changes):
        made, call = compared(books, runner, seen, left, number)
        output = await made.live(call, **change)
        left |= call.leaves
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


async def test_a_row_that_gets_its_number_in_live_is_compared_with_what_the_insert_left(books, runner):
    changes = [insert("books", title="Ida"), update({"title": "Ida"}, stock=9)]
    seen = await previews(books, *changes)
    assert seen["s1"].observed == {"sha256": UNKNOWN}
    assert seen["s1"].follows == {"inserted:books/s0": "s0"}
    assert "the call compares it with the row that this step leaves" in seen["s1"].effect
    books.run("INSERT INTO books VALUES (2, 'Theirs', 0)")  # takes the number that the trial got
    first, call = compared(books, runner, seen, {}, 0)
    await first.live(call, **changes[0])
    left = dict(call.leaves)
    again = first.call(attempt=2, wanted=call.wanted)
    await first.live(again, **changes[0])
    assert again.leaves == left, "an attempt after a lost answer tells it again"
    books.run("UPDATE books SET stock = 77 WHERE title = 'Ida'")
    second, call = compared(books, runner, seen, left, 1)
    with pytest.raises(Stale):
        await second.live(call, **changes[1])
    books.run("UPDATE books SET stock = 0 WHERE title = 'Ida'")
    second, call = compared(books, runner, seen, left, 1)
    await second.live(call, **changes[1])
    assert (3, "Ida", 9) in books.rows("books")


NEW = {"id": {"$ref": "s0.row.id"}}
OPEN = {
    "named by its new id": (
        [insert("books", title="Ida"), update(NEW, stock=9), delete(NEW)],
        {"id": 2},
    ),
    "an unknown value": (
        [update(WHERE, stock={"$ref": "made.n"}), update(WHERE, title="Emma II"), update({"id": 1}, stock=7)], WHERE,
    ),
    "an unknown value in between": (
        [update(WHERE, stock=4), update(WHERE, stock={"$ref": "made.n"}), update(WHERE, title="Emma II")], WHERE,
    ),
    "an unknown value of a new row": (
        [insert("books", id=2, title="Ida", stock={"$ref": "made.n"}), insert("books", title="Other")], {},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "where"), OPEN.values(), ids=OPEN)
@pytest.mark.parametrize("theirs", [False, True])
async def test_a_value_or_a_name_that_only_live_knows_needs_no_second_approval(books, runner, changes, where, theirs):
    seen = await previews(books, *changes)
    assert [each for each in seen.values() if not isinstance(each, Previewed)] == []
    left: dict[str, Any] = {}
    for number, change in enumerate(changes):
        made, call = compared(books, runner, seen, left, number)
        open_value = change.get("row", {}).get("stock") == {"$ref": "made.n"}
        known = {**change, "row": {**change["row"], "stock": 6}} if open_value else change
        known = {**known, "where": where} if "where" in known else known
        if theirs and number and where:
            books.run(f"UPDATE books SET stock = stock + 70 WHERE id = {where['id']}")
            with pytest.raises(Stale):
                await made.live(call, **known)
            return
        await made.live(call, **known)
        left |= call.leaves


async def test_a_row_that_a_trigger_changes_is_compared_with_what_the_update_left(books, runner):
    changes = [update(WHERE, stock=stock) | {"table": "counted"} for stock in (4, 5)]
    seen = await previews(books, *changes)
    assert (seen["s1"].observed, seen["s1"].follows) == ({"sha256": UNKNOWN}, {'row:counted/{"id":1}': "s0"})
    first, call = compared(books, runner, seen, {}, 0)
    await first.live(call, **changes[0])
    second, call = compared(books, runner, seen, dict(call.leaves), 1)
    await second.live(call, **changes[1])
    assert [stock for _, stock, _ in books.rows("counted")] == [5]


@pytest.mark.parametrize(
    ("default", "varies"),
    [
        ("0", False), ("-1.5", False), ("'x'", False), ("'it''s'", False), ("'x'::text", False), ("(0)", False),
        ("NULL::character varying(20)", False), ("false", False), ("CURRENT_TIMESTAMP", True), ("now()", True),
        ("nextval('books_id_seq'::regclass)", True), ("(hex(randomblob(4)))", True), ("'a' || random()", True),
    ],
)  # fmt: skip
def test_only_a_constant_default_is_the_same_each_time(default, varies):
    table = sa.Table(
        "t", sa.MetaData(), sa.Column("id", sa.String, primary_key=True), sa.Column("c", server_default=sa.text(default))
    )
    assert unforeseen_columns(table, {"id": "1"}) == ({"c"} if varies else set())
    assert unforeseen_columns(table, {"id": "1", "c": 5}) == set()


async def test_a_change_of_a_row_that_an_earlier_step_deletes_fails_its_dry_run(books):
    seen = await previews(books, delete(WHERE), update(WHERE, stock=1))
    assert "no row of 'books' matches" in seen["s1"]


async def test_an_unknown_change_before_it_leaves_the_preview_as_it_was(books):
    seen = await previews(books, insert("books", title=UNKNOWN), update(WHERE, stock=5))
    assert isinstance(seen["s1"], Previewed)
    assert "stock from 3 to 5" in seen["s1"].effect
    assert seen["s1"].follows == {}


@pytest.mark.parametrize(
    ("stock", "said"),
    [(4, "1 rows of books, after the earlier steps"), ({"$ref": "made.n"}, "1 rows of books, before the earlier steps")],
)
async def test_a_query_says_whether_it_saw_the_changes_of_its_plan(books, stock, said):
    seen = await previews(books, update(WHERE, stock=stock), {"table": "books", "columns": ["stock"], "where": WHERE})
    assert said in seen["s1"].effect
    assert seen["s1"].output["rows"] == [{"stock": 4 if stock == 4 else 3}]
    assert seen["s1"].seen_before == ()
