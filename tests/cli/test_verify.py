"""The files as they are written, and every change of them as `verify` finds it: file, line and what is wrong."""

import asyncio
import gc
import hashlib
import json
import os
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from airlock.base.canonical import digest
from airlock.base.errors import AirlockError
from airlock.cli.records.export_files import carried_over, export_files
from airlock.cli.records.openings import OpeningsFile, read_openings
from airlock.cli.records.verify_files import MAX_DOCUMENT_BYTES, MAX_FINDINGS, check_export, verify
from airlock.cli.verify import verify as verify_command
from airlock.export.documents import OrchestrationSummary, UnreadablePlan
from airlock.export.files import (
    APPROVALS,
    CONFLICTS,
    EXECUTIONS,
    EXPORT_FILES,
    HEALTH,
    LINES,
    ROLLBACKS,
    SEVEN_FILES,
    SIGNALS,
    SUMMARY,
    TRANSITIONS,
)
from airlock.export.first_version import as_first_version
from airlock.export.ledger import document_text, line_hash, line_text, parts_of
from airlock.export.plan_lines import PlanRecord
from airlock.export.verification import Finding
from tests.conftest import HUNT
from tests.core.export_build import health, records, signal

PLANS = 16
EARLIER = (EXECUTIONS, TRANSITIONS, ROLLBACKS, APPROVALS)


async def stream(plans: Iterable[PlanRecord]) -> AsyncIterator[PlanRecord]:
    for plan in plans:
        yield plan


def export(folder: Path, plans: Iterable[PlanRecord] | AsyncIterator[PlanRecord], signals: int = 3) -> OrchestrationSummary:
    source = plans if isinstance(plans, AsyncIterator) else stream(plans)
    made = [signal(number) for number in range(signals)]
    return asyncio.run(export_files(folder, source, pipeline_id="default", signals=made, health=health()))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def changed(folder: Path, name: str, data: bytes) -> list[Finding]:
    """Return the findings when one file is replaced by another."""
    before = (folder / name).read_bytes()
    (folder / name).write_bytes(data)
    try:
        return verify(folder)
    finally:
        (folder / name).write_bytes(before)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "files"
    export(folder, records(PLANS))
    return folder


def lines_of(folder: Path, name: str) -> list[bytes]:
    return (folder / name).read_bytes().splitlines(keepends=True)


def test_an_export_is_eight_files_in_which_nothing_is_wrong(exported: Path) -> None:
    assert sorted(content(exported)) == sorted(EXPORT_FILES)
    assert all(lines_of(exported, name) for name in EXPORT_FILES)
    assert verify(exported) == []


def test_an_export_of_nothing_verifies(tmp_path: Path) -> None:
    summary = export(tmp_path / "files", [], signals=0)
    assert (summary.plans_processed, summary.start_time, summary.end_time) == (0, None, None)
    assert verify(tmp_path / "files") == []


