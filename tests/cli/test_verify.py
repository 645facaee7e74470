"""Every change of an exported file is found by `verify`: the file, the line and what is wrong."""

import asyncio
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airlock.base.errors import AirlockError
from airlock.cli.records.export_files import export_files
from airlock.cli.records.verify_files import MAX_DOCUMENT_BYTES, MAX_FINDINGS, verify
from airlock.export.documents import UnreadablePlan
from airlock.export.files import (
    APPROVALS,
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
from tests.cli.export_folders import PLANS, changed, content, export, lines_of, of_version_one, said, stream, write
from tests.conftest import HUNT
from tests.core.export_build import health, records


def test_an_export_is_eight_files_in_which_nothing_is_wrong(exported: Path) -> None:
    assert sorted(content(exported)) == sorted(EXPORT_FILES)
    assert all(lines_of(exported, name) for name in EXPORT_FILES)
    assert verify(exported) == []


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


def test_signals_are_a_chain_of_their_own(exported: Path) -> None:
    lines = [json.loads(line) for line in lines_of(exported, SIGNALS)]
    assert [line["seq"] for line in lines] == [1, 2, 3]
    assert [line["prev"] for line in lines[1:]] == [line["hash"] for line in lines[:-1]]


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


def test_an_export_of_seven_files_still_verifies_by_its_own_version(tmp_path: Path) -> None:
    folder = of_version_one(tmp_path)
    assert sorted(content(folder)) == sorted(SEVEN_FILES)
    assert verify(folder) == []
    assert f"seven files, {PLANS} plans, nothing is wrong" in said(str(folder)).stdout
    (folder / APPROVALS).write_bytes(b"")
    assert [str(finding) for finding in verify(folder)] == [f"{APPROVALS}: is no part of an export"]


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
