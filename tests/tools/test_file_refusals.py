"""Refusals and failures of the file tools: stale, outside, full or forbidden, without an effect or a doubt."""

import errno
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from airlock.base.errors import Stale, ToolFailed
from airlock.base.text import MAX_OUTPUT_BYTES
from airlock.tools import file_delete, file_write
from airlock.tools.files import backups
from tests.tools.conftest import tree

Make = Callable[..., Any]


@pytest.mark.parametrize("change", ["content", "mode", "gone"])
async def test_stale_when_the_file_moved_since_the_preview(runner: Make, root: Path, change: str) -> None:
    file = root / "x"
    file.write_text("old")
    for tool, args in (
        (runner(file_write, {"root": str(root)}), {"path": "x", "content": "new"}),
        (runner(file_delete, {"root": str(root)}, key="other"), {"path": "x"}),
    ):
        file.write_text("old")
        observed = (await tool.dry_run(**args)).observed
        if change == "content":
            file.write_text("moved")
        elif change == "mode":
            file.chmod(0o600 if file.stat().st_mode & 0o077 else 0o644)
        else:
            file.unlink()
        before = tree(root)
        call = tool.call(observed=observed)
        with pytest.raises(Stale):
            await tool.live(call, **args)
        assert tree(root) == before
        assert call.undo is None


async def test_stale_when_a_file_appeared_since_the_preview(runner: Make, root: Path) -> None:
    tool = runner(file_write, {"root": str(root)})
    observed = (await tool.dry_run(path="x", content="new")).observed
    assert observed is not None
    (root / "x").write_text("somebody's")
    with pytest.raises(Stale):
        await tool.live(tool.call(observed=observed), path="x", content="new")


async def test_delete_refuses_what_is_not_there(runner: Make, root: Path) -> None:
    tool = runner(file_delete, {"root": str(root)})
    with pytest.raises(ToolFailed, match="no file 'x' to delete"):
        await tool.dry_run(path="x")
    with pytest.raises(ToolFailed, match="no file 'x' to delete"):
        await tool.live(path="x")
    assert (await tool.mock(path="x"))["path"] == "x"


async def test_a_key_is_for_one_change_only(runner: Make, root: Path) -> None:
    tool = runner(file_write, {"root": str(root)})
    await tool.live(path="x", content="1")
    with pytest.raises(ToolFailed, match="used for another change"):
        await tool.live(path="x", content="2")
    with pytest.raises(ToolFailed, match="used for another change"):
        await tool.live(path="y", content="1")
    assert tree(root) == {"x": (b"1", 0o644)}


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../x", "a/../../x", "a/..", ".", "", "./x", "a//b", "a/", "a\\b", "a\0b", ".airlock/x", ".AirLock"],
)
async def test_paths_outside_are_refused_before_anything_else(path: str) -> None:
    for model in (file_write.arguments, file_delete.arguments):
        with pytest.raises(ValidationError):
            model.model_validate({"path": path, "content": "x"} if model is file_write.arguments else {"path": path})