@settings(
    max_examples=HUNT or 150,
    derandomize=not HUNT,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_one_changed_byte_is_refused_and_its_place_named(exported: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(EXPORT_FILES))
    before = (exported / name).read_bytes()
    position = data.draw(st.integers(0, len(before) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda other: other != before[position]))
    found = changed(exported, name, before[:position] + bytes([byte]) + before[position + 1 :])
    assert found
    assert found[0].file == name
    if name in LINES:
        assert found[0].line == before.count(b"\n", 0, position) + 1
    else:
        assert found[0].line is not None


@pytest.mark.parametrize("name", LINES)
def test_any_line_that_is_dropped_doubled_or_swapped_is_named(exported: Path, name: str) -> None:
    lines = lines_of(exported, name)
    for index in range(len(lines)):
        without = changed(exported, name, b"".join(lines[:index] + lines[index + 1 :]))
        assert (without[0].file, without[0].line) == (name, index + 1), without
        twice = changed(exported, name, b"".join(lines[: index + 1] + lines[index:]))
        assert (twice[0].file, twice[0].line) == (name, index + 2), twice
        if index:
            other = [*lines[: index - 1], lines[index], lines[index - 1], *lines[index + 1 :]]
            swapped = changed(exported, name, b"".join(other))
            assert (swapped[0].file, swapped[0].line) == (name, index), swapped


@pytest.mark.parametrize("name", EXPORT_FILES)
def test_a_file_that_was_cut_off_is_refused(exported: Path, name: str) -> None:
    before = (exported / name).read_bytes()
    for size in {0, 1, len(before) // 2, len(before) - 1, before.rfind(b"\n", 0, -1) + 1}:
        found = changed(exported, name, before[:size])
        assert found, size
        assert found[0].file == name


@pytest.mark.parametrize("name", EXPORT_FILES)
def test_a_file_that_goes_on_is_refused(exported: Path, name: str) -> None:
    before = (exported / name).read_bytes()
    for more in (b"\n", b" ", b"{}\n", before):
        assert changed(exported, name, before + more)[0].file == name


@pytest.mark.parametrize("name", EXPORT_FILES)
def test_a_missing_file_is_named(exported: Path, tmp_path: Path, name: str) -> None:
    folder = write(tmp_path, {other: data for other, data in content(exported).items() if other != name})
    assert [str(finding) for finding in verify(folder)] == [f"{name}: the file is missing"]


def test_another_file_in_the_folder_is_named(exported: Path, tmp_path: Path) -> None:
    folder = write(tmp_path, {**content(exported), "notes.txt": b"mine"})
    assert [finding.file for finding in verify(folder)] == ["notes.txt"]


def test_a_link_in_place_of_a_file_is_refused(exported: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "files", content(exported))
    (folder / HEALTH).rename(tmp_path / HEALTH)
    (folder / HEALTH).symlink_to(tmp_path / HEALTH)
    assert [str(finding) for finding in verify(folder)] == [f"{HEALTH}: is no regular file"]


def test_two_files_in_each_others_place_are_refused(exported: Path, tmp_path: Path) -> None:
    files = content(exported)
    folder = write(tmp_path, {**files, TRANSITIONS: files[ROLLBACKS], ROLLBACKS: files[TRANSITIONS]})
    assert {TRANSITIONS, ROLLBACKS} >= {verify(folder)[0].file}


@pytest.mark.parametrize("name", [name for name in EXPORT_FILES if name != SUMMARY])
def test_a_file_of_another_export_is_refused(exported: Path, tmp_path: Path, name: str) -> None:
    export(tmp_path / "other", list(records(PLANS + 3))[3:], signals=2)
    other = (tmp_path / "other" / name).read_bytes()
    if other == (exported / name).read_bytes():  # the health is the same in both
        assert name == HEALTH
        return
    found = changed(exported, name, other)
    assert found[0].file in (name, EXECUTIONS, TRANSITIONS, ROLLBACKS)


def without_plan(files: dict[str, bytes], index: int, *, renumber: bool) -> dict[str, bytes]:
    """Return the files without all lines of one plan, and with `renumber` as if it had never been there."""
    made = dict(files)
    for name in EARLIER:
        kept = [json.loads(line) for line in files[name].splitlines()]
        kept = [line for line in kept if line["plan_index"] != index]
        for line in kept:
            line["plan_index"] -= renumber and line["plan_index"] > index
        made[name] = "".join(line_text(line) for line in kept).encode()
    return made


@pytest.mark.parametrize("index", [0, 5, PLANS - 1])
@pytest.mark.parametrize("renumber", [True, False])
def test_a_whole_plan_that_was_taken_out_is_refused(exported: Path, tmp_path: Path, index: int, renumber: bool) -> None:
    found = verify(write(tmp_path, without_plan(content(exported), index, renumber=renumber)))
    assert (found[0].file, found[0].line) == (EXECUTIONS, PLANS if renumber else index + 1)


def resealed(made: dict[str, bytes], **fields: object) -> dict[str, bytes]:
    """Return the files with a summary that was made to fit them, as a forger would who rewrites everything."""
    summary = {**json.loads(made[SUMMARY]), **fields}
    for name, data in made.items():
        if name in summary["files"]:
            summary["files"][name] = {
                "bytes": len(data), "lines": data.count(b"\n"), "sha256": hashlib.sha256(data).hexdigest()
            }  # fmt: skip
    return {**made, SUMMARY: reclosed(summary)}


def reclosed(document: dict[str, object]) -> bytes:
    parts = parts_of(document)
    return document_text({**document, "parts": parts, "hash": digest(parts)}).encode()


def forged(files: dict[str, bytes], name: str, index: int, **fields: object) -> dict[str, bytes]:
    """Return one line with other content, hashed again."""
    lines = files[name].splitlines(keepends=True)
    line = {**json.loads(lines[index]), **fields}
    lines[index] = line_text({**line, "hash": line_hash(line)}).encode()
    return {**files, name: b"".join(lines)}


def test_a_line_that_was_hashed_anew_is_refused_by_the_summary(exported: Path, tmp_path: Path) -> None:
    found = verify(write(tmp_path, forged(content(exported), EXECUTIONS, -1, goal="harmless")))
    assert [str(finding) for finding in found] == [f"{EXECUTIONS}: is another file than the one {SUMMARY} was written with"]


def test_only_a_root_kept_elsewhere_refuses_files_that_were_all_rewritten(exported: Path, tmp_path: Path) -> None:
    root = json.loads((exported / SUMMARY).read_bytes())["hash"]
    folder = write(tmp_path, resealed(forged(content(exported), EXECUTIONS, -1, goal="harmless")))
    assert verify(folder) == []  # as the documentation says
    assert verify(folder, root)[0].file == SUMMARY
    assert verify(exported, root) == verify(exported, root[:12].upper()) == []
    assert verify(exported, root[:11]) != []
    assert verify(exported, "") != []


def rewritten(before: dict[str, bytes], name: str, **fields: object) -> dict[str, bytes]:
    """Return a document with other fields, its own digests and the summary's made to fit."""
    if name == SUMMARY:
        return resealed(before, **fields)
    return resealed({**before, name: reclosed({**json.loads(before[name]), **fields})})


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        (CONFLICTS, {"total_conflicts": 99}, "total_conflicts is 99, the lines come to 5"),
        (SUMMARY, {"plans_successful": 99}, "plans_successful is 99, the lines come to 7"),
        (SUMMARY, {"total_rollbacks": 0}, "total_rollbacks is 0, the lines come to 6"),
        (SUMMARY, {"total_learning_signals": 0}, "total_learning_signals is 0, the lines come to 3"),
        (SUMMARY, {"end_time": None}, "end_time is None"),
        (HEALTH, {"health_score": 90.0}, "health_score differs"),
    ],
)
def test_a_total_that_the_lines_do_not_come_to_is_named(
    exported: Path, tmp_path: Path, name: str, fields: dict[str, object], said: str
) -> None:
    found = verify(write(tmp_path, rewritten(content(exported), name, **fields)))
    assert len(found) == 1
    assert found[0].file == name
    assert said in found[0].message


