"""The page of `verify --html` against `verify`, where only a schema or a total shows that a record was hashed again."""

import copy
import hashlib
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airlock.cli.records.verify_files import check_export, files_of, verify
from airlock.cli.report import write_report
from airlock.export.files import (
    APPROVALS,
    DOCUMENTS,
    EXECUTIONS,
    LINES,
    ROLLBACKS,
    SIGNALS,
    SUMMARY,
    TRANSITIONS,
    export_schemas,
)
from airlock.export.ledger import line_hash, line_text, plan_genesis, seals_genesis, signals_genesis
from tests.cli.browser import Browser
from tests.cli.export_folders import export, reclosed
from tests.core.export_build import records

PLANS = 16
CASES = 200
WRONG: tuple[Any, ...] = (
    -1,
    1.5,
    1e300,
    True,
    None,
    "",
    "x",
    "2026-02-30T10:00:00Z",
    "2026-03-01T10:00:00",
    [],
    {},
    {"a": 1},
)
Files = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "files"
    export(folder, records(PLANS))
    return folder


def read(folder: Path) -> Files:
    lines = {name: [json.loads(line) for line in (folder / name).read_text().splitlines()] for name in LINES}
    return lines | {name: [json.loads((folder / name).read_text())] for name in DOCUMENTS}


def rehash(files: Files) -> None:
    """Compute every hash again, as a forger would who can rewrite all files."""
    plans: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for name in (TRANSITIONS, ROLLBACKS):
        for link in files[name]:
            plans[link["plan_id"]].append(link)
    for line in files[EXECUTIONS]:
        seals = [seal for seal in files[APPROVALS] if seal["plan_id"] == line["plan_id"]]
        last = chain(seals, seals_genesis(line["workflow_id"], line["first_run_id"]))
        line["seals_hash"] = last
        links = sorted([*plans[line["plan_id"]], *line["events"]], key=lambda link: int(link["seq"]))
        chain([*links, line], plan_genesis(line["workflow_id"], line["first_run_id"]))
    chain(files[SIGNALS], signals_genesis())


def chain(links: list[dict[str, Any]], prev: str) -> str:
    for link in links:
        link["prev"] = prev
        prev = link["hash"] = line_hash(link)
    return prev


