"""Exports with hidden values verify with and without their openings; an opening that was changed is named."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airlock.base.errors import AirlockError
from airlock.cli.records.openings import OpeningsFile, read_openings
from airlock.cli.records.verify_files import check_export
from airlock.export.files import APPROVALS, EXECUTIONS
from airlock.export.ledger import line_text
from tests.cli.export_folders import changed, content, hide, lines_of, said
from tests.conftest import HUNT


@pytest.fixture
def hidden(tmp_path: Path) -> tuple[Path, Path]:
    """Return an export with hidden values, and what opens them."""
    folder, file = tmp_path / "hidden", tmp_path / "openings.jsonl"
    hide(folder, file)
    return folder, file


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