def test_the_summary_must_name_the_other_files(exported: Path, tmp_path: Path) -> None:
    files = json.loads((exported / SUMMARY).read_bytes())["files"]
    del files[HEALTH]
    found = verify(write(tmp_path, rewritten(content(exported), SUMMARY, files=files)))
    assert [finding.message for finding in found] == ["files: names other files than an export has"]


def test_a_signal_that_was_hashed_anew_breaks_the_chain_behind_it(exported: Path, tmp_path: Path) -> None:
    files = resealed(forged(content(exported), SIGNALS, 0, insight="all is well"))
    found = verify(write(tmp_path, files))
    assert [(finding.file, finding.line) for finding in found] == [(SIGNALS, 2)]


@pytest.mark.parametrize(("name", "seq"), [(TRANSITIONS, 2), (ROLLBACKS, 10)])
def test_an_event_that_was_hashed_anew_breaks_the_chain_behind_it(
    exported: Path, tmp_path: Path, name: str, seq: int
) -> None:
    index = next(index for index, line in enumerate(lines_of(exported, name)) if json.loads(line)["seq"] == seq)
    found = verify(write(tmp_path, resealed(forged(content(exported), name, index, by="eve"))))
    assert len(found) == 1
    assert "does not continue the chain" in found[0].message


@pytest.mark.parametrize("name", [TRANSITIONS, ROLLBACKS])
def test_a_line_of_no_plan_is_named_even_where_the_summary_was_made_to_fit(
    exported: Path, tmp_path: Path, name: str
) -> None:
    files = content(exported)
    more = forged(files, name, -1, plan_index=99)[name].splitlines(keepends=True)[-1]
    found = verify(write(tmp_path, resealed({**files, name: files[name] + more})))
    assert [(finding.file, finding.line) for finding in found] == [(name, files[name].count(b"\n") + 1)]
    assert "belongs to no plan" in found[0].message


