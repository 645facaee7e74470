"""The page of `verify --html` in a real browser: it shows the record, checks it, and names a changed byte."""

import json
import random
import re
import shutil
from pathlib import Path

import pytest

from airlock.cli.records.verify_files import check_export, files_of, verify
from airlock.cli.report import report_page, write_report
from airlock.export.files import APPROVALS, EXECUTIONS, EXPORT_FILES, LINES, SUMMARY, TRANSITIONS
from airlock.export.ledger import line_hash, line_text
from airlock.export.plan_lines import plan_record
from tests.cli.browser import Browser
from tests.cli.export_folders import hide, of_version_one, said
from tests.cli.forged_records import NASTY, PLANS, lies, write
from tests.core import test_authority_check as authority
from tests.core.export_build import PUBLIC_KEY, records, resealed, trace


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "files"
    write(folder, list(records(PLANS)))
    return folder


def report(folder: Path, to: Path) -> Path:
    checked = check_export(folder)
    write_report(to, folder, files_of(folder), checked.summary.hash if checked.summary else None)
    return to


def test_the_command_writes_the_page_also_of_a_record_that_was_changed(exported: Path, tmp_path: Path) -> None:
    done = said(str(exported), "--html", str(tmp_path / "r.html"))
    assert (done.exit_code, "r.html: the record as a page" in done.stdout.replace("\n", "")) == (0, True)
    folder = shutil.copytree(exported, tmp_path / "changed")
    (folder / APPROVALS).write_bytes((folder / APPROVALS).read_bytes()[:-9])
    assert said(str(folder), "--html", str(tmp_path / "bad.html")).exit_code == 1
    assert (tmp_path / "bad.html").stat().st_size > 10_000
    inside = said(str(exported), "--html", str(exported / "r.html"))
    assert (inside.exit_code, "write the page elsewhere" in inside.stderr.replace("\n", " ")) == (1, True)
    assert verify(exported) == []


def test_the_page_may_load_nothing_and_holds_no_text_of_the_record_as_markup() -> None:
    text = report_page({EXECUTIONS: NASTY.encode()}, "0" * 64)
    assert text.isascii()
    assert "onerror" not in text
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[1]
    assert "http" not in policy[1]
    assert not re.search(r"(src|href)=", text)


def test_the_browser_computes_the_same_and_shows_who_decided(page: Browser, exported: Path, tmp_path: Path) -> None:
    page.events.clear()
    page.open(report(exported, tmp_path / "r.html"))
    verdict, text = page.checked()
    assert (verdict, "Nothing is wrong" in text) == ("good", True), text
    assert "15 of 15 digests of seals computed again, 2 signatures checked" in text
    assert json.loads((exported / SUMMARY).read_bytes())["hash"] in text
    assert page.value("document.querySelectorAll('details.plan').length") == PLANS
    shown = page.value(
        "(() => { const plan = document.querySelectorAll('details.plan')[9]; plan.open = true;"
        " return new Promise((resolve) => setTimeout(() => resolve(plan.innerText), 50)); })()"
    )
    for told in ("boss", "approve", "counted", "refused", f"signature fits: {PUBLIC_KEY}", "21-a", "22-b", "does a"):
        assert told in shown
    assert page.requests() == [(tmp_path / "r.html").resolve().as_uri()]


AMENDED = Path(__file__).with_name("exports") / "amended"
"""The export of a plan of two steps that bob amended by a third; every decision about it was signed, two approvals each."""


def test_the_page_judges_an_amended_and_signed_plan_as_verify_does(page: Browser, tmp_path: Path) -> None:
    found = check_export(AMENDED)
    assert (found.findings, found.seals.signatures) == ([], 5)
    page.open(report(AMENDED, tmp_path / "r.html"))
    verdict, text = page.checked()
    assert (verdict, "Nothing is wrong" in text) == ("good", True), text
    assert "signatures of SSH keys and passkeys are checked by `airlock verify`, not by this page" in text
    assert "which approvals of earlier seals count for it is checked by `airlock verify`, not by this page" in text
    folder = shutil.copytree(AMENDED, tmp_path / "changed")
    (folder / APPROVALS).write_text((folder / APPROVALS).read_text().replace('"by":"bob"', '"by":"rob"', 1))
    page.open(report(folder, tmp_path / "changed.html"))
    assert page.checked()[0] == "bad"


def test_a_changed_byte_is_named_as_verify_names_it(page: Browser, exported: Path, tmp_path: Path) -> None:
    chance = random.Random(4)
    page.open(report(exported, tmp_path / "r.html"))
    page.checked()
    for number in range(24):
        name = EXPORT_FILES[number % len(EXPORT_FILES)]
        folder = shutil.copytree(exported, tmp_path / f"changed-{number}")
        data = bytearray((folder / name).read_bytes())
        place = chance.randrange(len(data))
        data[place] = chance.choice([byte for byte in b'ab01" {}x\n' if byte != data[place]])
        (folder / name).write_bytes(data)
        page.choose(sorted(folder.iterdir()))
        verdict, text = page.checked()
        assert verdict == "bad", (name, place)
        assert f"Checked: {len(EXPORT_FILES)} files that you chose." in text
        first = page.value("document.querySelector('#findings code').textContent")
        line = f":{verify(folder)[0].line}" if name in LINES else ""
        assert first.startswith(f"{name}{line}"), (first, verify(folder)[0], place)
    page.choose(sorted(exported.iterdir()))
    assert page.checked()[0] == "good"


