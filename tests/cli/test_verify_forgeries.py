"""Exports that were hashed again after a change: a total, a chain or the root kept elsewhere gives them away."""

import hashlib
import json
from pathlib import Path

import pytest

from airlock.cli.records.verify_files import verify
from airlock.export.files import APPROVALS, CONFLICTS, EXECUTIONS, HEALTH, ROLLBACKS, SIGNALS, SUMMARY, TRANSITIONS
from airlock.export.ledger import line_hash, line_text
from tests.cli.export_folders import PLANS, changed, content, lines_of, reclosed, write

EARLIER = (EXECUTIONS, TRANSITIONS, ROLLBACKS, APPROVALS)


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


def test_an_export_of_eight_files_cannot_be_passed_off_as_one_of_seven(exported: Path, tmp_path: Path) -> None:
    files = content(exported)
    summary = json.loads(files[SUMMARY])
    del summary["files"][APPROVALS]
    folder = write(tmp_path, {**files, SUMMARY: reclosed({**summary, "schema_version": 1})})
    (folder / APPROVALS).unlink()
    found = verify(folder)
    assert found[0].file == APPROVALS
    assert "seals is 1, but 0 are there" in found[0].message
