"""Plans that change one thing more than once, on real files and a real database: one approval, and back to the start."""

import itertools
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from temporalio.testing import WorkflowEnvironment

from airlock.activities.toolbox import Toolbox
from airlock.base.errors import ToolFailed
from airlock.client import Airlock, PlanHandle
from airlock.client.undo import undo
from airlock.plans.catalogue import Catalogue
from airlock.plans.state import State
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.tools.databases.database_reading import database_query
from airlock.tools.databases.database_writing import database_write
from airlock.tools.files.file_deleting import file_delete
from airlock.tools.files.file_writing import file_write
from airlock.worker.roles import build_workers
from tests.running import running
from tests.workflows.conftest import POLICY, approved, namespace, step, until

_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Desk:
    """A folder and a database, and the Airlock whose tools change them."""

    folder: Path
    airlock: Airlock

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.folder / "books.db")) as connection, connection:
            return connection.execute(statement).fetchall()

    @property
    def files(self) -> dict[str, str]:
        notes = self.folder / "files"
        found = (path for path in notes.rglob("*") if path.is_file() and ".airlock" not in path.parts)
        return {str(path.relative_to(notes)): path.read_text() for path in found}

    @property
    def books(self) -> list[tuple[Any, ...]]:
        return self.query("SELECT id, title, stock FROM books ORDER BY id")

    async def submit(self, *steps: dict[str, Any], **more: Any) -> PlanHandle:
        plan = {"plan_id": f"own-{next(_NUMBERS)}", "requested_by": "rita", "steps": list(steps), **more}
        return await self.airlock.submit(plan)


