"""`file_write` and `file_delete` on a real folder: one effect, exact undo, nothing outside, nothing of others."""

import asyncio
import base64
import errno
import json
import os
import stat
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from airlock.base.errors import InDoubt, Stale, ToolFailed
from airlock.base.text import MAX_OUTPUT_BYTES
from airlock.plans.refs import UNKNOWN
from airlock.tools import file_delete, file_write
from airlock.tools.files import backups

Make = Callable[..., Any]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def tree(root: Path) -> dict[str, Any]:
    """Return everything in the folder but the backups: bytes and modes of files, folders."""
    found: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if name.split("/")[0] != ".airlock":
            mode = stat.S_IMODE(path.lstat().st_mode)
            found[name] = "folder" if path.is_dir() else (path.read_bytes(), mode)
    return found


async def test_write_creates_folders_and_undo_leaves_nothing_behind(runner: Make, root: Path) -> None:
    tool = runner(file_write, {"root": str(root)})
    args = {"path": "a/b/note.txt", "content": "héllo"}
    preview = await tool.dry_run(**args)
    assert tree(root) == {}
    assert preview.effect == "Would create a/b/note.txt (6 bytes, mode 0644)."
    call = tool.call(observed=preview.observed)
    output = await tool.live(call, **args)
    assert output == preview.output == await tool.mock(**args)
    assert tree(root) == {"a": "folder", "a/b": "folder", "a/b/note.txt": ("héllo".encode(), 0o644)}
    await tool.undo(call.undo, **args)
    await tool.undo(call.undo, **args)
    assert list(root.iterdir()) == []


async def test_write_replaces_and_undo_restores_bytes_and_mode(runner: Make, root: Path) -> None:
    file = root / "old.bin"
    file.write_bytes(b"\x00old\xff")
    file.chmod(0o4751)
    before = tree(root)
    tool = runner(file_write, {"root": str(root)})
    args = {"path": "old.bin", "content_base64": base64.b64encode(b"\x01new").decode(), "mode": "600"}
    preview = await tool.dry_run(**args)
    assert "replace 5 bytes (mode 4751)" in preview.effect
    call = tool.call(observed=preview.observed)
    await tool.live(call, **args)
    assert tree(root) == {"old.bin": (b"\x01new", 0o600)}
    await tool.undo(call.undo, **args)
    assert tree(root) == before
    await tool.undo(call.undo, **args)
    assert tree(root) == before


async def test_a_file_keeps_its_mode_when_none_is_given(runner: Make, root: Path) -> None:
    (root / "x").write_text("1")
    (root / "x").chmod(0o640)
    await runner(file_write, {"root": str(root)}).live(path="x", content="2")
    assert tree(root) == {"x": (b"2", 0o640)}


async def test_the_second_attempt_returns_the_same_and_changes_nothing(runner: Make, root: Path) -> None:
    tool = runner(file_write, {"root": str(root)})
    args = {"path": "x", "content": "mine"}
    observed = (await tool.dry_run(**args)).observed
    first, second = tool.call(observed=observed), tool.call(observed=observed, attempt=2)
    output = await tool.live(first, **args)
    (root / "x").write_text("somebody's, later")
    assert await tool.live(second, **args) == output
    assert second.undo == first.undo
    assert (root / "x").read_text() == "somebody's, later"


@pytest.mark.parametrize("broke_off", ["before", "after", "meanwhile"])
async def test_an_attempt_that_broke_off(runner: Make, root: Path, monkeypatch: pytest.MonkeyPatch, broke_off: str) -> None:
    tool = runner(file_write, {"root": str(root)})
    args = {"path": "x", "content": "new"}
    (root / "x").write_text("old")

    class Killed(BaseException):
        pass

    def die(*_args: Any) -> None:
        raise Killed

    first = tool.call()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace" if broke_off != "after" else "touch", die)
        with pytest.raises(Killed):
            await tool.live(first, **args)
    assert (root / "x").read_text() == ("new" if broke_off == "after" else "old")
    second = tool.call(attempt=2)
    if broke_off == "meanwhile":
        (root / "x").write_text("somebody's")
        with pytest.raises(InDoubt):
            await tool.live(second, **args)
        assert (root / "x").read_text() == "somebody's"
        return
    await tool.live(second, **args)
    assert (root / "x").read_text() == "new"
    assert second.undo == first.undo
    await tool.undo(second.undo, **args)
    assert tree(root)["x"][0] == b"old"


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


