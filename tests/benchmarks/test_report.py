"""Results of benchmarks: tables, files, pictures. No server."""

import json
import platform
import xml.etree.ElementTree as ElementTree

import pytest

from benchmarks import plots, report
from benchmarks.report import Sheet

SHEET = Sheet("Turns", ("system", "time"), [("floor", "1.00"), ("Airlock", "2.00")])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "FOLDER", tmp_path)
    return tmp_path


def test_a_table_is_printed_and_saved_as_json_and_markdown_with_machine_and_versions(folder, capsys):
    path = report.save("turns", [SHEET], [{"clock": 0.5}], {"peer": "1.2.3"})
    saved = json.loads(path.read_text())
    assert path == folder / "turns.json"
    assert saved["tables"] == [
        {"title": "Turns", "columns": ["system", "time"], "rows": [["floor", "1.00"], ["Airlock", "2.00"]]}
    ]
    assert saved["measured"] == [{"clock": 0.5}]
    assert saved["machine"]["cores"] >= 1
    assert saved["machine"]["packages"]["peer"] == "1.2.3"
    markdown = path.with_suffix(".md").read_text()
    assert "| system | time |\n| --- | ---: |\n| floor | 1.00 |\n| Airlock | 2.00 |\n" in markdown
    for words in (f"Python {platform.python_version()}", "temporalio ", "peer 1.2.3"):
        assert words in markdown
    assert "Airlock" in capsys.readouterr().out


def test_a_result_does_not_name_the_host(folder):
    path = report.save("turns", [SHEET], show=False)
    node = platform.node()
    assert not node or node not in path.read_text() + path.with_suffix(".md").read_text()


def test_the_spread_is_the_median_with_the_lowest_and_the_highest():
    assert report.spread([3.0, 1.0, 2.0]) == "2.00 (1.00-3.00)"
    assert report.spread([1_234.4], 0) == "1,234 (1,234-1,234)"


def test_pictures_are_svg_with_the_names_of_the_systems(tmp_path):
    killed = plots.draw_killed(tmp_path / "killed.svg", [("the first", [1] * 10), ("the second", [1, 2, 0] + [1] * 7)])
    values = [[(1.0, 2.0, 4.0), None], [(0.5, 0.6, 0.7), (0.1, 0.2, 0.3)]]
    ratios = plots.draw_ratios(
        tmp_path / "ratios.svg", "times the floor", ["1 call", "20 calls"], ["the first", "none"], values
    )
    for path in (killed, ratios):
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
        assert "the first" in path.read_text()  # matplotlib notes each text in a comment