@pytest.fixture(scope="module")
async def desk(dev_server: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    (folder / "files").mkdir()
    client = await namespace(dev_server.client, "own-steps")
    made = Desk(folder, Airlock(client))
    made.query("CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT UNIQUE NOT NULL, stock INTEGER NOT NULL DEFAULT 0)")
    settings = {"files": {"root": str(folder / "files")}, "database": {"url": f"sqlite:///{folder / 'books.db'}"}}
    catalogue = Catalogue([file_write, file_delete, database_write, database_query, refuse, toss], settings=settings)
    async with running(build_workers(client, Toolbox(catalogue, POLICY))):
        yield made


class Nothing(BaseModel):
    pass


@tool(name="toss", risk="LOW", reversibility="read_only", timeout=30)
def toss(args: Nothing, _call: ToolCall) -> dict[str, str]:
    """Return a text that no dry run can tell."""
    return {"text": "heads"}


@toss.dry_run
def _may_be_either(args: Nothing, _call: ToolCall) -> Preview:
    return Preview(effect="Would toss a coin.")


class Title(BaseModel):
    title: str


@tool(name="refuse", risk="LOW", reversibility="read_only", timeout=30)
def refuse(args: Title, _call: ToolCall) -> None:
    """Refuse every live call."""
    raise ToolFailed(f"{args.title} is not to be had")


@refuse.dry_run
def _looks_well(args: Title, _call: ToolCall) -> Preview:
    return Preview(effect=f"Would look for {args.title}.")


def write(name: str, path: str, content: str, *after: str) -> dict[str, Any]:
    return step(name, "file_write", after, path=path, content=content)


def row(name: str, operation: str, *after: str, **args: Any) -> dict[str, Any]:
    return step(name, "database_write", after, table="books", operation=operation, **args)


async def test_a_note_is_written_and_corrected_under_one_approval(desk):
    handle = await desk.submit(write("draft", "twice.md", "draft\n"), write("final", "twice.md", "final\n", "draft"))
    await approved(handle)
    preview = await handle.preview()
    assert "as step draft leaves file:twice.md" in preview.text
    result = await handle.result()
    assert result.outcome == "completed", result.why
    assert desk.files["twice.md"] == "final\n"
    assert (await undone(desk, handle)).outcome == "aborted"
    assert "twice.md" not in desk.files


async def completed(handle: PlanHandle) -> None:
    """Check that an approved plan completes, and asks for no second approval."""

    async def settled() -> Any:
        status = await handle.status()
        return status.state is not State.LIVE and status

    status = await until(settled)
    assert status.state is State.COMPLETED, status.why


async def undone(desk: Desk, handle: PlanHandle) -> Any:
    back = await undo(desk.airlock.client, handle.plan_id, by="carol", reason="not wanted")
    status = await back.wait_for(State.AWAITING_APPROVAL)
    assert "would FAIL" not in (await back.preview()).text
    assert (await back.decide("approve", by="alice", digest=status.digest)).accepted
    return await back.result()


async def test_a_file_that_a_plan_writes_is_deleted_by_it_and_comes_back_as_it_was(desk):
    (desk.folder / "files/kept.md").write_text("before")
    handle = await desk.submit(
        write("one", "kept.md", "one"), step("gone", "file_delete", ("one",), path="kept.md"),
        write("again", "kept.md", "again", "gone"), write("other", "new.md", "x"),
        step("away", "file_delete", ("other",), path="new.md"),
    )  # fmt: skip
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    assert desk.files["kept.md"] == "again"
    assert "new.md" not in desk.files
    assert (await undone(desk, handle)).outcome == "aborted"
    assert desk.files["kept.md"] == "before"
    assert "new.md" not in desk.files


async def test_a_row_is_inserted_changed_and_deleted_under_one_approval(desk):
    handle = await desk.submit(
        row("add", "insert", row={"id": 7, "title": "Emma", "stock": 1}),
        row("more", "update", "add", where={"title": "Emma"}, row={"stock": 2}),
        row("rename", "update", "more", where={"id": 7}, row={"title": "Persuasion"}),
        row("next", "insert", "rename", row={"id": 8, "title": "Emma"}),
        row("gone", "delete", "next", where={"title": "Persuasion"}),
    )
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    assert desk.books == [(8, "Emma", 0)]
    assert (await undone(desk, handle)).outcome == "aborted"
    assert desk.books == []


async def test_a_row_is_changed_by_the_number_that_it_gets_in_live_under_one_approval(desk):
    handle = await desk.submit(
        row("add", "insert", row={"title": "Lady Susan"}),
        row("more", "update", where={"id": {"$ref": "add.row.id"}}, row={"stock": 2}),
        row("last", "update", "more", where={"id": {"$ref": "add.row.id"}}, row={"stock": 3}),
    )
    await approved(handle)
    text = (await handle.preview()).text
    assert "as step add leaves inserted:books/add" in text
    assert "as step more leaves inserted:books/add" in text
    await completed(handle)
    assert [row[1:] for row in desk.books] == [("Lady Susan", 3)]
    assert (await undone(desk, handle)).outcome == "aborted"
    assert desk.books == []


async def test_a_query_sees_what_the_plan_will_have_written_so_that_what_comes_of_it_is_no_surprise(desk):
    desk.query("INSERT INTO books VALUES (20, 'Sanditon', 1)")
    handle = await desk.submit(
        row("more", "update", where={"id": 20}, row={"stock": 6}),
        step("count", "database_query", ("more",), table="books", columns=["stock"], where={"id": 20}),
        row("copy", "insert", row={"id": 21, "title": "Copy", "stock": {"$ref": "count.rows[0].stock"}}),
    )
    await approved(handle)
    assert "stock=6" in (await handle.preview()).text
    assert (await handle.result()).outcome == "completed"
    assert desk.query("SELECT stock FROM books WHERE id = 21") == [(6,)]
    desk.query("DELETE FROM books")


async def test_a_plan_that_fails_behind_its_own_changes_ends_where_it_began(desk):
    (desk.folder / "files/start.md").write_text("before")
    before = desk.files, desk.books
    handle = await desk.submit(
        write("one", "start.md", "one"), write("two", "start.md", "two", "one"),
        row("add", "insert", "two", row={"id": 9, "title": "Sanditon"}),
        row("more", "update", "add", where={"id": 9}, row={"stock": 5}),
        step("last", "refuse", ("more",), title="Sanditon"),
    )  # fmt: skip
    await approved(handle)
    result = await handle.result()
    assert (result.outcome, set(result.undone)) == ("aborted", {"one", "two", "add", "more"}), result.why
    assert (desk.files, desk.books) == before


def copied(name: str, path: str, source: str, *after: str) -> dict[str, Any]:
    """Return a step that writes a text which only the live call of another one knows."""
    return write(name, path, {"$ref": f"{source}.text"}, *after)  # type: ignore[arg-type]


async def test_behind_a_content_that_only_live_knows_one_approval_suffices_in_a_chain_and_beside_it(desk):
    (desk.folder / "files/open.md").write_text("before")
    handle = await desk.submit(
        step("coin", "toss"), copied("draft", "open.md", "coin"), write("final", "open.md", "final", "draft"),
        step("gone", "file_delete", ("final",), path="open.md"), write("again", "open.md", "again", "gone"),
        # two that depend on one call, and a call that depends on two: no chain holds them all
        copied("left", "left.md", "coin"), copied("right", "right.md", "coin"),
        write("left-2", "left.md", "l", "left", "right"), write("right-2", "right.md", "r", "left", "right"),
    )  # fmt: skip
    await approved(handle)
    preview = (await handle.preview()).text
    assert "as step draft leaves file:open.md" in preview
    assert "as step gone leaves file:open.md" in preview, "a step that was not looked at stands between"
    await completed(handle)
    found = desk.files
    assert (found["open.md"], found["left.md"], found["right.md"]) == ("again", "l", "r")
    assert "stale" not in {entry.what for entry in (await handle.audit()).entries}
    assert (await undone(desk, handle)).outcome == "aborted"
    assert desk.files["open.md"] == "before"
    assert not {"left.md", "right.md"} & set(desk.files)


async def test_what_another_program_changed_before_the_first_call_is_not_overwritten(desk):
    (desk.folder / "files/theirs.md").write_text("before")
    handle = await desk.submit(write("one", "theirs.md", "one"), write("two", "theirs.md", "two", "one"))
    first = await handle.wait_for(State.AWAITING_APPROVAL)
    (desk.folder / "files/theirs.md").write_text("theirs")
    assert (await handle.decide("approve", by="alice", digest=first.digest)).accepted

    async def sealed_again() -> Any:
        status = await handle.status()
        return status.digest not in {None, first.digest} and status

    await until(sealed_again)
    assert desk.files["theirs.md"] == "theirs"
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    assert desk.files["theirs.md"] == "two"
    assert (await undone(desk, handle)).outcome == "aborted"
    assert desk.files["theirs.md"] == "theirs"
