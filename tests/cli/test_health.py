"""`health`, `signals` and the picture: from snapshots, without a server; then against a real one, as a person runs them."""

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from rich.console import Console, RenderableType
from temporalio.service import RPCError, RPCStatusCode

from airlock.admission.conflicts.conflict import ConflictKind
from airlock.base.names import monitor_id
from airlock.cli import health
from airlock.cli.display.health_screens import health_line, health_screen, print_screen
from airlock.cli.display.plot import plot, usable
from airlock.cli.display.sparkline import ASCII_BARS, BARS, sparkline
from airlock.cli.output import Refusal
from airlock.cli.signals import signals_screen
from airlock.client import Airlock, NoAnswer
from airlock.client.monitors import CountedTotals, Monitors, NoMonitor, health_report, signals_report
from airlock.gates.protocol import AnomalyKind, LockWish
from airlock.monitoring.aggregation import Aggregate, Decision, Stage
from airlock.monitoring.monitor import Monitor
from airlock.monitoring.observation import observe
from airlock.monitoring.rolling import Window, Windows
from airlock.plans.state import State
from devtools.environment import ROOT, Environment, environment
from tests.cli.conftest import CTRL_C, NO_SERVER, Starter, note_plan, run_starter, starter_on_terminal
from tests.core.counting import AT, call, report
from tests.docs.fences import fences, lines
from tests.docs.installed import command_folders

DOCUMENT = ROOT / "docs" / "guides" / "health.md"


def told(what: RenderableType, *, width: int = 160, terminal: bool = False) -> str:
    """Return the text that a console prints of it."""
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=terminal, highlight=False, markup=False, emoji=False).print(what)
    return file.getvalue()


def hour(back: int, ok: int, calls: int, **more: Any) -> tuple[int, Aggregate]:
    """Return the counts of one hour: live calls of which so many worked, and plans."""
    found = observe([*(call(index < ok, "send_email", seconds=0.2, matched=True) for index in range(calls))])
    return back, found + Aggregate(reports={Stage.LIVE: 1}, **more)


def counted(*hours: tuple[int, Aggregate], shards: int = 1) -> CountedTotals:
    windows = Windows()
    for number, (back, facts) in enumerate(hours):
        at = AT - timedelta(hours=back)
        windows = windows.counting(report(facts, number, at), at)
    return CountedTotals(at=AT, monitors=tuple(monitor_id(shard) for shard in range(shards)), windows=windows)


PLANS: Mapping[str, Any] = {"rehearsals": 10, "ended_live": 10, "clean": 10, "decided": {Decision.APPROVED: 10}}
WELL = counted(hour(2, 40, 40, **PLANS))
ILL = counted(
    hour(20, 40, 40, **PLANS),
    hour(
        0, 5, 40, rehearsals=10, conflicted=10, conflicted_by={ConflictKind.RESOURCE: 10}, ended_live=10, rolled_back=6,
        clean=3, decided={Decision.APPROVED: 10},
    ),
)  # fmt: skip
NOTHING = counted(shards=2)


def health_of(known: CountedTotals, window: Window = Window.DAY, **how: Any) -> str:
    return told(health_screen(health_report(known, window)), **how)


@pytest.mark.parametrize(
    ("values", "top", "drawn"),
    [
        ([0.0, 0.5, 1.0], 1.0, "▁▅█"),
        ([None, 0.0, None], 1.0, "·▁·"),
        ([-1.0, 2.0], 1.0, "▁█"),
        ([0.0, 12.5, 50.0, 100.0], 100.0, "▁▂▅█"),
        ([], 1.0, ""),
    ],
)
def test_a_sparkline_has_a_fixed_scale_and_gaps(values: list[float | None], top: float, drawn: str) -> None:
    assert sparkline(values, top) == drawn
    assert len(BARS) > len(ASCII_BARS) - 2
    assert sparkline(values, top, ASCII_BARS).isascii()


