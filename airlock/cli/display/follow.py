"""The display of plans that are followed: bars on a terminal, lines elsewhere, JSON lines for programs."""

import asyncio
import shlex
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from airlock.base.model import WireModel
from airlock.cli.display.hints import status_as_started
from airlock.cli.display.screens import state_style
from airlock.cli.display.status_screens import settled
from airlock.cli.output import console, emit_line, safe
from airlock.client import NoAnswer, PlanFacts, PlanHandle
from airlock.client.listing import RUNNING
from airlock.client.plan_handle import ENDED_CHECK
from airlock.plans.state import State
from airlock.program import program
from airlock.run.outcome import Outcome
from airlock.run.presentation.views import StatusView, rehearsal_failed

GOOD_OUTCOMES = (Outcome.COMPLETED.value, Outcome.PARTIAL.value, Outcome.REHEARSED.value)
_EVERY = 0.2


class Snapshot(WireModel):
    """The state of one plan at one moment."""

    plan_id: str
    state: str | None
    outcome: str | None = None
    ended: bool = False
    done: int = 0
    """The number of steps whose live call has ended."""
    total: int = 0
    why: str = ""
    waits_for: str = ""
    digest: str | None = None
    approve_command: str | None = None
    rehearsal_failed: bool = False
    """True if a mock or a dry run failed, and so nothing could go live."""
    answered: bool = True
    """True if a worker answered; False if the state is what Temporal itself knows."""

    @property
    def good(self) -> bool:
        """True if the plan ended as its submitter wanted: completed, partial, or rehearsed without a failure."""
        return self.ended and self.outcome in GOOD_OUTCOMES and not self.rehearsal_failed


def snapshot(status: StatusView) -> Snapshot:
    """Return the snapshot of a status."""
    return Snapshot(
        plan_id=status.plan_id,
        state=status.state.value,
        outcome=status.outcome.value if status.outcome else None,
        ended=status.outcome is not None or status.state.closed,
        done=settled(status.steps),
        total=len(status.steps),
        why=status.why,
        waits_for=status.waits_for,
        digest=status.digest,
        approve_command=status.approve_command,
        rehearsal_failed=rehearsal_failed(status),
    )


def snapshot_of_facts(facts: PlanFacts) -> Snapshot:
    """Return a snapshot of Temporal's own facts, for when no worker answers or the run was closed from outside."""
    summary = facts.summary
    what = "no worker answers" if summary.open else "the run is closed"
    what += "" if summary.status == RUNNING else f": Temporal says {summary.status}"
    steps = facts.result.steps if facts.result else ()
    return Snapshot(
        plan_id=summary.plan_id,
        state=summary.state,
        outcome=facts.result.outcome.value if facts.result else summary.outcome,
        ended=not summary.open,
        done=settled(steps),
        total=len(steps),
        why=facts.result.why if facts.result else what,
        waits_for="a worker" if summary.open else "nothing, it has ended",
        rehearsal_failed=facts.result is not None and rehearsal_failed(facts.result),
        answered=False,
    )


async def snapshots(handle: PlanHandle, every: float = _EVERY) -> AsyncIterator[Snapshot]:
    """Yield the plan's snapshot each time it changes; the last one once the plan has ended, in any way.

    Args:
        handle: The plan.
        every: Seconds between queries.

    Raises:
        NoSuchPlan: If there is no such plan.
    """
    last: Snapshot | None = None
    news = time.monotonic()
    while True:
        try:
            seen = snapshot(status_as_started(await handle.status()))
        except NoAnswer:
            seen = snapshot_of_facts(await handle.facts(last=1))
        if seen.answered and not seen.ended and time.monotonic() - news > ENDED_CHECK:
            news = time.monotonic()
            facts = await handle.facts(last=1)
            seen = seen if facts.summary.open else snapshot_of_facts(facts)  # terminated: no status will say so
        if seen != last:
            yield seen
            last, news = seen, time.monotonic()
        if seen.ended:
            return
        await asyncio.sleep(every)


class Screen(Protocol):
    """A display of snapshots."""

    def show(self, seen: Snapshot) -> None:
        """Show one change."""


