"""Health of several monitors: merged exactly, all of them or an error, and followed by `--watch`."""

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.service import RPCError, RPCStatusCode

from airlock.base.names import monitor_id
from airlock.cli import health
from airlock.cli.display.health_screens import health_screen
from airlock.client import NoAnswer
from airlock.client.monitors import Monitors, NoMonitor, health_report
from airlock.gates.protocol import AnomalyKind, LockWish
from airlock.monitoring.aggregation import Stage
from airlock.monitoring.monitor import Monitor
from airlock.monitoring.rolling import Window
from tests.cli.counted_hours import PLANS, hour, told
from tests.core.counting import AT, report


class FakeMonitors:
    """A client whose monitors answer what they are told to."""

    def __init__(self, answers: Mapping[str, Any], listed: tuple[str, ...]) -> None:
        self.answers = answers
        self.listed = listed
        self.namespace = "default"
        self.workflow_service = self

    async def list_workflow_executions(self, request: Any, retry: bool) -> Any:
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


async def test_what_a_monitor_counted_by_a_clock_that_is_ahead_has_happened() -> None:
    monitor, ahead = Monitor(), datetime.now(UTC) + timedelta(hours=3)
    monitor.count([report(hour(0, 3, 4, **PLANS)[1], at=ahead)], ahead)
    found = await monitors({"monitor-0": monitor.health("monitor-0", ahead)}).counted()
    assert health_report(found, Window.HOUR).health.samples.calls == 4