async def test_delete_and_exact_undo(runner: Make, root: Path) -> None:
    (root / "d").mkdir()
    (root / "d" / "x").write_bytes(b"\x00\xff")
    (root / "d" / "x").chmod(0o440)
    before = tree(root)
    tool = runner(file_delete, {"root": str(root)})
    preview = await tool.dry_run(path="d/x")
    call = tool.call(observed=preview.observed)
    assert await tool.live(call, path="d/x") == preview.output
    assert tree(root) == {"d": "folder"}
    again = tool.call(observed=preview.observed, attempt=2)
    assert await tool.live(again, path="d/x") == preview.output
    assert again.undo == call.undo
    for _ in range(2):
        await tool.undo(call.undo, path="d/x")
        assert tree(root) == before


async def test_delete_refuses_what_is_not_there(runner: Make, root: Path) -> None:
    tool = runner(file_delete, {"root": str(root)})
    with pytest.raises(ToolFailed, match="no file 'x' to delete"):
        await tool.dry_run(path="x")
    with pytest.raises(ToolFailed, match="no file 'x' to delete"):
        await tool.live(path="x")
    assert (await tool.mock(path="x"))["path"] == "x"


@pytest.mark.parametrize("kind", ["changed", "mode", "other file", "deleted", "recreated"])
async def test_undo_never_overwrites_what_somebody_else_did(runner: Make, root: Path, kind: str) -> None:
    (root / "x").write_text("old")
    tool = runner(file_delete if kind == "recreated" else file_write, {"root": str(root)})
    args = {"path": "x"} if kind == "recreated" else {"path": "x", "content": "new"}
    call = tool.call()
    await tool.live(call, **args)
    if kind == "mode":
        (root / "x").chmod(0o600)
    elif kind == "deleted":
        (root / "x").unlink()
    else:
        (root / "x").write_text("somebody's")
    before = tree(root)
    with pytest.raises(ToolFailed, match="changed by another program"):
        await tool.undo(call.undo, **args)
    assert tree(root) == before


async def test_undo_says_when_its_backup_is_gone_and_refuses_foreign_tokens(runner: Make, root: Path) -> None:
    (root / "x").write_text("old")
    tool = runner(file_write, {"root": str(root)})
    call = tool.call()
    await tool.live(call, path="x", content="new")
    for file in (root / ".airlock" / call.undo["backup"]).iterdir():
        file.unlink()
    (root / ".airlock" / call.undo["backup"]).rmdir()
    with pytest.raises(ToolFailed, match="backup of 'x' is gone"):
        await tool.undo(call.undo, path="x", content="new")
    with pytest.raises(ToolFailed, match="undo token"):
        await tool.undo({"nonsense": 1}, path="x", content="new")


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


async def test_the_dry_run_says_that_the_call_was_made_before(runner: Make, root: Path) -> None:
    """By a run in another namespace, or by one that the retention has removed: the live call would change nothing."""
    writer = runner(file_write, {"root": str(root)})
    args = {"path": "a/report", "content": "of May"}
    call = writer.call()
    output = await writer.live(call, **args)
    (root / "a" / "report").unlink()
    preview = await writer.dry_run(**args)
    assert preview.effect.startswith("Would change nothing. The folder has a call under this plan id and step already.")
    assert preview.output == output == await writer.live(writer.call(observed=preview.observed), **args)
    assert not (root / "a" / "report").exists()
    for other in ({**args, "content": "of June"}, {**args, "path": "b"}, {**args, "mode": "600"}):
        with pytest.raises(ToolFailed, match="It was another call: use a new plan_id"):
            await writer.dry_run(**other)
    unknown = await writer.dry_run(path="a/report", content=UNKNOWN, unknown=("content",))
    assert unknown.effect.endswith("under this plan id and step already.")
    assert (await runner(file_write, {"root": str(root)}, key="plan-2/step-1").dry_run(**args)).effect.startswith(
        "Would create"
    )
    (root / "a" / "report").write_text("of May")
    await writer.undo(call.undo, **args)
    assert (await writer.dry_run(**args)).effect.startswith("Would create"), "the undo has taken it back"
    deleter = runner(file_delete, {"root": str(root)})
    (root / "old").write_text("old")
    deleted = await deleter.live(path="old")
    (root / "old").write_text("new")
    preview = await deleter.dry_run(path="old")
    assert (preview.effect.startswith("Would change nothing."), preview.output) == (True, deleted)


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