class JsonLines:
    """A display of one JSON document for each change, one a line."""

    def show(self, seen: Snapshot) -> None:
        """Print the snapshot."""
        emit_line(seen)


class Silent:
    """A display of nothing."""

    def show(self, seen: Snapshot) -> None:
        """Do nothing."""


class Lines:
    """One line of text for each change, for logs and pipes."""

    def __init__(self, screen: Console, *, commands: bool = True) -> None:
        self._console = screen
        self._commands: set[str] | None = set() if commands else None

    def show(self, seen: Snapshot) -> None:
        """Print the change; where a plan waits for approval, the command that shows it, once."""
        self._console.print(_sentence(seen), soft_wrap=True)
        _print_command(self._console, seen, self._commands)


class Bars:
    """One bar for each plan, on a terminal."""

    def __init__(self, progress: Progress, *, commands: bool = True) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._commands: set[str] | None = set() if commands else None

    def show(self, seen: Snapshot) -> None:
        """Move the plan's bar."""
        if seen.plan_id not in self._tasks:
            self._tasks[seen.plan_id] = self._progress.add_task("", total=None, plan=seen.plan_id, note="", state="")
        self._progress.update(
            self._tasks[seen.plan_id],
            total=seen.total or None,
            completed=seen.done,
            state=f"[{state_style(seen.state)}]{_state(seen)}[/]" if state_style(seen.state) else escape(_state(seen)),
            note=escape(_note(seen)[:300]),
        )
        _print_command(self._progress.console, seen, self._commands)


@contextmanager
def open_screen(*, as_json: bool = False, silent: bool = False, commands: bool = True) -> Iterator[Screen]:
    """Open the screen that fits: JSON lines, bars on a terminal, plain lines elsewhere.

    Args:
        as_json: Print JSON lines.
        silent: Print nothing.
        commands: Print the command that shows a plan that waits for approval, too.
    """
    screen = console()
    if silent:
        yield Silent()
    elif as_json:
        yield JsonLines()
    elif not screen.is_terminal:
        yield Lines(screen, commands=commands)
    else:
        note = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        columns = (
            TextColumn("{task.fields[plan]}", markup=False), TextColumn("{task.fields[state]}"), BarColumn(bar_width=24),
            MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[note]}", table_column=note),
        )  # fmt: skip
        with Progress(*columns, console=screen, expand=True) as progress:
            yield Bars(progress, commands=commands)


async def follow(handles: Sequence[PlanHandle], screen: Screen) -> dict[str, Snapshot]:
    """Follow plans at once until every one has ended; returns the last snapshot of each, by plan id.

    Raises:
        NoSuchPlan: If one of them does not exist.
    """
    last: dict[str, Snapshot] = {}

    async def one(handle: PlanHandle) -> None:
        async for seen in snapshots(handle):
            last[handle.plan_id] = seen
            screen.show(seen)

    tasks = [asyncio.ensure_future(one(handle)) for handle in handles]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    return last


def _state(seen: Snapshot) -> str:
    return safe(f"{seen.state or 'unknown'}" + (f" ({seen.outcome})" if seen.outcome else ""))


def _note(seen: Snapshot) -> str:
    return safe(seen.why if seen.ended or not seen.waits_for else seen.waits_for)


def _sentence(seen: Snapshot) -> Text:
    return Text.assemble(
        safe(seen.plan_id),
        "  ",
        (f"{_state(seen):<20}", state_style(seen.state)),
        f"  {seen.done}/{seen.total}  {_note(seen)}",
    )


def _print_command(screen: Console, seen: Snapshot, said: set[str] | None) -> None:
    # nothing of the preview is shown here, and so there is no command that approves it either
    waits = seen.state == State.AWAITING_APPROVAL and not seen.ended and seen.digest is not None
    if said is not None and waits and (key := f"{seen.plan_id} {seen.digest}") not in said:
        said.add(key)
        plan = shlex.quote(seen.plan_id)
        screen.print(Text(f"waiting for approval: read it with {program()} show {plan}"), soft_wrap=True)