def write(folder: Path, files: Files, *, again: bool = True) -> None:
    folder.mkdir(exist_ok=True)
    if again:
        rehash(files)
    for name in LINES:
        (folder / name).write_text("".join(line_text(line) for line in files[name]))
    for name in sorted(DOCUMENTS, key=lambda name: name == SUMMARY):
        document = files[name][0]
        if name == SUMMARY and isinstance(document.get("files"), dict):
            for other, told in document["files"].items():
                data = (folder / other).read_bytes() if (folder / other).is_file() else b""
                if isinstance(told, dict) and told.keys() >= {"bytes", "lines", "sha256"} and other != SUMMARY:
                    told |= {"bytes": len(data), "lines": data.count(b"\n"), "sha256": hashlib.sha256(data).hexdigest()}
        (folder / name).write_bytes(reclosed(document))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the places in a value that no hash is made of; a version may be True for `verify`, because it equals 1."""
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if name not in (
            "hash",
            "prev",
            "parts",
            "content",
            "plan_id",
            "workflow_id",
            "first_run_id",
            "seq",
            "plan_index",
            "schema_version",
        ):
            yield (*path, name)
            yield from places(inner, (*path, name))


def mutations(files: Files) -> Iterator[tuple[str, Files]]:
    """Yield files with one field that is of another kind, unknown or missing; fields of one name come up once each."""
    chance = random.Random(23)
    known: dict[tuple[Any, ...], tuple[str, int, tuple[Any, ...]]] = {}
    for name, lines in files.items():
        for number, line in enumerate(lines):
            for path in places(line):
                known.setdefault((name, *(part for part in path if isinstance(part, str))), (name, number, path))
    chosen = chance.sample(sorted(known), min(CASES, len(known)))
    for kind in chosen:
        name, number, path = known[kind]
        made = copy.deepcopy(files)
        holder: Any = made[name][number]
        for part in path[:-1]:
            holder = holder[part]
        how = chance.choice(["wrong", "wrong", "unknown", "missing"])
        wrong = chance.choice(WRONG)
        if how == "unknown" and isinstance(holder, dict):
            holder["unheard_of"] = wrong
        elif how == "missing" and isinstance(holder, dict):
            del holder[path[-1]]
        else:
            holder[path[-1]] = wrong
        yield f"{name} {path} {how} {wrong!r}", made


def opened(page: Browser, folder: Path) -> tuple[str, str, str]:
    page.choose(sorted(folder.iterdir()))
    verdict, text = page.checked()
    first = "" if verdict == "good" else page.value("document.querySelector('#findings code').textContent")
    return verdict, first, text


def report(page: Browser, folder: Path, to: Path) -> None:
    checked = check_export(folder)
    write_report(to, folder, files_of(folder), checked.summary.hash if checked.summary else None)
    page.open(to)
    assert page.checked()[0] == "good"


def test_a_record_that_was_hashed_again_is_judged_as_verify_judges_it(page: Browser, exported: Path, tmp_path: Path) -> None:
    report(page, exported, tmp_path / "r.html")
    files, bad = read(exported), 0
    for number, (case, made) in enumerate(mutations(files)):
        folder = tmp_path / str(number)
        try:
            write(folder, made)
        except (KeyError, TypeError):  # without its entries a plan has no chain to hash again
            continue
        found = verify(folder)
        verdict, first, text = opened(page, folder)
        assert verdict == ("bad" if found else "good"), (case, found[:1], text)
        if found:
            bad += 1
            line = f":{found[0].line}" if found[0].file in LINES and found[0].line is not None else ""
            assert first.startswith(f"{found[0].file}{line}"), (case, found[0], text)
    assert bad > CASES // 2


def test_true_is_no_version_1_for_verify_nor_for_the_page(page: Browser, exported: Path, tmp_path: Path) -> None:
    """They are equal in Python, and different in the JSON that was exported."""
    report(page, exported, tmp_path / "r.html")
    for name in sorted(read(exported)):
        files = read(exported)
        files[name][0]["schema_version"] = True
        folder = tmp_path / name
        write(folder, files)
        found = verify(folder)
        assert found, name
        verdict, first, text = opened(page, folder)
        assert (verdict, first.split(":")[0]) == ("bad", found[0].file), (name, found[0], text)


def test_every_total_of_the_summary_and_of_the_conflicts_is_counted_again(
    page: Browser, exported: Path, tmp_path: Path
) -> None:
    report(page, exported, tmp_path / "r.html")
    for name, documents in read(exported).items():
        if name not in DOCUMENTS:
            continue
        totals = {key: value for key, value in documents[0].items() if re.match("total_|plans_|undos_|by_|start_|end_", key)}
        totals |= {"health_score": documents[0]["health_score"]} if "health_score" in documents[0] else {}
        for key, value in totals.items():
            files = read(exported)
            other: Any = "2020-01-01T00:00:00Z"
            if isinstance(value, dict):
                other = {**value, next(iter(value)): next(iter(value.values())) + 1}
            elif isinstance(value, int | float):
                other = value + 1 if value < 100 else value - 1
            files[name][0][key] = other
            folder = tmp_path / f"{name}-{key}"
            write(folder, files, again=False)
            assert [finding.file for finding in verify(folder)] == [name], key
            verdict, first, text = opened(page, folder)
            assert (verdict, first) == ("bad", name), (key, text)


def test_the_page_knows_every_rule_of_the_schemas(page: Browser, exported: Path, tmp_path: Path) -> None:
    report(page, exported, tmp_path / "r.html")
    published = {
        f"{name}.jsonl" if f"{name}.jsonl" in LINES else f"{name}.json": one for name, one in export_schemas().items()
    }
    assert json.loads(page.value("JSON.stringify(SCHEMAS)")) == published
    known = page.value("[...Object.keys(RULES), ...PLACES, ...SILENT, '$ref', 'anyOf', 'oneOf']")
    assert keywords(published.values()) <= set(known)
    asked = "(() => { try { schemaFault({multipleOf: 3}, parse('4')); } catch (error) { return error.message; } })()"
    assert page.value(asked) == "this page does not know the rule multipleOf"


def keywords(schemas: Iterable[Any]) -> set[str]:
    """Return every keyword of some JSON Schemas."""
    found: set[str] = set()
    for schema in schemas:
        if isinstance(schema, dict):
            found |= schema.keys()
            for keyword, value in schema.items():
                named = keyword in ("properties", "patternProperties", "$defs")
                # what a discriminator maps are names of members, which the schemas under oneOf hold again
                found |= keywords(value.values() if named else () if keyword == "discriminator" else [value])
        elif isinstance(schema, list):
            found |= keywords(schema)
    return found


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ("{maxLength: 2}", "\U0001f600b", "abc"),
        ("{minLength: 2}", "ab", "\U0001f600"),
        ("{minItems: 1}", [1], []),
        ("{oneOf: [{const: 1}, {const: 2}], discriminator: {}}", 2, 3),
    ],
)
def test_the_page_judges_by_a_rule(
    page: Browser, exported: Path, tmp_path: Path, rule: str, good: object, bad: object
) -> None:
    report(page, exported, tmp_path / "r.html")
    judged = (
        f"[{json.dumps(good)}, {json.dumps(bad)}].map((one) => schemaFault({rule}, parse(JSON.stringify(one))) === null)"
    )
    assert page.value(judged) == [True, False]


def test_a_moment_in_another_spelling_is_the_same_moment_in_the_page(page: Browser, exported: Path, tmp_path: Path) -> None:
    report(page, exported, tmp_path / "r.html")
    for number, (field, zone, good) in enumerate((("end_time", "+00:00", True), ("start_time", "+01:00", False))):
        files, folder = read(exported), tmp_path / str(number)
        summary = files[SUMMARY][0]
        summary[field] = summary[field].replace("Z", zone)
        write(folder, files)
        assert (not verify(folder)) is good
        assert opened(page, folder)[0] == ("good" if good else "bad")