def test_all_eight_metrics_with_value_trend_and_range() -> None:
    said = health_of(ILL)
    rows = {line.split()[0]: line for line in said.splitlines() if line.strip()}
    # of the day: 45 of 80 calls; of its two hours with data: 40 of 40 twenty hours ago, 5 of 40 now
    assert rows["tool_success_rate"].split() == ["tool_success_rate", "56.2", "%", "···█" + "·" * 19 + "▂", "12-100", "%"]
    assert rows["rollback_frequency"].split() == ["rollback_frequency", "30.0", "%", "···▁" + "·" * 19 + "▅", "0-60", "%"]
    assert "50.0 %" in rows["conflict_rate"]
    assert "100.0 %" in rows["live_execution_ratio"]
    assert "100.0 %" in rows["approval_rate"]
    assert "38.7 %" in rows["confidence_drift"]  # |0.95 - 45/80|
    assert rows["execution_latency_ms"].split()[1:5:2] == ["p50", "p95"]
    # 30·45/80 + 15·0.7 + 15·0.5 + 10·(1-0.3875) + 30·13/20 = 16.875 + 10.5 + 7.5 + 6.125 + 19.5
    assert "60.50" in rows["system_health_score"]
    assert said.startswith("Health: 60.50 FAIR  (the last day)\n")
    assert "It rests on 80 live calls, 20 plans admitted, 20 runs that ended after LIVE, 20 decisions of people" in said


def test_anomalies_come_with_evidence_and_what_to_do_and_worst_tools_with_how_sure() -> None:
    said = health_of(ILL)
    assert "Anomalies, the gravest first:" in said
    for kind, severity in (("repeated_failures", 8), ("high_conflict", 8), ("unsafe_escalation", 7), ("high_rollback", 6)):
        assert f"  {kind}  severity {severity} of 10, the last hour: " in said
    assert "5 of 40 live calls worked; worst: send_email 5 of 40" in said
    assert said.count("    what to do: ") == 4
    assert "send_email  45 of 80" in said
    assert "anomalies: high_conflict (severity 8), repeated_failures (severity 8)" in told(
        health_line(health_report(ILL, Window.HOUR))
    )


def test_no_data_is_said_as_no_data() -> None:
    said = health_of(NOTHING)
    assert said.startswith("Health: no data  (the last day)\nNo plan has reported yet to monitor-0, monitor-1.\n")
    rows = [line for line in said.splitlines() if "_" in line.split(" ")[0]]
    assert len(rows) == 8
    assert all(line.split()[1:] == ["no", "data", "no", "data"] for line in rows)
    assert "0 of 20 live calls, 0 of 10 plans admitted, 0 of 10 runs that ended after LIVE" in said
    assert "Worst tools: no data: no live calls." in said
    assert "100" not in said.replace("100 %", "")
    learned = told(signals_screen(signals_report(NOTHING)))
    assert "no plan has reported yet" in learned
    assert learned.count("no data") == 2


def test_a_window_in_which_nothing_happened_is_not_the_last_one_in_which_something_did() -> None:
    said = health_of(WELL, Window.HOUR)
    assert said.startswith("Health: no data  (the last hour)\nNothing was reported in the last hour")
    assert health_of(WELL).startswith("Health: ")
    assert "no data" not in health_of(WELL).split("metric")[0]
    assert "Worst tools: none: all 40 live calls worked." in health_of(WELL)
    assert "Anomalies: none found.\n\n" in health_of(WELL), "there was enough to look for all of them"


def test_a_score_that_misses_parts_says_between_what_it_is() -> None:
    said = health_of(counted(hour(0, 40, 40)))
    assert said.startswith("Health: 69.50 FAIR  (the last day)  between 39.50 and 99.50, because some of it has no data yet")


def test_colours_only_on_a_terminal_and_rows_that_fit_one() -> None:
    assert "\x1b" not in health_of(ILL)
    assert "\x1b" in health_of(ILL, terminal=True)
    narrow = health_of(ILL, width=80).splitlines()
    (row,) = [line for line in narrow if line.startswith("tool_success_rate")]
    assert "···█···················▂  12-100 %" in row


def test_tools_of_others_make_neither_lines_nor_markup() -> None:
    bad = observe(call(False, "[red]x[/]\nHealth: 100.00 EXCELLENT\x1b[2J") for _ in range(30))
    for said in (health_of(counted((0, bad))), told(signals_screen(signals_report(counted((0, bad)))))):
        assert "\nHealth: 100" not in said
        assert "\x1b" not in said
        assert "[red]x[/]" in said


def test_signals_say_what_was_seen_how_surely_and_for_whom() -> None:
    said = told(signals_screen(signals_report(ILL)), width=400)
    assert "TOOL_RELIABILITY  send_email fails more often than agents think: 45 of 80 live calls worked" in said
    assert "observed 56.2 % of 80 (the last day; 95 % sure between 45.3 % and 66.6 %), compared with 90.0 %" in said
    assert "(for: reward model)" in said
    assert "CONFLICT_PATTERN" in said
    assert "(for: meta-learning)" in said
    assert "Calibration of stated confidence: 80 live calls" in said
    assert "send_email  80 of 80  100.0 %" in said.split("Fidelity of dry runs")[1]
    quiet = told(signals_screen(signals_report(WELL)))
    assert "none. A signal takes 30 calls of a tool, or 20 plans, and a certainty of 99%." in quiet


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


