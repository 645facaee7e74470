"""The picture of health that `--plot` draws: the same each time, with gaps as gaps, or refused with the reason."""

import re
import sys
from pathlib import Path

import pytest
import typer

from airlock.cli.display.plot import plot, usable
from airlock.cli.output import Refusal
from airlock.monitoring.observation import observe
from airlock.monitoring.rolling import Window
from tests.cli.counted_hours import ILL, NOTHING, WELL, counted
from tests.core.counting import call


def test_the_picture_shows_all_four_and_is_the_same_each_time(tmp_path: Path) -> None:
    plot(tmp_path / "one.svg", ILL, Window.DAY)
    plot(tmp_path / "two.svg", ILL, Window.DAY)
    drawn = (tmp_path / "one.svg").read_text()
    for text in ("Score over the last day", "Success of live calls by tool (day)", "Latency of live calls", "Reliability",
                 "send_email (45/80)", "EXCELLENT", "as stated"):  # fmt: skip
        assert text in drawn
    assert "no data" not in drawn.replace("some of it has no data", "")
    assert (tmp_path / "two.svg").read_text() == drawn
    plot(tmp_path / "none.svg", NOTHING, Window.ALL)
    assert (tmp_path / "none.svg").read_text().count(">no data<") == 4
    plot(tmp_path / "one.png", ILL, Window.ALL)
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_cannot_be_written_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match=r"ends in \.svg or \.png"):
        usable(tmp_path / "picture.gif")
    with pytest.raises(Refusal, match="cannot be written"):
        usable(tmp_path / "nowhere" / "picture.svg")
    usable(tmp_path / "picture.SVG")
    (tmp_path / "taken.svg").mkdir()
    with pytest.raises(Refusal, match=r"cannot be written: .*taken\.svg: Is a directory"):
        plot(tmp_path / "taken.svg", WELL, Window.DAY)


def test_in_the_picture_the_slowest_tool_is_first_names_are_as_they_are_and_gaps_stay_gaps(tmp_path: Path) -> None:
    slow = observe(call(tool="cost_$a$", seconds=9.0) for _ in range(3))
    fast = observe(call(tool="fast", seconds=0.01) for _ in range(3))
    plot(tmp_path / "one.svg", counted((9, slow), (4, fast + slow)), Window.DAY)
    drawn = (tmp_path / "one.svg").read_text()
    latency = drawn[drawn.index("milliseconds, logarithmic") :]
    assert latency.index(">cost_$a$<") < latency.index(">fast<")
    line = re.search(r'<path d="([^"]*)" clip-path="[^"]*" style="fill: none; stroke: #0b69a3', drawn)
    assert line is not None
    assert (line[1].count("M"), line[1].count("L")) == (2, 0), "two hours with others between them are no line"


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(Refusal, match="cannot be drawn") as refused:
        plot(tmp_path / "picture.svg", WELL, Window.DAY)
    assert refused.value.problems[0].fix == "pip install 'airlock-temporal[plot]'"
    assert list(tmp_path.iterdir()) == []
