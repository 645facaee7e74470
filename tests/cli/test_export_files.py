"""An export is written as a whole or not at all, over nothing but an earlier export, in bounded memory."""

import gc
import os
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import pytest

from airlock.base.errors import AirlockError
from airlock.cli.records.verify_files import verify
from airlock.export.plan_lines import PlanRecord
from tests.cli.export_folders import PLANS, content, export
from tests.core.export_build import records


def test_an_export_of_nothing_verifies(tmp_path: Path) -> None:
    summary = export(tmp_path / "files", [], signals=0)
    assert (summary.plans_processed, summary.start_time, summary.end_time) == (0, None, None)
    assert verify(tmp_path / "files") == []


def test_the_same_plans_give_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    export(tmp_path / "again", records(PLANS))
    assert content(tmp_path / "again") == content(exported)


def test_an_earlier_export_is_replaced_as_a_whole(tmp_path: Path) -> None:
    export(tmp_path / "files", records(3))
    summary = export(tmp_path / "files", records(5))
    assert summary.plans_processed == 5
    assert verify(tmp_path / "files", summary.hash) == []
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


async def breaking(plans: Iterable[PlanRecord]) -> AsyncIterator[PlanRecord]:
    for plan in plans:
        yield plan
    raise AirlockError("Temporal is gone")


def test_an_export_that_breaks_off_leaves_the_earlier_one(tmp_path: Path) -> None:
    export(tmp_path / "files", records(3))
    before = content(tmp_path / "files")
    with pytest.raises(AirlockError, match="Temporal is gone"):
        export(tmp_path / "files", breaking(records(5)))
    assert content(tmp_path / "files") == before
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


def test_what_a_crash_between_the_two_renames_left_is_put_back(tmp_path: Path) -> None:
    export(tmp_path / "files", records(3))
    before = content(tmp_path / "files")
    (tmp_path / "files").rename(tmp_path / ".files.previous")
    with pytest.raises(AirlockError, match="Temporal is gone"):
        export(tmp_path / "files", breaking([]))
    assert content(tmp_path / "files") == before


def test_a_disk_that_refuses_the_new_folder_leaves_the_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(tmp_path / "files", records(3))
    before = content(tmp_path / "files")
    rename = Path.rename

    def refusing(self: Path, target: Path) -> Path:
        if self.name.startswith(".files.") and self.name != ".files.previous":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refusing)
    with pytest.raises(AirlockError, match="No space left"):
        export(tmp_path / "files", records(5))
    assert content(tmp_path / "files") == before
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


@pytest.mark.parametrize("make", [
    lambda folder: folder.write_text("a file"),
    lambda folder: (folder.mkdir(), (folder / "thesis.tex").write_text("mine")),
    lambda folder: folder.symlink_to(folder.parent),
])  # fmt: skip
def test_nothing_of_somebody_else_is_replaced(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "files")
    with pytest.raises(AirlockError, match="choose another"):
        export(tmp_path / "files", records(1))
    if (tmp_path / "files").is_dir() and not (tmp_path / "files").is_symlink():
        assert (tmp_path / "files" / "thesis.tex").read_text() == "mine"


def test_the_files_can_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        export(tmp_path / "files", records(1))
    finally:
        os.umask(before)
    assert (tmp_path / "files").stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "files").iterdir()} == {0o644}


@pytest.mark.parametrize("order", [[0, 2, 1], [0, 0]])
def test_plans_out_of_order_or_there_twice_are_refused(tmp_path: Path, order: list[int]) -> None:
    three = list(records(3))
    with pytest.raises(AirlockError, match="out of order, or there twice"):
        export(tmp_path / "files", [three[index] for index in order])
    assert list(tmp_path.iterdir()) == []


def peak(work: Callable[..., object], *arguments: object) -> int:
    calm = gc.get_threshold()
    gc.set_threshold(700)  # garbage in cycles is not what is measured
    tracemalloc.start()
    try:
        work(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.set_threshold(*calm)


def test_memory_does_not_grow_with_the_number_of_plans(tmp_path: Path) -> None:
    few, many = tmp_path / "few", tmp_path / "many"
    written = peak(export, few, records(40)), peak(export, many, records(400))
    read = peak(verify, few), peak(verify, many)
    more = sum(map(len, content(many).values())) - sum(map(len, content(few).values()))
    assert written[1] - written[0] < more / 10  # the garbage collector takes its time
    assert read[1] - read[0] < more / 10