def test_a_line_that_was_added_is_named(exported: Path) -> None:
    lines = [json.loads(line) for line in lines_of(exported, SIGNALS)]
    more = {**lines[-1], "seq": len(lines) + 1, "prev": lines[-1]["hash"]}
    found = changed(
        exported, SIGNALS, (exported / SIGNALS).read_bytes() + line_text({**more, "hash": line_hash(more)}).encode()
    )
    assert [(finding.file, finding.line) for finding in found] == [(SIGNALS, len(lines) + 1)]


def test_what_is_wrong_is_listed_up_to_a_bound(exported: Path) -> None:
    found = changed(exported, TRANSITIONS, b"x\n" * 10_000)
    assert len(found) == MAX_FINDINGS
    assert [finding.line for finding in found] == list(range(1, MAX_FINDINGS + 1))


def test_a_document_without_end_is_not_read(exported: Path, tmp_path: Path) -> None:
    folder = write(tmp_path, content(exported))
    with (folder / HEALTH).open("r+b") as file:
        file.truncate(MAX_DOCUMENT_BYTES + 1)
    found = verify(folder)
    assert [finding.file for finding in found] == [HEALTH]
    assert "is larger than" in found[0].message


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AirlockError, match="cannot read"):
        verify(tmp_path / "nowhere")


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


def closed_then(plans: Iterable[PlanRecord]) -> list[PlanRecord]:
    return [plan for plan in plans if plan.execution.closed_at is not None]


def since_of(plans: list[PlanRecord], index: int) -> datetime:
    found = plans[index].execution.closed_at
    assert found is not None
    return found


def test_what_was_closed_before_is_carried_over_and_the_rest_is_the_whole_export(tmp_path: Path) -> None:
    plans = closed_then(records(20))
    since = since_of(plans, 6)
    export(tmp_path / "files", plans[:9])
    export(tmp_path / "files", carried_over(tmp_path / "files", since, stream(plans[6:])))
    export(tmp_path / "all", plans)
    assert content(tmp_path / "files") == content(tmp_path / "all")
    assert verify(tmp_path / "files") == []


def test_a_plan_that_was_open_is_replaced_by_what_became_of_it(tmp_path: Path) -> None:
    plans = list(records(7))
    still_open = [plan for plan in plans if plan.execution.closed_at is None]
    since = max(plan.execution.submitted_at for plan in plans) + timedelta(hours=1)
    export(tmp_path / "files", plans)
    export(tmp_path / "files", carried_over(tmp_path / "files", since, stream(still_open)))
    export(tmp_path / "all", plans)
    assert content(tmp_path / "files") == content(tmp_path / "all")


@pytest.mark.parametrize(("asked", "said"), [("too late", "was closed at"), ("not for the open", "was open in the earlier")])
def test_a_plan_that_temporal_was_not_asked_about_is_not_carried_over(tmp_path: Path, asked: str, said: str) -> None:
    plans = closed_then(records(9)) if asked == "too late" else list(records(9))
    since = since_of(plans, 1) + timedelta(hours=asked != "too late")
    export(tmp_path / "files", plans)
    before = content(tmp_path / "files")
    with pytest.raises(AirlockError, match=said):
        export(tmp_path / "files", carried_over(tmp_path / "files", since, stream(plans[6:])))
    assert content(tmp_path / "files") == before


