"""The counts of some hours of a monitor, well, ill and empty, and the text of a screen of them."""

import io
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rich.console import Console, RenderableType

from airlock.admission.conflicts.conflict import ConflictKind
from airlock.base.names import monitor_id
from airlock.cli.display.health_screens import health_screen
from airlock.client.monitors import CountedTotals, health_report
from airlock.monitoring.aggregation import Aggregate, Decision, Stage
from airlock.monitoring.observation import observe
from airlock.monitoring.rolling import Window, Windows
from tests.core.counting import AT, call, report


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