def test_lines_that_were_hashed_again_are_named_by_digest_signature_and_chain(
    page: Browser, exported: Path, tmp_path: Path
) -> None:
    def forged(change: str) -> Path:
        folder = shutil.copytree(exported, tmp_path / change)
        lines = (folder / APPROVALS).read_text().splitlines()
        number = next(at for at, line in enumerate(lines) if '"plan_id":"p-9"' in line and '"replaced":null' in line)
        line = json.loads(lines[number])
        if change == "goal":
            line["content"]["goal"] = "harmless"
        elif change == "signature":
            line["decisions"][0]["message"]["signature"] = "A" * 86 + "=="
        else:
            line["decisions"][0]["by"] = "eve"
        lines[number] = line_text({**line, "hash": line_hash(line)}).rstrip("\n")
        (folder / APPROVALS).write_text("\n".join(lines) + "\n")
        return folder

    page.open(report(exported, tmp_path / "r.html"))
    page.checked()
    for change, told in (
        ("goal", "content: its digest is"), ("signature", "key: did not make this signature"),
        ("by", "entry: is not what entry"),
    ):  # fmt: skip
        page.choose(sorted(forged(change).iterdir()))
        verdict, text = page.checked()
        assert (verdict, told in text) == ("bad", True), text


def test_the_page_tells_undone_from_kept_and_shows_refusals_settlements_and_hidden_values(
    page: Browser, exported: Path, tmp_path: Path
) -> None:
    def opened(number: int) -> str:
        shown = page.value(
            f"(() => {{ const plan = document.querySelectorAll('details.plan')[{number}]; plan.open = true;"
            " return new Promise((resolve) => setTimeout(() => resolve(plan.innerText), 50)); })()"
        )
        return str(shown)

    page.open(report(exported, tmp_path / "r.html"))
    page.checked()
    assert "2 calls undone, 1 call kept" in opened(1)
    assert "not undone: its undo failed" in opened(2)
    assert "nothing undone" in opened(0)
    assert "resolve: happened" in opened(4)
    assert "the plan is in MOCK, it does not wait for approval" in opened(9)
    hide(tmp_path / "hidden", tmp_path / "openings.jsonl")
    page.open(report(tmp_path / "hidden", tmp_path / "h.html"))
    page.checked()
    assert "hidden; its salted hash is" in opened(0)
    assert "$hidden" not in opened(0)
    nested = page.value("json({ key: { $hidden: 'a1' }, plain: [1] }).textContent")
    assert json.loads(nested) == {"key": "hidden; its salted hash is a1", "plain": [1]}


def test_the_holder_of_the_openings_shows_hidden_values_and_their_digests(page: Browser, tmp_path: Path) -> None:
    def steps() -> str:
        page.value("document.querySelectorAll('details.plan').forEach((plan) => { plan.open = true; })")
        shown = "new Promise((resolve) => setTimeout(() => resolve(document.getElementById('plans').textContent), 50))"
        return str(page.value(shown))

    folder, file, some = tmp_path / "hidden", tmp_path / "openings.jsonl", tmp_path / "some.jsonl"
    hide(folder, file)
    lines = file.read_text().splitlines(keepends=True)
    page.open(report(folder, tmp_path / "h.html"))
    page.checked()
    assert "does a" not in steps()
    page.choose([file], "#openings")
    verdict, text = page.checked()
    assert verdict == "good", text
    assert " 0 digests need openings" in text
    assert f"{len(lines) - 1} openings of hidden values" in text
    told = steps()
    assert "does a" in told
    assert "salted hash" not in told
    # one line shows one value, and no digest
    chosen = next(line for line in lines if '"does a"' in line)
    some.write_text(chosen)
    page.choose([some], "#openings")
    verdict, text = page.checked()
    assert (verdict, "13 digests need openings" in text) == ("good", True), text
    assert "does a" in (told := steps())
    assert "salted hash" in told
    # a value, a salt or a place that was changed
    moved = re.sub(r'"path":"[^"]*"', '"path":"elsewhere/steps.a.preview.effect"', chosen)
    longer = re.sub(r'"salt":"([^"]*)"', r'"salt":"\1\\""', chosen)
    for name, line, where, why in (
        ("value", chosen.replace("does a", "does b"), "some.jsonl:1", "do not give the hash"),
        ("place", moved, f"{APPROVALS}:", "says that it stands elsewhere"),
        ("salt", longer, "some.jsonl:1", "is no opening"),
        ("no opening", "null\n", "some.jsonl:1", "is no opening"),
        ("no JSON", "x\n", "some.jsonl:1", "is not JSON"),
    ):
        some.write_text(line)
        page.choose([some], "#openings")
        verdict, text = page.checked()
        assert (verdict, where in text, why in text) == ("bad", True, True), (name, text)
    # other files are checked with the openings that were chosen
    page.choose([file], "#openings")
    page.checked()
    page.choose(sorted(folder.iterdir()))
    verdict, text = page.checked()
    assert (verdict, " 0 digests need openings" in text) == ("good", True), text
    assert page.requests() == [request for request in page.requests() if request.startswith("file:")]