def test_an_export_that_was_changed_is_not_carried_over(tmp_path: Path) -> None:
    plans = closed_then(records(9))
    export(tmp_path / "files", plans)
    data = (tmp_path / "files" / TRANSITIONS).read_bytes()
    (tmp_path / "files" / TRANSITIONS).write_bytes(data.replace(b'"by":"boss"', b'"by":"eve1"', 1))
    with pytest.raises(AirlockError, match=rf"cannot be carried over: {TRANSITIONS}:\d+: was changed"):
        export(tmp_path / "files", carried_over(tmp_path / "files", since_of(plans, 3), stream(plans[3:])))


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


def test_signals_are_a_chain_of_their_own(exported: Path) -> None:
    lines = [json.loads(line) for line in lines_of(exported, SIGNALS)]
    assert [line["seq"] for line in lines] == [1, 2, 3]
    assert [line["prev"] for line in lines[1:]] == [line["hash"] for line in lines[:-1]]


def said(*arguments: str) -> Result:
    one = typer.Typer()
    one.command("verify")(verify_command)
    return CliRunner().invoke(one, list(arguments))


def test_the_command_says_that_nothing_is_wrong_and_the_root(exported: Path) -> None:
    root = json.loads((exported / SUMMARY).read_bytes())["hash"]
    done = said(str(exported), "--root", root)
    assert done.exit_code == 0
    assert f"eight files, {PLANS} plans, nothing is wrong" in done.stdout
    assert root in done.stdout
    assert "15 digests of seals computed again, 2 signatures checked\n" in done.stdout
    seals = {"recomputed": 15, "hidden": 0, "missing": 0, "signatures": 2}
    assert json.loads(said(str(exported), "--json").stdout) == {
        "verified": True, "root": root, "findings": [], "seals": seals, "notes": []
    }  # fmt: skip


def test_the_command_names_the_place_and_exits_1(exported: Path, tmp_path: Path) -> None:
    files = content(exported)
    lines = files[TRANSITIONS].splitlines(keepends=True)
    folder = write(tmp_path, {**files, TRANSITIONS: b"".join(lines[:3] + lines[4:])})
    done = said(str(folder))
    assert done.exit_code == 1
    assert f"error: {TRANSITIONS}:4: entry" in done.stderr
    document = json.loads(said(str(folder), "--json").stdout)
    assert (document["verified"], document["findings"][0]["line"]) == (False, 4)
    assert document["error"].startswith("the export is not what was written: ")
    assert said(str(tmp_path / "nowhere")).exit_code == 1


def of_version_one(tmp_path: Path) -> Path:
    """Return an export as it was written before there was `approvals.jsonl`."""
    folder = tmp_path / "old"
    export(folder, [as_first_version(record) for record in records(PLANS)])
    files = {name: data for name, data in content(folder).items() if name != APPROVALS}
    summary = json.loads(files[SUMMARY])
    for name in ("total_seals", "total_approvals", "total_denials", "unreadable", "left_out"):
        del summary[name]
    del summary["files"][APPROVALS]
    (folder / APPROVALS).unlink()
    return write(folder, {SUMMARY: reclosed({**summary, "schema_version": 1})})


def test_an_export_of_seven_files_still_verifies_by_its_own_version(tmp_path: Path) -> None:
    folder = of_version_one(tmp_path)
    assert sorted(content(folder)) == sorted(SEVEN_FILES)
    assert verify(folder) == []
    assert f"seven files, {PLANS} plans, nothing is wrong" in said(str(folder)).stdout
    (folder / APPROVALS).write_bytes(b"")
    assert [str(finding) for finding in verify(folder)] == [f"{APPROVALS}: is no part of an export"]


def test_an_export_of_eight_files_cannot_be_passed_off_as_one_of_seven(exported: Path, tmp_path: Path) -> None:
    files = content(exported)
    summary = json.loads(files[SUMMARY])
    del summary["files"][APPROVALS]
    folder = write(tmp_path, {**files, SUMMARY: reclosed({**summary, "schema_version": 1})})
    (folder / APPROVALS).unlink()
    found = verify(folder)
    assert found[0].file == APPROVALS
    assert "seals is 1, but 0 are there" in found[0].message