class FakeMonitors:
    """A client whose monitors answer what they are told to."""

    def __init__(self, answers: Mapping[str, Any], listed: tuple[str, ...]) -> None:
        self.answers = answers
        self.listed = listed
        self.namespace = "default"
        self.workflow_service = self

    async def list_workflow_executions(self, request: Any) -> Any:
        found = [SimpleNamespace(execution=SimpleNamespace(workflow_id=name)) for name in self.listed]
        return SimpleNamespace(executions=found)

    def get_workflow_handle(self, name: str) -> Any:
        async def query(asked: str, **_: Any) -> Any:
            if isinstance(self.answers[name], Exception):
                raise self.answers[name]
            return self.answers[name]

        return SimpleNamespace(query=query)


def monitors(answers: Mapping[str, Any], listed: tuple[str, ...] | None = None) -> Monitors:
    client: Any = FakeMonitors(answers, tuple(answers) if listed is None else listed)
    return Monitors(client)


def snapshot(shard: int, reports: int, *, refused: int = 0) -> Any:
    """Return the answer of a monitor that has counted so many reports, each with calls, one every 20 minutes."""
    monitor = Monitor()
    now = datetime.now(UTC)
    for number in range(reports):
        at = now - timedelta(minutes=20 * number)
        monitor.count([report(hour(0, shard + 1, 4, **PLANS)[1], 100 * shard + number, at)], now)
    for _ in range(refused):
        monitor.refuse("report", "no reports", now)
    return monitor.health(monitor_id(shard), now)


async def test_several_monitors_are_merged_exactly() -> None:
    parts = {monitor_id(shard): snapshot(shard, 5, refused=shard) for shard in range(3)}
    found = await monitors(parts, listed=("monitor-1", "monitor-2")).counted()
    assert found.monitors == ("monitor-0", "monitor-1", "monitor-2")
    seen = health_report(found, Window.ALL)
    assert seen.health.samples.calls == 3 * 5 * 4
    assert seen.health.metrics.tool_success_rate == (1 + 2 + 3) * 5 / (3 * 5 * 4)
    assert seen.reports == {Stage.LIVE: 15}
    assert seen.refused == 3
    assert "3 signals to monitors made no sense" in told(health_screen(seen))
    assert found.latest == datetime.fromtimestamp(max(part.windows.latest for part in parts.values()), UTC)


async def test_a_part_never_passes_for_the_whole() -> None:
    gone = RPCError("Timeout expired", RPCStatusCode.DEADLINE_EXCEEDED, b"")
    with pytest.raises(NoAnswer, match="no worker answered for monitor-1; is one running"):
        await monitors({"monitor-0": snapshot(0, 1), "monitor-1": gone}).counted()
    missing = RPCError("workflow not found", RPCStatusCode.NOT_FOUND, b"")
    with pytest.raises(NoMonitor, match="there is no monitor-0, so nothing is counted: start a worker"):
        await monitors({"monitor-0": missing}, listed=()).counted()


async def test_watch_says_that_nobody_answers_once_and_that_it_is_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(health, "_EVERY", 0.0)
    answers: dict[str, Any] = {"monitor-0": snapshot(0, 2)}
    changes = health._changes(monitors(answers), Window.ALL)
    first = await anext(changes)
    answers["monitor-0"] = gone = RPCError("Timeout expired", RPCStatusCode.DEADLINE_EXCEEDED, b"")
    waiting = asyncio.ensure_future(anext(changes))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done()
    assert gone.message in capsys.readouterr().err
    for _ in range(20):
        await asyncio.sleep(0)
    assert capsys.readouterr().err == "", "once is enough"
    answers["monitor-0"] = snapshot(0, 2)
    assert (await waiting).health == first.health
    answers["monitor-0"] = snapshot(0, 3)
    assert (await anext(changes)).health != first.health


def test_in_a_pipe_a_line_stays_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    tools = [f"{letter * 50}" for letter in "abc"]
    failing = observe(call(False, tool) for tool in tools for _ in range(20))
    print_screen(health_screen(health_report(counted((0, failing)), Window.DAY)))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "unsafe_escalation" in line]
    assert len(line) > 160
    assert all(f"{tool} 0 of 20" in line for tool in tools)


