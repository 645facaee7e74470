"""The undo checks of the built-in tools, beside the undo itself: they say the same, and change nothing."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from airlock.base.errors import ToolFailed
from airlock.plans.tool_call import Preview
from airlock.tools import database_write, file_delete, file_write, ghl_create_contact, ghl_update_contact
from tests.tools.conftest import CrmWorld, Database, Runner

Case = tuple[Runner, dict[str, Any], str, Callable[[], Any], Callable[[], Any]]
"""A tool, its arguments, its check's words after the call, the state to compare, and a change by another program."""


def _written(tmp_path: Path) -> Case:
    (tmp_path / "a.md").write_text("before")
    file = tmp_path / "a.md"
    tool = Runner(file_write, {"root": str(tmp_path)})
    return (
        tool,
        {"path": "a.md", "content": "new"},
        "Would restore the 6 bytes of a.md.",
        file.read_text,
        lambda: file.write_text("x"),
    )


def _created(tmp_path: Path) -> Case:
    file = tmp_path / "b.md"
    tool = Runner(file_write, {"root": str(tmp_path)})
    return tool, {"path": "b.md", "content": "new"}, "Would remove b.md.", file.exists, lambda: file.write_text("x")


def _deleted(tmp_path: Path) -> Case:
    file = tmp_path / "c.md"
    file.write_text("before")
    tool = Runner(file_delete, {"root": str(tmp_path)})
    return tool, {"path": "c.md"}, "Would restore the 6 bytes of c.md.", file.exists, lambda: file.write_text("x")


def _row(database: Database, operation: str) -> Case:
    database.run("DELETE FROM accounts")
    tool = Runner(database_write, database.settings)
    args: dict[str, Any] = {"table": "accounts", "operation": operation}
    if operation == "insert":
        args |= {"row": {"contact_id": "c9", "email": "c9@acme.test"}}
    else:
        database.run("INSERT INTO accounts (contact_id, email) VALUES ('c9', 'c9@acme.test')")
        args |= {"where": {"email": "c9@acme.test"}} | ({"row": {"plan": "gold"}} if operation == "update" else {})
    says = {"insert": "Would delete the row", "update": "Would restore the row", "delete": "Would insert the row"}[operation]

    def move() -> None:
        if operation == "delete":
            (key,) = database.run("SELECT coalesce(max(seq), 1) FROM sqlite_sequence WHERE name = 'accounts'")[0]
            database.run("INSERT INTO accounts (id, contact_id, email) VALUES (?, 'other', 'o@acme.test')", key)
        else:
            database.run("UPDATE accounts SET plan = 'platinum'")

    return tool, args, says, database.rows, move


def _contact(crm: CrmWorld, what: str) -> Case:
    if what == "create":
        args: dict[str, Any] = {"email": "new@acme.test", "name": "New One"}
        tool, says = Runner(ghl_create_contact, crm.settings), "Would delete contact "
    else:
        args = {"contact_id": crm.add(email="jo@acme.test", phone="1")["id"], "phone": "2"}
        tool, says = Runner(ghl_update_contact, crm.settings), "Would restore phone to '1' of contact "

    def contents() -> Any:
        return [(each["email"], each.get("phone"), each.get("name")) for each in crm.contacts()]

    def move() -> None:
        crm.request("PUT", f"/contacts/{crm.contacts()[0]['id']}", json={"phone": "3"})

    return tool, args, says, contents, move


@pytest.fixture(params=["write", "create", "delete", "insert", "update", "remove", "contact", "contact update"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    name = str(request.param)
    files = {"write": _written, "create": _created, "delete": _deleted}
    if name in files:
        return files[name](tmp_path)
    if name.startswith("contact"):
        return _contact(request.getfixturevalue("crm"), "update" if name.endswith("update") else "create")
    return _row(request.getfixturevalue("database"), "delete" if name == "remove" else name)


async def _called(tool: Runner, args: dict[str, Any]) -> tuple[Any, Callable[[], Awaitable[Preview]]]:
    call = tool.call()
    await tool.live(call, **args)
    return call.undo, lambda: tool._run("undo_check", args, tool.call(undo=call.undo))


async def test_the_check_says_what_the_undo_does(case: Case) -> None:
    tool, args, says, state, _ = case
    before = state()
    token, check = await _called(tool, args)
    after = state()
    assert after != before
    assert (await check()).effect.startswith(says)
    assert state() == after, "a check only reads"
    await tool.undo(token, **args)
    assert state() == before
    assert (await check()).effect.startswith("Nothing to do")


async def test_the_check_says_that_somebody_else_has_changed_it_and_the_undo_fails_likewise(case: Case) -> None:
    tool, args, _, state, move = case
    token, check = await _called(tool, args)
    move()
    moved = state()
    with pytest.raises(ToolFailed, match=r"chang|somebody else"):
        await check()
    with pytest.raises(ToolFailed):
        await tool.undo(token, **args)
    assert state() == moved


@pytest.mark.parametrize("tool", [file_write, file_delete, database_write, ghl_create_contact, ghl_update_contact])
def test_every_tool_that_can_be_undone_has_a_check(tool: Any) -> None:
    assert {"compensate", "undo_check"} <= set(tool.functions)