def test_going_on_from_an_export_of_seven_files_keeps_its_lines_and_adds_the_seals_of_the_others(tmp_path: Path) -> None:
    folder = of_version_one(tmp_path)
    every = list(records(PLANS))
    open_now = [record for record in every if record.execution.closed_at is None]
    since = datetime.max.replace(tzinfo=every[0].execution.submitted_at.tzinfo)
    summary = export(folder, carried_over(folder, since, stream(open_now)))
    assert verify(folder) == []
    lines = [json.loads(line) for line in lines_of(folder, EXECUTIONS)]
    assert sum("seals" in line for line in lines) == len(open_now)
    assert summary.total_seals == sum(len(record.seals) for record in open_now)


@pytest.fixture
def hidden(tmp_path: Path) -> tuple[Path, Path]:
    """Return an export with hidden values, and what opens them."""
    folder, file = tmp_path / "hidden", tmp_path / "openings.jsonl"
    hide(folder, file)
    return folder, file


def hide(folder: Path, file: Path) -> OrchestrationSummary:
    with closing(OpeningsFile(file, folder)) as openings:
        source = stream(records(PLANS))
        return asyncio.run(export_files(folder, source, pipeline_id="default", health=health(), openings=openings))


def test_hidden_values_are_checked_with_and_without_their_openings(hidden: tuple[Path, Path], exported: Path) -> None:
    folder, file = hidden
    plain = (exported / APPROVALS).read_text()
    assert "does a" in plain
    assert "does a" not in (folder / APPROVALS).read_text()
    assert (folder / EXECUTIONS).read_bytes() == (exported / EXECUTIONS).read_bytes()
    without, opened = said(str(folder)), said(str(folder), "--openings", str(file))
    assert (without.exit_code, opened.exit_code) == (0, 0)
    assert "2 digests of seals computed again, 2 signatures checked; 13 digests need the openings" in without.stdout
    assert "15 digests of seals computed again, 2 signatures checked\n" in opened.stdout
    assert oct(file.stat().st_mode & 0o777) == "0o600"


def test_some_of_the_openings_open_some_of_the_digests(hidden: tuple[Path, Path]) -> None:
    folder, file = hidden
    first = json.loads(lines_of(folder, APPROVALS)[0])["digest"]
    some = [line for line in file.read_bytes().splitlines(keepends=True)[1:] if json.loads(line)["path"].startswith(first)]
    assert len(some) > 3
    file.write_bytes(b"".join(some))
    assert (checked := check_export(folder, openings=read_openings(file))).findings == []
    assert checked.seals.recomputed == 1 + ALWAYS_OPEN
    file.write_bytes(b"".join(some[1:]))
    assert check_export(folder, openings=read_openings(file)).seals.recomputed == ALWAYS_OPEN


ALWAYS_OPEN = 2
"""Seals without a hidden value: undos of plans, in these records without steps."""


def test_an_opening_that_was_changed_is_named(hidden: tuple[Path, Path]) -> None:
    folder, file = hidden
    file.write_bytes(file.read_bytes().replace(b'"does a"', b'"does b"', 1))
    done = said(str(folder), "--openings", str(file))
    assert done.exit_code == 1
    assert "the value and the salt do not give the hash: one of them was changed" in done.stderr
    file.write_bytes(b"{}\n")
    assert f"{file.name}:1: is no opening" in said(str(folder), "--openings", str(file)).stderr.replace("\n", "")


def test_an_opening_that_tells_another_place_is_named(hidden: tuple[Path, Path]) -> None:
    folder, file = hidden
    first, *openings = [json.loads(line) for line in file.read_bytes().splitlines()]
    one, other = [at for at, opening in enumerate(openings) if "preview.effect" in opening["path"]][:2]
    openings[one]["path"], openings[other]["path"] = openings[other]["path"], openings[one]["path"]
    file.write_text("".join(line_text(line) for line in (first, *openings)))
    done = said(str(folder), "--openings", str(file))
    assert done.exit_code == 1
    assert "the opening of this value says that it stands elsewhere" in done.stderr.replace("\n", " ")


