"""The screens of `health` and `signals`, from counts, without a server: values, gaps, evidence, and what to do."""

import pytest

from airlock.cli.display.health_screens import health_line, health_screen, print_screen
from airlock.cli.display.sparkline import ASCII_BARS, BARS, sparkline
from airlock.cli.signals import signals_screen
from airlock.client.monitors import health_report, signals_report
from airlock.gates.protocol import AnomalyKind, LockWish
from airlock.monitoring.observation import observe
from airlock.monitoring.rolling import Window
from tests.cli.counted_hours import ILL, NOTHING, PLANS, WELL, counted, health_of, hour, told
from tests.core.counting import AT, call


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


def test_locks_that_monitors_asked_for_are_shown() -> None:
    wish = LockWish(at=AT, kind=AnomalyKind.HIGH_CONFLICT, severity=8, reason="high_conflict: 8 of 10\nHealth: 100")
    said = told(health_screen(health_report(WELL.model_copy(update={"wishes": (wish,)}), Window.DAY)))
    assert "  2026-03-01 12:34:56 UTC  high_conflict: 8 of 10 Health: 100\n" in said
