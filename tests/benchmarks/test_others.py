"""Airlock next to other systems: its own side at the smallest size; theirs only where `make peers` has run."""

import asyncio
import json
import re
from collections import Counter
from dataclasses import replace

import pytest

from benchmarks import contestants, killed, others, report
from benchmarks.contestants import AIRLOCK, FLOOR, LOOP, SYSTEMS, Place, place
from benchmarks.effects import Effect, Log, ask, call, effects
from benchmarks.killed import Aftermath
from devtools import peers

PEERS = [system for system in SYSTEMS if system.peer]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "FOLDER", tmp_path / "bench")
    return tmp_path / "bench"


async def test_the_log_of_effects_holds_each_call_and_tells_whether_one_was_made():
    async with effects() as log:
        await asyncio.gather(*(call(log.port, "run", number) for number in (0, 1, 1)))
        assert log.times("run") == Counter({1: 2, 0: 1})
        assert await ask(log.port, "made", "run", 1) == 2
        assert await ask(log.port, "made", "run", 7) == 0
        assert len(log.effects) == 3, "a question is no call"


async def test_the_floor_airlock_and_a_loop_make_the_same_calls(folder, monkeypatch):
    monkeypatch.setattr(peers, "python", lambda: None)
    shapes = ((3, True, 1), (2, False, 2))
    samples = await others.main(1, (FLOOR, AIRLOCK, LOOP, contestants.DBOS_SQLITE), shapes)
    assert Counter(each.system for each in samples) == {FLOOR.name: 6, AIRLOCK.name: 6, LOOP.name: 6}
    assert all(each.clock > 0 for each in samples)
    saved = json.loads((folder / "others.json").read_text())
    times, *_ = saved["tables"]
    assert [row[0] for row in times["rows"]] == [AIRLOCK.name, LOOP.name, "the floor itself, ms"]
    assert saved["tables"][-1]["rows"] == [["DBOS, SQLite", "its packages are not here: make peers"]]
    assert {path.name for path in folder.glob("*.svg")} == {"others-clock.svg", "others-cpu.svg"}


class Answers:
    """A contestant whose calls have been made already."""

    def __init__(self, log, made):
        self.system = LOOP
        self._log, self._made = log, made

    async def order(self, **order):
        self._log.effects += [Effect(f"{order['name']}-0", number, 1.0) for number in self._made]
        return {"began": 0.0, "ended": 2.0, "cpu": 0.1, "asked": 0.2, "approved": 0.5}


@pytest.mark.parametrize("made", [(0, 1, 1), (0,), ()])
async def test_a_run_that_repeats_or_loses_a_call_is_no_result(tmp_path, made):
    log = Log()
    with pytest.raises(SystemExit, match="the calls are"):
        await others.run(Place(log, tmp_path), Answers(log, made), (2, False, 1), "x", 0)


async def test_the_parts_of_a_turn_add_up(tmp_path):
    log = Log()
    sample = await others.run(Place(log, tmp_path), Answers(log, (0, 1)), (2, False, 1), "x", 0)
    assert (sample.to_question, sample.to_first_call, sample.calls, sample.to_end) == (0.2, 0.5, 0.0, 1.0)
    assert sample.clock == 2.0


def test_ratios_are_taken_within_a_round():
    def sample(system, number, clock):
        return others.Sample(system, (1, False, 1), number, clock, *[0.0] * 5)

    samples = [sample(FLOOR.name, 0, 1.0), sample("x", 0, 2.0), sample(FLOOR.name, 1, 10.0), sample("x", 1, 30.0)]
    assert others.paired(samples, "x", (1, False, 1), "clock") == [2.0, 3.0]
    assert others.paired(samples, "y", (1, False, 1), "clock") == []
    sheet = others.ratios(samples, ["x", "y"], ((1, False, 1),), "clock", "Turns")
    assert sheet.rows == [["x", "2.50 (2.00-3.00)"], ["y", "?"], ["the floor itself, ms", "5,500 (1,000-10,000)"]]


def test_the_aftermath_tells_repeated_calls_from_lost_ones():
    found = Aftermath("x", "completed", killed.made(Counter({0: 2, 1: 2, 2: 2, 3: 1, 4: 3})), 1.0)
    assert (found.repeated, found.lost) == ((1, 2, 3, 5), (6, 7, 8, 9, 10))
    assert [killed.numbers(each) for each in ((1, 2, 3, 5), (6, 7, 8), (5,), ())] == ["1, 2, 3, 5", "6-8", "5", "none"]


def test_a_system_whose_kills_end_in_two_ways_has_two_rows():
    kills = [Aftermath("x", "completed", killed.made(Counter(dict.fromkeys(range(10), 1) | {4: 2})), 1.0)] * 2
    kills.insert(1, Aftermath("x", "completed", killed.made(Counter(dict.fromkeys(range(10), 1) | {3: 2, 4: 2})), 3.0))
    sheet = killed.sheet(kills, {"y": "no packages"})
    assert [list(row) for row in sheet.rows] == [
        ["x", "2 of 3", "5", "none", "completed", "1 (1-1)"],
        ["x", "1 of 3", "4-5", "none", "completed", "3 (3-3)"],
        ["y", "0", "?", "?", "not measured: no packages", "?"],
    ]
    assert killed.worst(kills) == [("x", (1, 1, 1, 2, 2, 1, 1, 1, 1, 1))]


async def test_a_killed_loop_repeats_what_it_had_done():
    (found,) = await killed.main(1, (LOOP,))
    assert (found.repeated, found.lost) == ((1, 2, 3, 4, 5), ())


async def test_a_killed_worker_of_airlock_repeats_and_loses_nothing_and_a_human_is_asked(folder):
    (found,) = await killed.main(1, (replace(AIRLOCK, variant="irreversible"),))
    assert found.made == (1,) * killed.CALLS
    assert found.outcome == "completed, after a human was asked about s4"
    assert (folder / "killed.svg").is_file()


def test_every_package_of_the_other_systems_is_pinned():
    lines = [line for line in peers.REQUIREMENTS.read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9._-]+==[0-9][a-z0-9.]*", line, re.IGNORECASE) for line in lines)
    assert {line.partition("==")[0] for line in lines} >= set(contestants.PACKAGES)


def test_an_environment_of_other_requirements_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(peers, "FOLDER", tmp_path)
    monkeypatch.setattr(peers, "_INSTALLED", tmp_path / "installed.txt")
    assert peers.python() is None
    (tmp_path / "installed.txt").write_bytes(peers.REQUIREMENTS.read_bytes())
    assert peers.python() == tmp_path / "bin" / "python"
    (tmp_path / "installed.txt").write_text("dbos==0.1\n")
    assert peers.python() is None


@pytest.mark.parametrize("system", PEERS, ids=lambda system: system.name)
async def test_another_system_makes_each_call_once(system):
    if system.missing:
        pytest.skip(f"{system.name}: {system.missing}")
    async with place((system,)) as where:
        samples = await others.visit(where, system, ((2, False, 1), (3, True, 2)), 0)
    assert len(samples) == 6
