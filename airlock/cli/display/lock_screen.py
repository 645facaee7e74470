"""The proof of a lock: a table that is redrawn on a terminal, one line for each change elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from airlock.base.text import listed
from airlock.cli.display.screens import moment
from airlock.cli.output import console, safe
from airlock.client.live_gate import HolderState, Proof, ProofRow

_STYLES = {
    HolderState.QUIESCED: "green",
    HolderState.IN_DOUBT: "bold red",
    HolderState.FINISHING: "yellow",
    HolderState.UNREACHABLE: "bold red",
}
_ROWS = 60


class Screen(Protocol):
    """A display of proofs."""

    def show(self, proof: Proof) -> None:
        """Show one change."""


class Silent:
    """A display of nothing."""

    def show(self, proof: Proof) -> None:
        """Do nothing."""


class Lines:
    """One line of text for each row that changed, for logs and pipes."""

    def __init__(self, screen: Console) -> None:
        self._console = screen
        self._said: set[str] = set()

    def show(self, proof: Proof) -> None:
        """Print the lines that were not printed before."""
        found = (
            [proof.problem] if proof.problem else [f"{row.plan_id}  {row.standing.value}  {note(row)}" for row in proof.rows]
        )
        for line in found:
            if line not in self._said:
                self._said.add(line)
                self._console.print(Text(safe(line)), soft_wrap=True)


class Redrawn:
    """The whole table, on a terminal."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, proof: Proof) -> None:
        """Draw the table again."""
        self._live.update(proof_table(proof), refresh=True)


@contextmanager
def open_barrier(*, silent: bool = False) -> Iterator[Screen]:
    """Open the screen that fits: a table on a terminal, lines elsewhere."""
    screen = console()
    if silent:
        yield Silent()
    elif not screen.is_terminal:
        yield Lines(screen)
    else:
        with Live(console=screen, auto_refresh=False) as live:
            yield Redrawn(live)


def proof_table(proof: Proof) -> Table:
    """Return a table of all plans that were live when the lock came; those that have not stopped come first."""
    table = Table(caption=safe(proof.problem) or None, caption_style="bold red")
    for column in ("plan", "stands", "since (UTC)", "what"):
        table.add_column(column, overflow="fold")
    rows = sorted(proof.rows, key=lambda row: (row.standing is HolderState.QUIESCED, row.plan_id))
    for row in rows[:_ROWS]:
        stands = Text(row.standing.value, style=_STYLES[row.standing])
        table.add_row(Text(safe(row.plan_id), style="bold"), stands, moment(row.since), Text(note(row)))
    if len(rows) > _ROWS:
        table.add_row(f"… and {len(rows) - _ROWS} more", "", "", "")
    return table


def note(row: ProofRow) -> str:
    """Return the note of a row, beside its standing."""
    match row.standing:
        case HolderState.QUIESCED:
            return "has given its slot back: no call of it is running"
        case HolderState.IN_DOUBT:
            return f"has given its slot back; may still take effect: {safe(listed(row.calls))}"
        case HolderState.FINISHING if row.calls:
            return f"in flight: {safe(listed(row.calls))}"
        case HolderState.FINISHING:
            return "is giving its slot back"
        case _:
            return safe(row.why)
