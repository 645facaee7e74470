"""The tools that only read: memory, goals, arithmetic, extraction."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.base.errors import ToolFailed
from airlock.tools import goal_query, math_compute, memory_search, text_extract
from airlock.tools.compute import evaluate
from airlock.tools.extract import TextExtract, extract

Make = Callable[..., Any]


@pytest.fixture
def notes(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "acme.md").write_text("# ACME\nACME builds robots in Rotterdam. Contact: Jo.")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "robots.txt").write_text("Robots need maintenance.")
    (tmp_path / "list.json").write_text(json.dumps([{"id": "n1", "text": "Jo likes robots"}, {"text": "nothing"}]))
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe robots")
    (tmp_path / "ignored.py").write_text("robots")
    goals = [{"id": "g1", "goal": "Onboard ACME", "status": "open"}, {"id": "g2", "goal": "Close ACME", "status": "done"}]
    (tmp_path / "goals.json").write_text(json.dumps({"goals": goals}))
    return {"path": str(tmp_path)}


async def test_memory_ranks_by_the_share_of_words_and_dry_run_predicts_it(runner: Make, notes: dict[str, str]) -> None:
    tool = runner(memory_search, notes)
    found = await tool.live(query="ACME robots")
    assert {match["id"]: match["score"] for match in found["matches"]} == {
        "acme.md": 1.0,
        "deep/robots.txt": 0.5,
        "goals.json": 0.5,
        "list.json#n1": 0.5,
    }
    assert found["matches"][0]["id"] == "acme.md"
    preview = await tool.dry_run(query="ACME robots")
    assert preview.output == found
    assert preview.undo is None
    assert len((await tool.live(query="robots", limit=1))["matches"]) == 1
    assert (await tool.live(query="unheard"))["matches"] == []


async def test_memory_mock_touches_nothing_and_settings_are_named_when_missing(runner: Make) -> None:
    tool = runner(memory_search)
    assert (await tool.mock(query="x"))["matches"]
    with pytest.raises(ToolFailed, match=r"settings\.memory\.path is not set.*AIRLOCK_SETTINGS__MEMORY__PATH"):
        await tool.live(query="x")
    with pytest.raises(ToolFailed, match="not a folder"):
        await runner(memory_search, {"path": "/nowhere/at/all"}).live(query="x")


async def test_goals_by_words_and_status(runner: Make, notes: dict[str, str]) -> None:
    tool = runner(goal_query, notes)
    assert [goal["id"] for goal in (await tool.live())["goals"]] == ["g1", "g2"]
    assert [goal["id"] for goal in (await tool.live(goal="acme", status="open"))["goals"]] == ["g1"]
    assert (await tool.dry_run(goal="close")).output == await tool.live(goal="close")
    assert (await tool.mock(goal="x"))["goals"][0]["goal"] == "x"
    with pytest.raises(ToolFailed, match=r"settings\.memory\.goals is not set"):
        await runner(goal_query).live()


async def test_goals_in_a_file_of_their_own_and_what_is_wrong_with_it(runner: Make, tmp_path: Path) -> None:
    path = tmp_path / "my-goals.json"
    tool = runner(goal_query, {"goals": str(path)})
    with pytest.raises(ToolFailed, match="cannot be read"):
        await tool.live()
    path.write_text("[1]")
    with pytest.raises(ToolFailed, match="list of objects"):
        await tool.live()
    path.write_text('[{"id": "a"}]')
    assert (await tool.live())["goals"] == [{"id": "a"}]


@pytest.mark.parametrize(
    ("expression", "variables", "result"),
    [
        ("2 + 3 * 4", {}, 14),
        ("round(seats * price * 1.21, 2)", {"seats": 3, "price": 9.99}, 36.26),
        ("-x ** 2 // 3 % 5", {"x": 4}, -(4**2) // 3 % 5),
        ("10 if a > b else min(a, b)", {"a": 1, "b": 2}, 1),
        ("sqrt(16) + floor(pi) + sum(1, 2)", {}, 10.0),
        ("max(a, 2) * 1.5", {"a": 1}, 3.0),
    ],
)
async def test_math(runner: Make, expression: str, variables: dict[str, float], result: float) -> None:
    tool = runner(math_compute)
    assert (await tool.live(expression=expression, variables=variables)) == {"result": result}
    assert (await tool.dry_run(expression=expression, variables=variables)).output == {"result": result}
    assert (await tool.mock(expression=expression, variables=variables)) == {"result": result}


@pytest.mark.parametrize(
    "expression",
    [
        "9 ** 9 ** 9", "2 ** 100000", "10 ** 1000 * 10 ** 1000", "'a' * 10 ** 9", "'%1000000000d' % 1", "1 << 9999999",
        "__import__('os')", "().__class__", "x", "1 / 0", "1 +", "", " ", "a = 1", "1; 2", "lambda: 1", "[1 for x in y]",
        "(-1) ** 0.5", "1e308 * 10", "1 < 2", "True", "round(1, 10 ** 9)", "open('x')", "1j", "exp(1000)", "-" * 499 + "1",
        "(" * 250 + "1" + ")" * 249, "sum(*[1])", "f'{1}'", "max('a', 'b')", "sqrt(-1)", "log(0)",
    ],
)  # fmt: skip
async def test_what_math_refuses(expression: str) -> None:
    with pytest.raises(ToolFailed):
        evaluate(expression, {})


async def test_math_mock_survives_mocked_variables(runner: Make) -> None:
    assert await runner(math_compute).mock(expression="1 / x", variables={"x": 0}) == {"result": 1}


@given(st.text(alphabet="0123456789+-*/%.() <>=abcifels,'\"[]{}_~^|&@!:", max_size=60))
def test_math_always_answers_with_a_finite_number_or_a_refusal(expression: str) -> None:
    try:
        result = evaluate(expression, {"a": 2, "b": 0.5})
    except ToolFailed:
        return
    assert math.isfinite(result)


TEXT = """Contact: Jo Doe
  - Phone : +31 10 555 0100
