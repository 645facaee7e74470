"""The read lane on a real database and real files: what the approver sees is what is written, and no secret is shown."""

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel, JsonValue
from temporalio.testing import WorkflowEnvironment

from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.client import Airlock
from airlock.plans.catalogue import Catalogue
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.worker.roles import build_workers
from tests.processes.roles import decoded
from tests.running import running
from tests.workflows.conftest import approved, awaiting, namespace, step
from tests.workflows.test_own_steps import Desk, database_query, database_write, file_write

SECRET = "tok_live_0123456789/EXAMPLE+"
_NUMBERS = itertools.count(1)


class Peek(BaseModel):
    token: JsonValue


@tool(name="peek", risk="LOW", reversibility="read_only", secrets={"token"}, timeout=60)
def peek(args: Peek, _call: ToolCall) -> dict[str, str]:
    """Return what it was given, which no tool should do."""
    return {"said": f"the token is {args.token}"}


@peek.dry_run
def _looks(args: Peek, _call: ToolCall) -> Preview:
    return Preview(effect="Would look.")


@pytest.fixture
async def desk(dev_server: WorkflowEnvironment, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setenv("AIRLOCK_SECRET_API_TOKEN", SECRET)
    (tmp_path / "files").mkdir()
    client = await namespace(dev_server.client, f"lane-desk{next(_NUMBERS)}")
    made = Desk(tmp_path, Airlock(client))
    made.query("CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT UNIQUE NOT NULL, stock INTEGER NOT NULL DEFAULT 0)")
    made.query("INSERT INTO books VALUES (1, 'Emma', 3)")
    made.query("CREATE TABLE counts (id INTEGER PRIMARY KEY, books INTEGER)")
    settings = {"files": {"root": str(tmp_path / "files")}, "database": {"url": f"sqlite:///{tmp_path / 'books.db'}"}}
    rules = {"read_lane": True, "agents": {"*": {"permissions": ["*"], "secrets": ["*"]}}}
    toolbox = Toolbox(
        Catalogue([file_write, database_query, database_write, peek], settings=settings), Policy.model_validate(rules)
    )
    async with running(build_workers(client, toolbox)):
        yield made


async def test_the_approver_sees_what_was_counted_and_the_row_holds_what_was_shown(desk: Desk) -> None:
    handle = await desk.submit(
        step("find", "database_query", table="books", where={"stock": 3}),
        step("note", "file_write", path="note.md", content="counted"),
        step("keep", "database_write", table="counts", operation="insert", row={"id": 1, "books": {"$ref": "find.count"}}),
    )
    await awaiting(handle)
    preview = await handle.preview()
    by_id = {each.id: each for each in preview.sealed.steps}
    assert by_id["keep"].preview.args["row"] == {"id": 1, "books": 1}
    assert by_id["find"].read.output["rows"] == [{"id": 1, "title": "Emma", "stock": 3}]
    assert "known after live" not in preview.text
    desk.query("UPDATE books SET stock = 0")  # it moved on: what was approved is what is written
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    assert (desk.query("SELECT id, books FROM counts"), desk.files) == ([(1, 1)], {"note.md": "counted"})


async def test_a_table_that_is_not_there_fails_the_read(desk: Desk) -> None:
    handle = await desk.submit(step("find", "database_query", table="films"))
    result = await handle.result()
    assert result.outcome == "rehearsed"
    assert result.steps[0].reasons[0].startswith("its read failed: ")
    assert "films" in result.steps[0].reasons[0]


async def test_what_was_read_shows_no_secret(desk: Desk) -> None:
    handle = await desk.submit(
        step("look", "peek", token={"$secret": "API_TOKEN"}),
        step("note", "file_write", path="note.md", content={"$ref": "look.said"}),
    )
    await awaiting(handle)
    preview = await handle.preview()
    assert SECRET not in preview.model_dump_json()
    assert "the token is" in preview.text
    history = (await handle.workflow.fetch_history()).to_json_dict()
    assert not [text for text in await decoded(history) if SECRET in text]