@pytest.mark.parametrize(
    ("calls", "rehearsals", "ended", "enough"),
    [(20, 10, 10, True), (19, 10, 10, False), (20, 9, 10, False), (20, 10, 9, False)],
)
def test_that_nothing_was_found_is_only_said_alone_where_enough_happened(
    calls: int, rehearsals: int, ended: int, enough: bool
) -> None:
    some = counted(hour(2, calls, calls, **{**PLANS, "rehearsals": rehearsals, "ended_live": ended, "clean": ended}))
    for window in Window:  # anomalies are looked for in the last day whatever window is shown
        said = health_of(some, window)
        assert "Anomalies: none found." in said
        assert ("Too little happened in the last day" not in said) is enough


def test_the_worst_tools_are_those_of_the_window() -> None:
    mended = counted(
        (20, observe(call(False, "once_bad") for _ in range(9))), (0, observe(call(tool="good") for _ in range(9)))
    )
    assert "once_bad  0 of 9" in health_of(mended, Window.DAY)
    assert "Worst tools: none: all 9 live calls worked." in health_of(mended, Window.HOUR)


async def test_the_latest_wishes_of_all_monitors_are_shown_in_their_order() -> None:
    parts = {monitor_id(shard): snapshot(shard, 1) for shard in range(2)}
    for shard, name in enumerate(parts):
        wishes = tuple(
            LockWish(at=AT + timedelta(minutes=2 * number + shard), kind=AnomalyKind.HIGH_ROLLBACK, severity=9 - number,
                     reason=f"wish {number} of {shard}")
            for number in range(3)
        )  # fmt: skip
        parts[name] = parts[name].model_copy(update={"wishes": wishes})
    said = told(health_screen(health_report(await monitors(parts).counted(), Window.ALL)))
    assert re.findall(r"wish \d of \d", said) == ["wish 1 of 1", "wish 2 of 0", "wish 2 of 1"]


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


def test_locks_that_monitors_asked_for_are_shown() -> None:
    wish = LockWish(at=AT, kind=AnomalyKind.HIGH_CONFLICT, severity=8, reason="high_conflict: 8 of 10\nHealth: 100")
    said = told(health_screen(health_report(WELL.model_copy(update={"wishes": (wish,)}), Window.DAY)))
    assert "  2026-03-01 12:34:56 UTC  high_conflict: 8 of 10 Health: 100\n" in said


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(Refusal, match="cannot be drawn") as refused:
        plot(tmp_path / "picture.svg", WELL, Window.DAY)
    assert refused.value.problems[0].fix == "pip install 'airlock-temporal[plot]'"
    assert list(tmp_path.iterdir()) == []


async def test_what_a_monitor_counted_by_a_clock_that_is_ahead_has_happened() -> None:
    monitor, ahead = Monitor(), datetime.now(UTC) + timedelta(hours=3)
    monitor.count([report(hour(0, 3, 4, **PLANS)[1], at=ahead)], ahead)
    found = await monitors({"monitor-0": monitor.health("monitor-0", ahead)}).counted()
    assert health_report(found, Window.HOUR).health.samples.calls == 4


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--plot", "picture.gif"), 2, "ends in .svg or .png"),
        (("--watch", "--plot", "picture.svg"), 2, "either --watch or --plot"),
        (("--window", "week"), 2, "'week' is not one of"),
        ((), 1, "Temporal does not answer at 127.0.0.1:1"),
    ],
)
def test_what_is_wrong_with_a_command_is_said_in_json_too(options: tuple[str, ...], code: int, told: str) -> None:
    said = run_starter("health", *options, "--json", environment={**os.environ, **NO_SERVER})
    assert said.code == code
    assert told in said.json["error"]


def test_the_document_shows_what_is_printed() -> None:
    (shown,) = [fence for fence in fences("text", paths=[DOCUMENT]) if fence.text.startswith("Health: ")]
    printed = [line.rstrip() for line in health_of(ILL).splitlines()]
    expected = [line for line in shown.text.splitlines() if line != "..."]
    assert len(expected) > 8
    assert [line for line in expected if line not in printed] == []


@pytest.fixture(scope="module")
async def env(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Environment]:
    """Yield an environment of its own, whose monitor has counted nothing but these tests' plan.

    It begins without a worker.
    """
    async with environment(tmp_path_factory.mktemp("health") / "env", worker=False) as running:
        yield running


async def live_plan(airlock: Airlock, plan_id: str) -> None:
    handle = await airlock.submit(note_plan(plan_id))
    status = await handle.wait_for(State.AWAITING_APPROVAL)
    assert (await handle.decide("approve", by="alice", digest=status.digest)).accepted
    assert (await handle.result()).outcome == "completed"