Mail jo@acme.test, or JO+x@sub.acme.test. See https://acme.test/a?b=1). Again jo@acme.test
Signed 2024-02-29, 2024-02-30 never; 3 March 2025 and Apr 1, 2026. Costs 12.50 and -3, not v2 or 1.2.3
"""


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("emails", ["jo@acme.test", "JO+x@sub.acme.test"]),
        ("urls", ["https://acme.test/a?b=1"]),
        ("dates", ["2024-02-29", "2025-03-03", "2026-04-01"]),
        ("fields", [{"label": "contact", "value": "Jo Doe"}, {"label": "Phone", "value": "+31 10 555 0100"}]),
    ],
)
async def test_extraction(runner: Make, kind: str, values: list[Any]) -> None:
    tool = runner(text_extract)
    args = {"text": TEXT, "kind": kind, "fields": ["contact", "Phone"]}
    assert (await tool.live(**args))["values"] == values
    assert (await tool.dry_run(**args)).output == {"values": values}
    assert (await tool.mock(**args))["values"] == values


async def test_numbers_fields_without_labels_and_mocks_of_empty_texts(runner: Make) -> None:
    tool = runner(text_extract)
    assert (await tool.live(text="12.50 and -3, not v2 or 1.2.3", kind="numbers"))["values"] == [12.5, -3]
    assert (await tool.live(text="1 2 3 1", kind="numbers", limit=2))["values"] == [1, 2]
    with pytest.raises(ToolFailed, match="set `fields`"):
        await tool.live(text="x", kind="fields")
    assert (await tool.mock(text="", kind="emails"))["values"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("piece", ["a", "a.", "a@", "1", "1.", "a@b.", "http://", "12 March ", "a:", " ", "\n", "March 1, "])
@pytest.mark.parametrize("kind", ["emails", "urls", "numbers", "dates", "fields"])
def test_extraction_takes_no_longer_than_its_text(piece: str, kind: Any) -> None:
    text = (piece * 100_000)[:100_000]
    extract(TextExtract(text=text, kind=kind, fields=("a",)))
