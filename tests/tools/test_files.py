"""`file_write` and `file_delete` on a real folder: one effect, exact undo, nothing of others."""

import asyncio
import base64
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airlock.base.errors import InDoubt, ToolFailed
from airlock.plans.refs import UNKNOWN
from airlock.tools import file_delete, file_write
from tests.tools.conftest import tree

Make = Callable[..., Any]


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
