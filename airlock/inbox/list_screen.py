"""The list of everything that waits for a person, the most urgent first, kept up to date."""

from typing import ClassVar

from rich.text import Text
from temporalio.service import RPCError
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Input, Static

from airlock.base.errors import AirlockError
from airlock.client import Airlock
from airlock.client.inbox import Inbox, InboxFilter
from airlock.client.inbox_reader import InboxReader
from airlock.client.live_gate import LiveGate
from airlock.inbox.dialogs import Question
from airlock.inbox.filters import parse_filter
from airlock.inbox.messages import nothing
from airlock.inbox.person import Person
from airlock.inbox.plan_screen import PlanScreen
from airlock.inbox.texts import COLUMNS, cells, lock_text, summary

EVERY = 3.0
"""Seconds between two readings."""


class PlanTable(DataTable[Text]):
    """The table of what waits; its keys stand on the last line with the others."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "select_cursor", "Open", key_display="enter")]


class ListScreen(Screen[None]):
    """The table of what waits; Enter opens a plan.

    Args:
        airlock: A connected client.
        person: The person who decides.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("escape", "all", "All", show=False),
        Binding("g", "read", "Reload"),
        Binding("L", "lock", "Lock all", key_display="L"),
        Binding("U", "unlock", "Unlock all", key_display="U"),
        Binding("q", "app.quit", "Quit"),
    ]

    def __init__(self, airlock: Airlock, person: Person) -> None:
        super().__init__()
        self._airlock = airlock
        self._person = person
        self._reader = InboxReader(airlock.client)
        self._filter = InboxFilter()
        self._lock = Static("", id="lock", markup=False)
        self._summary = Static(Text("Reading what waits ..."), id="summary", markup=False)
        self._typed = Input(placeholder="Filter: words, agent:NAME tool:NAME risk:HIGH kind:approval", id="filter")
        self._table = PlanTable(cursor_type="row", id="list")
        self.message = nothing()
        """The line of answers and problems."""
        self.inbox: Inbox | None = None
        """The latest reading."""

    def compose(self) -> ComposeResult:
        """Yield the bar of the system lock, the counts, the filter, the table, the message line and the keys."""
        yield self._lock
        yield self._summary
        yield self._typed
        yield self._table
        yield self.message
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Read at once, and again every few seconds."""
        self._table.add_columns(*COLUMNS)
        self._typed.display = False
        self._lock.display = False
        self._table.focus()
        self.set_interval(EVERY, self._tick)
        self.action_read()

    def on_screen_resume(self) -> None:
        """Read at once after a plan was looked at: it may have been decided."""
        self.action_read()

    def _tick(self) -> None:
        if self.is_current:  # behind the page of a plan it cannot be seen; it is read again once it is back
            self.action_read()

    def action_read(self) -> None:
        """Read what waits, unless a reading is under way."""
        if not any(worker.group == "reading" and worker.is_running for worker in self.workers):
            self._read()

    @work(group="reading", exit_on_error=False)
    async def _read(self) -> None:
        try:
            self.inbox = await self._reader.read()
        except (AirlockError, RPCError) as error:
            self.message.problem(f"The list is not up to date: {error}")
            return
        if self.message.said.startswith("The list is not"):
            self.message.tell("")
        self._show()

    def _show(self) -> None:
        """Show the latest reading; the cursor stays on its plan."""
        if self.inbox is None or not self.is_attached:
            return
        chosen, table = self.inbox.chosen(self._filter), self._table
        at, row = self._chosen(), table.cursor_row
        table.clear()
        for item in chosen:
            table.add_row(*cells(item, self.inbox.at), key=item.plan_id)
        names = [item.plan_id for item in chosen]
        table.move_cursor(row=names.index(at) if at in names else min(row, max(len(names) - 1, 0)))
        self._summary.update(summary(self.inbox, len(chosen), self._person.name))
        lock = lock_text(self.inbox.lock)
        self._lock.update(lock)
        self._lock.display = bool(lock.plain)

    def _chosen(self) -> str | None:
        table = self._table
        if not table.is_valid_row_index(table.cursor_row):
            return None
        return table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value

    def action_filter(self) -> None:
        """Open the filter."""
        self._typed.display = True
        self._typed.focus()

    def action_all(self) -> None:
        """Close the filter and show everything."""
        self._typed.value = ""
        self._typed.display = False
        self._table.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is being typed."""
        self._filter = parse_filter(event.value)
        self._show()

    def on_input_submitted(self) -> None:
        """Go from the filter to the list that it chose."""
        self._table.focus()

    async def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open the plan of a row."""
        if event.row_key.value is not None:
            await self.app.push_screen(PlanScreen(self._airlock.plan(event.row_key.value), self._person))

    @work(group="decision", exclusive=True)
    async def action_lock(self) -> None:
        """Ask for a reason, and close the live gate: no plan makes another call."""
        about = Text("Calls that are running finish. No further call of any plan starts until it is unlocked.")
        answer = await self.app.push_screen_wait(Question("Lock everything?", about, "Lock everything"))
        if answer is not None:
            await self._decide_gate("lock", answer.reason)

    @work(group="decision", exclusive=True)
    async def action_unlock(self) -> None:
        """Ask for a reason, and lift the lock of everything."""
        about = Text("The plans that it stopped are rehearsed, previewed and approved again. Locks of a scope stay.")
        answer = await self.app.push_screen_wait(Question("Unlock everything?", about, "Unlock everything"))
        if answer is not None:
            await self._decide_gate("unlock", answer.reason)

    async def _decide_gate(self, decision: str, reason: str) -> None:
        self.message.tell(f"{decision}: waiting for an answer ...")
        gate = LiveGate(self._airlock.client)
        try:
            verdict = await self._person.decide_everything(gate, decision, reason)
        except (AirlockError, RPCError) as error:
            self.message.problem(f"It is not certain that this {decision} counts: {error}")
            return
        self.message.verdict(decision, verdict)
        self.action_read()