async def calls_counted(airlock: Airlock, number: int) -> None:
    """Wait until the monitor has counted so many live calls."""
    deadline = time.monotonic() + 120
    while (found := (await Monitors(airlock.client).health()).health.samples.calls) < number:
        assert time.monotonic() < deadline, f"{found} live calls were counted"
        await asyncio.sleep(0.1)
    assert found == number


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_as_a_person_runs_them(starter: Starter, tmp_path: Path) -> None:
    airlock = Airlock(starter.env.client)
    nobody = await starter("health")
    assert (nobody.code, nobody.out) == (1, "")
    assert "there is no monitor-0, so nothing is counted: start a worker, which starts it" in nobody.err
    assert (await starter("signals", "--json")).json["error"].startswith("there is no monitor-0")

    await starter.env.start_worker()
    none_yet = await starter("health")
    assert (none_yet.code, none_yet.err) == (0, "")
    assert none_yet.out.startswith("Health: no data  (the last day)\nNo plan has reported yet to monitor-0.\n")

    watching = await watch_in_pipe(starter.env)
    await live_plan(airlock, "health-1")
    await calls_counted(airlock, 2)
    said = await starter("health")
    assert (said.code, said.err) == (0, "")
    assert "It rests on 2 live calls, 1 plan admitted, 1 run that ended after LIVE, 1 decision of people" in said.out
    assert "\x1b" not in said.out
    old = {**starter.env.cli_environment, "PYTHONIOENCODING": "ascii"}
    plain = await asyncio.to_thread(run_starter, "health", environment=old)
    assert (plain.code, plain.err) == (0, "")
    assert re.search(r"^tool_success_rate +100\.0 % +@  100 %", plain.out, re.MULTILINE)
    seen = (await starter("health", "--window", "all", "--json")).json
    assert (seen["window"], seen["monitors"]) == ("all", ["monitor-0"])
    assert seen["health"]["metrics"]["tool_success_rate"] == 1.0
    assert seen["health"]["samples"] == {"calls": 2, "rehearsals": 1, "ended_live": 1, "decisions": 1}
    assert seen["reports"] == {"rehearsal": 1, "live": 1}
    assert "Calibration of stated confidence: 2 live calls" in (await starter("signals")).out
    await watched_to_the_end(watching, "2 live calls  anomalies: none")
    await every_command_of_the_document(starter.env, tmp_path)

    on_terminal = await asyncio.to_thread(
        starter_on_terminal, "health", "--watch", environment=starter.env.cli_environment, typed=CTRL_C, after="Worst tools"
    )
    assert on_terminal.code == 130
    assert "\x1b[" in on_terminal.out

    await starter.env.stop_worker()
    silent = await starter("health", "--json")
    assert silent.code == 1
    assert silent.json["error"].startswith("no worker answered for monitor-0; is one running?")


async def watch_in_pipe(env: Environment) -> subprocess.Popen[str]:
    """`health --watch`, with a pipe to read from; it has said its first line."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "starter.py"), "health", "--watch"],
        cwd=ROOT, env=env.cli_environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    first = await asyncio.to_thread(process.stdout.readline)
    assert "  no data  0 live calls  anomalies: none" in first
    return process


async def watched_to_the_end(process: subprocess.Popen[str], wanted: str) -> None:
    assert process.stdout is not None
    with process:
        said = ""
        while wanted not in said:
            said = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 120)
            assert said, "it ended before it said so"
        process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(process.wait, 60) == 130


async def every_command_of_the_document(env: Environment, folder: Path) -> None:
    """The commands of docs/guides/health.md work as they stand there; pictures land where they say."""
    found = [line for fence in fences("sh", paths=[DOCUMENT]) for line in lines(fence)]
    assert len(found) >= 7
    path = os.pathsep.join([*command_folders(), env.cli_environment["PATH"]])
    variables = {**env.cli_environment, "PATH": path, "PYTHONPATH": str(ROOT)}
    for line in found:
        done = await asyncio.to_thread(
            subprocess.run, ["bash", "-euo", "pipefail", "-c", line], cwd=folder, env=variables, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), line
        if "--json" in line:
            assert json.loads(done.stdout)
    assert "send_email" not in (folder / "health.svg").read_text()
    assert "file_write (2/2)" in (folder / "health.svg").read_text()
    assert (folder / "health.png").stat().st_size > 10_000