def test_every_lie_that_was_hashed_again_is_named_in_the_browser_where_verify_names_it(
    page: Browser, exported: Path, tmp_path: Path
) -> None:
    page.open(report(exported, tmp_path / "r.html"))
    page.checked()
    for number, (name, record) in enumerate(lies()):
        folder = tmp_path / str(number)
        write(folder, [record])
        page.choose(sorted(folder.iterdir()))
        verdict, text = page.checked()
        expected = verify(folder)
        assert expected, name
        assert verdict == "bad", (name, expected[0])
        first = page.value("document.querySelector('#findings code').textContent")
        assert first == f"{expected[0].file}:{expected[0].line}", (name, text, expected[0])


def test_every_decision_that_the_sealed_policy_does_not_allow_is_named_where_verify_names_it(
    page: Browser, exported: Path, tmp_path: Path
) -> None:
    page.open(report(exported, tmp_path / "r.html"))
    page.checked()
    write(tmp_path / "honest", [plan_record(trace(authority.guarded()))])
    assert verify(tmp_path / "honest") == []
    page.choose(sorted((tmp_path / "honest").iterdir()))
    verdict, text = page.checked()
    assert verdict == "good", text
    for number, (name, change) in enumerate(authority.FORGED.items()):
        folder = tmp_path / str(number)
        write(folder, [authority.rewritten(authority.guarded(), change)])
        page.choose(sorted(folder.iterdir()))
        verdict, text = page.checked()
        (expected,) = verify(folder)
        assert verdict == "bad", (name, expected)
        first = page.value("document.querySelector('#findings li').textContent")
        assert first == f"{expected.file}:{expected.line} {expected.message}", (name, text)


@pytest.mark.parametrize("name", [name for name in EXPORT_FILES if name.endswith(".json")])
def test_a_file_that_is_something_else_is_named_in_plain_words(
    page: Browser, exported: Path, tmp_path: Path, name: str
) -> None:
    page.open(report(exported, tmp_path / "r.html"))
    page.checked()
    other = shutil.copytree(exported, tmp_path / "other")
    for data in (b"null\n", b"[]\n"):
        (other / name).write_bytes(data)
        page.choose(sorted(other.iterdir()))
        assert f"{name}:1 is not a JSON object" in page.checked()[1]
    (other / name).write_bytes((exported / name).read_bytes())
    for lines, source in ((APPROVALS, TRANSITIONS), (EXECUTIONS, TRANSITIONS)):
        (other / lines).write_bytes((exported / source).read_bytes())
        page.choose(sorted(other.iterdir()))
        assert f"{lines}:1 is no line of this file" in page.checked()[1]
        (other / lines).write_bytes((exported / lines).read_bytes())


def test_missing_and_other_files_old_exports_and_hidden_values(page: Browser, exported: Path, tmp_path: Path) -> None:
    page.open(report(exported, tmp_path / "r.html"))
    page.checked()
    files = sorted(exported.iterdir())
    page.choose([file for file in files if file.name != EXECUTIONS])
    assert f"{EXECUTIONS} the file is missing" in page.checked()[1]
    (tmp_path / "more.txt").write_text("x")
    page.choose([*files, tmp_path / "more.txt"])
    assert "more.txt is no part of an export" in page.checked()[1]
    page.choose(sorted(of_version_one(tmp_path).iterdir()))
    verdict, text = page.checked()
    assert (verdict, "This is not the root of the record" in text) == ("good", True), text
    hide(tmp_path / "hidden", tmp_path / "openings.jsonl")
    page.choose(sorted((tmp_path / "hidden").iterdir()))
    verdict, text = page.checked()
    assert (verdict, "13 digests need openings" in text) == ("good", True), text


def test_a_text_of_the_record_is_never_markup(page: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "nasty"
    record = plan_record(trace(resealed()).model_copy(update={"goal": NASTY, "why": NASTY, "requested_by": NASTY}))
    write(folder, [record])
    page.open(report(folder, tmp_path / "r.html"))
    assert page.checked()[0] == "good"
    page.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    text = page.value("new Promise((resolve) => setTimeout(() => resolve(document.getElementById('plans').innerText), 50))")
    assert '<img src=x onerror="document.body.dataset.owned=1">' in text
    assert "\\u202egpj.exe" in text
    assert page.value("document.body.dataset.owned || document.querySelectorAll('img').length") == 0