def test_the_same_salt_key_gives_the_same_bytes_and_another_one_others(hidden: tuple[Path, Path], tmp_path: Path) -> None:
    folder, file = hidden
    before, openings = content(folder), file.read_bytes()
    hide(folder, file)
    assert (content(folder), file.read_bytes()) == (before, openings)
    hide(tmp_path / "other", tmp_path / "other.jsonl")
    assert (tmp_path / "other" / APPROVALS).read_bytes() != before[APPROVALS]


def test_openings_are_not_kept_in_the_exported_folder_nor_over_another_file(tmp_path: Path) -> None:
    with pytest.raises(AirlockError, match="keep the openings elsewhere"):
        OpeningsFile(tmp_path / "export" / "openings.jsonl", tmp_path / "export")
    with pytest.raises(AirlockError, match="cannot write"):
        OpeningsFile(tmp_path / "nowhere" / "openings.jsonl", tmp_path / "export")
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    with pytest.raises(AirlockError, match="is no file of openings"):
        OpeningsFile(other, tmp_path / "export")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@settings(
    max_examples=HUNT or 50, derandomize=not HUNT, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_one_changed_byte_between_hidden_values_is_named_too(hidden: tuple[Path, Path], data: st.DataObject) -> None:
    folder, _ = hidden
    before = (folder / APPROVALS).read_bytes()
    position = data.draw(st.integers(0, len(before) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda other: other != before[position]))
    found = changed(folder, APPROVALS, before[:position] + bytes([byte]) + before[position + 1 :])
    assert (found[0].file, found[0].line) == (APPROVALS, before.count(b"\n", 0, position) + 1)


def test_what_could_not_be_read_is_listed_and_verify_says_so(tmp_path: Path) -> None:
    unread = [UnreadablePlan(workflow_id="plan-junk", run_id="r-1", why="no worker answers")]
    folder = tmp_path / "files"
    source = stream(records(3))
    asyncio.run(
        export_files(
            folder, source, pipeline_id="default", health=health(), unreadable=unread, left_out=["plan-other"]
        )
    )  # fmt: skip
    summary = json.loads((folder / SUMMARY).read_bytes())
    assert summary["unreadable"] == [{"workflow_id": "plan-junk", "run_id": "r-1", "why": "no worker answers"}]
    done = said(str(folder))
    assert done.exit_code == 0
    assert "plan-junk could not be read at the export: no worker answers" in done.stderr.replace("\n", " ")
    assert "plan-other was left out of the export" in done.stderr
    assert len(json.loads(said(str(folder), "--json").stdout)["notes"]) == 2


def test_the_earlier_lines_of_a_plan_that_cannot_be_read_now_stay(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    every = list(records(PLANS))
    export(folder, every)
    stuck = next(record for record in every if record.execution.closed_at is None)
    others = [record for record in every if record is not stuck]
    since = every[0].execution.submitted_at
    export(folder, carried_over(folder, since, stream(others), {stuck.execution.workflow_id}))
    assert verify(folder) == []
    assert len(lines_of(folder, EXECUTIONS)) == PLANS


def test_the_statement_has_the_digest_of_every_file_and_the_root(exported: Path, tmp_path: Path) -> None:
    file = tmp_path / "statement.json"
    assert said(str(exported), "--statement", str(file)).exit_code == 0
    told = json.loads(file.read_bytes())
    assert (told["_type"], told["predicateType"]) == ("https://in-toto.io/Statement/v1", "urn:airlock:export:v1")
    true = {name: hashlib.sha256(data).hexdigest() for name, data in content(exported).items()}
    assert {one["name"]: one["digest"]["sha256"] for one in told["subject"]} == true
    assert told["predicate"]["root"] == json.loads((exported / SUMMARY).read_bytes())["hash"]
    file.unlink()
    folder = write(tmp_path / "changed", {**content(exported), SIGNALS: b""})
    assert said(str(folder), "--statement", str(file)).exit_code == 1
    assert not file.exists()
    assert said(str(exported), "--statement", str(exported / "statement.json")).exit_code == 1
    assert verify(exported) == []