async def test_symbolic_links_and_other_things_are_no_way_out(runner: Make, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (root / "link").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    (root / "dangling").symlink_to(outside / "new")
    (root / "loop").symlink_to(root / "loop")
    (root / "plain").write_text("x")
    (root / "folder").mkdir()
    os.mkfifo(root / "pipe")
    writer, deleter = runner(file_write, {"root": str(root)}), runner(file_delete, {"root": str(root)})
    for path in ("link/secret", "link/new", "file", "dangling", "loop", "plain/x", "folder", "pipe"):
        for attempt in (writer.dry_run, writer.live):
            with pytest.raises(ToolFailed):
                await attempt(path=path, content="x")
        for attempt in (deleter.dry_run, deleter.live):
            with pytest.raises(ToolFailed):
                await attempt(path=path)
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_text() == "secret"


async def test_refusals_name_what_is_wrong(runner: Make, root: Path) -> None:
    with pytest.raises(ToolFailed, match=r"settings\.files\.root is not set"):
        await runner(file_write).live(path="x", content="")
    with pytest.raises(ToolFailed, match="not a folder"):
        await runner(file_write, {"root": str(root / "none")}).dry_run(path="x", content="")
    tool = runner(file_write, {"root": str(root)})
    with pytest.raises(ToolFailed, match="not base64"):
        await tool.live(path="x", content_base64="%")
    with pytest.raises(ToolFailed, match="name too long"):
        await tool.live(path="x" * 300, content="")
    for wrong in (
        {},
        {"content": "x", "content_base64": "eA=="},
        {"content": "x", "mode": "999"},
        {"content": "x", "no": 1},
    ):
        with pytest.raises(ValidationError):
            await tool.live(path="x", **wrong)
    assert tree(root) == {}


async def test_a_folder_that_may_not_be_entered_leaves_no_doubt(
    runner: Make, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rights do not bind the superuser, so the error is raised as the operating system would."""
    tool = runner(file_write, {"root": str(root)})
    real = Path.exists

    def closed(path: Path) -> bool:
        if path.name == "closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path)

    monkeypatch.setattr(Path, "exists", closed)
    for attempt in (tool.dry_run, tool.live):
        with pytest.raises(ToolFailed, match=r"'closed/x' cannot be followed: Permission denied$") as refusal:
            await attempt(path="closed/x", content="")
        assert not refusal.value.retry
    monkeypatch.setattr(Path, "is_dir", lambda path: closed(path / "closed"))
    with pytest.raises(ToolFailed, match=r"settings\.files\.root cannot be followed: Permission denied$"):
        await tool.live(path="x", content="")


async def test_a_file_in_more_folders_than_its_undo_can_name_is_refused(runner: Make, root: Path) -> None:
    """Or the call would take effect, and be in doubt because its undo token cannot be kept."""
    tool = runner(file_write, {"root": str(root)})
    for attempt in (tool.dry_run, tool.live):
        with pytest.raises(ToolFailed, match="in too many folders"):
            await attempt(path="d/" * 500 + "x", content="")
    call = tool.call()
    await tool.live(call, path="d/" * 150 + "x", content="")
    assert len(json.dumps(call.undo)) < MAX_OUTPUT_BYTES
    await tool.undo(call.undo, path="d/" * 150 + "x", content="")
    assert tree(root) == {}


async def test_a_dry_run_that_may_only_read_says_that_writing_was_not_tried(
    runner: Make, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "kept").mkdir()
    (root / "kept" / "old").write_text("old")
    writer, deleter = (runner(tool, {"root": str(root)}) for tool in (file_write, file_delete))
    looks = [partial(writer.dry_run, path="kept/new", content=""), partial(deleter.dry_run, path="kept/old")]
    for look in looks:
        assert "not tried" not in (await look()).effect
    for closed in (root, root / "kept"):
        monkeypatch.setattr(os, "access", lambda path, _mode, closed=closed: path != closed)
        for look in looks:
            assert (await look()).effect.endswith("was not tried: this worker may only read there.")


@pytest.mark.parametrize("full", ["backup", "draft"])
async def test_a_full_disk_had_no_effect_and_is_not_kept_full(
    runner: Make, root: Path, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    (root / "x").write_text("old")
    tool = runner(file_write, {"root": str(root)})

    def no_space(file: Path) -> None:
        if (file.name == "new") is (full == "draft"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(backups, "_flush", no_space)
    with pytest.raises(ToolFailed, match="'x' cannot be changed: No space left on device") as refusal:
        await tool.live(path="x", content="y" * 100_000)
    assert refusal.value.retry
    assert (root / "x").read_text() == "old"
    assert max((file.stat().st_size for file in (root / ".airlock").rglob("*") if file.is_file()), default=0) < 1_000
    assert not [*(root / ".airlock").glob("*.draft")]