async def test_dry_run_of_what_only_live_can_know(runner: Make, root: Path) -> None:
    tool = runner(file_write, {"root": str(root)})
    preview = await tool.dry_run(path="x", content=UNKNOWN, unknown=("content",))
    assert preview.output == {"path": "x", "bytes": UNKNOWN, "sha256": UNKNOWN}
    await tool.live(tool.call(observed=preview.observed), path="x", content="known now")
    assert (await tool.dry_run(path=UNKNOWN, content="x", unknown=("path",))).observed is None
    assert (await runner(file_delete, {"root": str(root)}).dry_run(path=UNKNOWN, unknown=("path",))).observed is None


async def test_calls_side_by_side_are_undone_in_any_order(runner: Make, root: Path) -> None:
    (root / "kept").mkdir()
    before = tree(root)
    calls = []
    for name in ("a/b/1", "a/b/2", "a/3", "kept/c/4"):
        tool = runner(file_write, {"root": str(root)}, key=name)
        call = tool.call()
        calls.append((tool, call, {"path": name, "content": name}))
    await asyncio.gather(*(tool.live(call, **args) for tool, call, args in calls))
    for tool, call, args in calls:
        await tool.undo(call.undo, **args)
    assert tree(root) == before
    assert not (root / ".airlock").exists()


async def test_undo_keeps_a_folder_in_which_somebody_put_something(runner: Make, root: Path) -> None:
    tool = runner(file_write, {"root": str(root)})
    call = tool.call()
    await tool.live(call, path="a/b/x", content="x")
    (root / "a" / "theirs").write_text("theirs")
    await tool.undo(call.undo, path="a/b/x", content="x")
    assert set(tree(root)) == {"a", "a/theirs"}


PATHS = st.sampled_from(["x", "a/x", "a/b/x", "a/b/y", "c/z"])
WRITES = st.tuples(st.just("write"), PATHS, st.binary(max_size=20), st.sampled_from([None, "600", "0755", "000"]))
STEPS = st.lists(WRITES | st.tuples(st.just("delete"), PATHS, st.just(b""), st.none()), max_size=8)


@settings(deadline=None, max_examples=50)
@given(start=st.dictionaries(PATHS, st.tuples(st.binary(max_size=20), st.sampled_from([0o644, 0o400, 0o777]))), steps=STEPS)
async def test_undoing_any_sequence_in_reverse_restores_every_byte_and_mode(runner: Make, start: Any, steps: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for path, (content, mode) in start.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
            (root / path).chmod(mode)
        before = tree(root)
        await _there_and_back(root, steps, runner)
        assert tree(root) == before
        assert not (root / ".airlock").exists()


async def _there_and_back(root: Path, steps: Any, make: Make) -> None:
    done = []
    for number, (operation, path, content, mode) in enumerate(steps):
        if operation == "delete" and not (root / path).exists():
            continue
        tool = make(file_write if operation == "write" else file_delete, {"root": str(root)}, key=str(number))
        args = {"path": path}
        if operation == "write":
            args |= {"content_base64": base64.b64encode(content).decode()} | ({"mode": mode} if mode else {})
        call = tool.call(observed=(await tool.dry_run(**args)).observed)
        assert await tool.live(call, **args) == await tool.live(tool.call(attempt=2), **args)
        done.append((tool, args, call.undo))
    for tool, args, token in reversed(done):
        await tool.undo(token, **args)
        await tool.undo(token, **args)
