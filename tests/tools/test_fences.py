"""Attempts that are not their worker's any more, or too old: no built-in tool lets one of them have an effect."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airlock.base.errors import ToolFailed
from airlock.tools import database_write, file_delete, file_write, ghl_create_contact, ghl_update_contact, http_request
from airlock.tools.mail import send_email
from tests.tools.test_mail import MAIL, Mailbox, mailbox  # noqa: F401  the mailbox is a fixture

Make = Callable[..., Any]
ROW = {"table": "accounts", "row": {"contact_id": "c1", "name": "Jo", "email": "jo@acme.test"}}
NOT_MINE = "does not belong to its worker any more"


async def _no() -> bool:
    return False


def lost(tool: Any, **more: Any) -> Any:
    """Return the call of an attempt that Temporal has given up."""
    return tool.call(still_mine=_no, still_mine_sync=lambda: False, fence=5, **more)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


async def refused(tool: Any, call: Any, **args: Any) -> None:
    with pytest.raises(ToolFailed, match=NOT_MINE) as failed:
        await tool.live(call, **args)
    assert failed.value.retry
    assert failed.value.after > 0, "a call that is made once may be tried again: nothing was done"


async def test_a_lost_attempt_writes_no_file_and_deletes_none(runner: Make, root: Path) -> None:
    write, delete = runner(file_write, {"root": str(root)}), runner(file_delete, {"root": str(root)}, key="other")
    await refused(write, lost(write), path="a/b.txt", content="x")
    assert not (root / "a").exists()
    (root / "here.txt").write_text("here")
    await refused(delete, lost(delete), path="here.txt")
    assert (root / "here.txt").read_text() == "here"


async def test_a_lost_attempt_writes_no_row(runner: Make, database: Any) -> None:
    tool = runner(database_write, database.settings)
    await refused(tool, lost(tool), **ROW)
    assert database.rows() == []
    assert (await tool.live(tool.call(fence=6), **ROW))["row"]["id"] == 1


async def test_a_lost_attempt_sends_no_mail(runner: Make, mailbox: Mailbox) -> None:  # noqa: F811
    tool = runner(send_email, mailbox.settings)
    await refused(tool, lost(tool), **MAIL)
    assert mailbox.new() == []


async def test_a_lost_attempt_changes_no_contact(runner: Make, crm: Any) -> None:
    create = runner(ghl_create_contact, crm.settings)
    await refused(create, lost(create), email="jo@acme.test", name="Jo")
    assert crm.contacts() == []
    added = crm.add(email="jo@acme.test", name="Jo")
    update = runner(ghl_update_contact, crm.settings, key="other")
    await refused(update, lost(update), contact_id=added["id"], phone="+49 1")
    assert crm.requests("PUT") == []


async def test_a_lost_attempt_makes_no_writing_request(runner: Make, crm: Any) -> None:
    host = crm.settings["base_url"].removeprefix("http://").rstrip("/")
    tool = runner(http_request, {"allow_hosts": [host]})
    before = len(crm.requests("POST"))
    await refused(tool, lost(tool), url=f"http://{host}/contacts/", method="POST", body={})
    assert len(crm.requests("POST")) == before
    assert (await tool.live(lost(tool), url=f"http://{host}/_sandbox/contacts"))["status"] == 200, "a read asks nothing"


async def test_an_older_attempt_does_not_overwrite_what_a_later_call_wrote(runner: Make, root: Path) -> None:
    settings = {"root": str(root)}
    old, new = runner(file_write, settings, key="old/write"), runner(file_write, settings, key="new/write")
    await new.live(new.call(fence=20), path="a.txt", content="new")
    with pytest.raises(ToolFailed, match="this attempt is too old"):
        await old.live(old.call(fence=19), path="a.txt", content="old")
    assert (root / "a.txt").read_text() == "new"
    other = runner(file_write, settings, key="other/write")
    await other.live(other.call(fence=1), path="b.txt", content="another file has tokens of its own")
    delete = runner(file_delete, settings, key="newest/delete")
    await delete.live(delete.call(fence=21), path="a.txt")
    assert not (root / "a.txt").exists()


async def test_a_probe_that_finds_no_row_bars_the_attempts_before_it_and_no_later_one(runner: Make, database: Any) -> None:
    tool = runner(database_write, database.settings)
    assert tool.tool.contract({}).fenced
    for fence in (10, 12, 11):
        assert (await tool.probe(tool.call(fence=fence), **ROW)).happened is False
    for fence in (9, 11, 12):
        with pytest.raises(ToolFailed, match="may have none any more"):
            await tool.live(tool.call(fence=fence), **ROW)
    assert database.rows() == []
    call = tool.call(fence=13)
    written = await tool.live(call, **ROW)
    assert len(database.rows()) == 1
    assert (await tool.probe(tool.call(fence=14), **ROW)).happened is True
    assert await tool.live(tool.call(fence=15), **ROW) == written
    await tool.undo(call.undo, **ROW)
    assert database.rows() == []
    with pytest.raises(ToolFailed, match="was undone"):
        await tool.live(tool.call(fence=16), **ROW)


async def test_the_undo_of_a_barred_call_does_nothing_and_keeps_it_barred(runner: Make, database: Any) -> None:
    tool = runner(database_write, database.settings)
    await tool.probe(tool.call(fence=10), **ROW)
    token = {"call": tool.key}
    await tool.undo(token, **ROW)
    with pytest.raises(ToolFailed):
        await tool.live(tool.call(fence=30), **ROW)
    assert (await tool.probe(tool.call(fence=31), **ROW)).happened is False
    assert database.rows() == []
