"""Every benchmark of Airlock alone, at its smallest: it runs to its end and saves a table. No time is asserted."""

import json

import pytest

from benchmarks import contention, cost, lock, monitor, occupying, report, startup, turn
from benchmarks.occupying import Diary


@pytest.fixture(autouse=True)
def saved(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "FOLDER", tmp_path)
    diary = Diary()
    for module in (occupying, contention, lock):
        monkeypatch.setattr(module, "DIARY", diary)

    def rows(name):
        (table,) = json.loads((tmp_path / f"{name}.json").read_text())["tables"]
        return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]

    return rows


async def test_a_turn_next_to_the_floor(saved, tmp_path):
    await turn.main(((1, False, 1), (2, True, 1)), runs=1, file=str(tmp_path / "named.json"))
    assert [(row["steps"], row["shape"]) for row in saved("turn")] == [
        ("1", "one"), ("2", "parallel"), ("1", "one waived read")
    ]  # fmt: skip
    assert (tmp_path / "turn.svg").is_file()
    assert (tmp_path / "named.json").read_text() == (tmp_path / "turn.json").read_text()


async def test_the_cost_of_a_plan(saved):
    await cost.main((1,), repeats=1)
    parallel, sequential = saved("cost")
    assert parallel["actions"] == sequential["actions"] == "7", "tests/workflows/test_server_counts.py counts them too"


async def test_a_contended_resource(saved, monkeypatch):
    monkeypatch.setattr(contention, "SECONDS", (0.1, 0.2))
    await contention.main(3)
    assert saved("contention")[0]["calls at once"] == "1"


async def test_the_system_lock(saved, monkeypatch):
    monkeypatch.setattr(lock, "SECONDS", (0.1, 0.2))
    await lock.main(2, repeats=1)
    assert [row["run"] for row in saved("lock")] == ["1"]


async def test_a_monitor_under_load(saved):
    await monitor.main(30)
    assert [row["part"] for row in saved("monitor")] == ["1", "2", "3"]


def test_the_start_of_a_command_line(saved):
    startup.main((("--version",),), runs=1)
    assert saved("startup")[0]["line"] == "airlock --version"
