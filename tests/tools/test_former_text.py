"""The former text of a file in the preview of its change: only where the operator lets it, and only what can be read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airlock.plans.refs import UNKNOWN
from airlock.tools import file_delete, file_write
from airlock.tools.files.former_text import MAX_FORMER

Make = Callable[..., Any]
NEW = {"path": "notes/jo.md", "content": "new\n"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "notes").mkdir(parents=True)
    (folder / "notes" / "jo.md").write_text("old\n", encoding="utf-8")
    return folder


def settings(root: Path, *patterns: str) -> dict[str, Any]:
    return {"root": str(root), "show_former": list(patterns)}


async def test_without_a_pattern_nothing_of_a_file_is_shown(runner: Make, root: Path) -> None:
    for patterns in ((), ("*.txt",), ("jo.md",), ("NOTES/*",)):
        said = await runner(file_write, settings(root, *patterns)).dry_run(**NEW)
        assert said.former == {}
        assert said.effect == "Would replace 4 bytes (mode 0644) of notes/jo.md (4 bytes, mode 0644)."
        assert "old" not in said.model_dump_json()


@pytest.mark.parametrize("pattern", ["notes/*.md", "*.md", "notes/*", "*"])
async def test_a_text_that_may_be_shown_is_and_the_call_is_as_before(runner: Make, root: Path, pattern: str) -> None:
    tool = runner(file_write, settings(root, pattern))
    said = await tool.dry_run(**NEW)
    assert said.former == {"content": "old\n"}
    assert set(said.observed) == {"sha256", "mode", "size"}, "the live call compares with what it did before"
    await tool.live(tool.call(observed=said.observed), **NEW)
    assert (root / "notes" / "jo.md").read_text() == "new\n"


async def test_a_deletion_shows_what_goes(runner: Make, root: Path) -> None:
    said = await runner(file_delete, settings(root, "*")).dry_run(path="notes/jo.md")
    assert said.former == {"content": "old\n"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\xff\xfe\x00a", "is not text"),
        (b"a\x00b", "is not text"),
        (b"x" * (MAX_FORMER + 1), "is too large to be shown"),
    ],
    ids=["bytes", "null", "large"],
)
async def test_what_cannot_be_compared_is_said_so(runner: Make, root: Path, content: bytes, why: str) -> None:
    (root / "notes" / "jo.md").write_bytes(content)
    for tool, args in ((file_write, NEW), (file_delete, {"path": "notes/jo.md"})):
        said = await runner(tool, settings(root, "*")).dry_run(**args)
        assert said.former == {}
        assert why in said.effect


async def test_a_large_new_text_leaves_no_room_for_the_former_one(runner: Make, root: Path) -> None:
    said = await runner(file_write, settings(root, "*")).dry_run(path="notes/jo.md", content="x" * 50_000)
    assert (said.former, "too large" in said.effect) == ({}, True)
    unknown = await runner(file_write, settings(root, "*")).dry_run(
        unknown=("content",), path="notes/jo.md", content=UNKNOWN
    )
    assert unknown.former == {"content": "old\n"}


async def test_a_file_that_an_earlier_step_writes_is_compared_there(runner: Make, root: Path) -> None:
    tool = runner(file_write, settings(root, "*"))
    first = await tool.dry_run(**NEW)
    then = await tool.dry_run(after=first, path="notes/jo.md", content="newer")
    assert then.former == {}
    assert then.effect.endswith("Its former text is the one of step step-0.")
