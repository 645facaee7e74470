"""The program of the inbox: a list and one page for each plan, for the keyboard alone."""

from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType

from airlock.client import Airlock
from airlock.inbox.list_screen import ListScreen
from airlock.inbox.person import Person


class InboxApp(App[None]):
    """The inbox of one person.

    Args:
        airlock: A connected client.
        person: The person who decides.
    """

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c", "quit", "Quit", show=False, priority=True)]
    CSS = """
    #lock { background: $error; color: $text; text-style: bold; padding: 0 1; height: auto; max-height: 4; }
    #summary, #heading { padding: 0 1; height: auto; max-height: 5; background: $panel; }
    #list, #preview { height: 1fr; scrollbar-size-horizontal: 1; }
    #preview { padding: 0 1; scrollbar-gutter: stable; }
    #message { padding: 0 1; height: auto; max-height: 6; background: $surface; }
    #filter { height: 3; }
    Question, Choice { align: center middle; }
    #question { width: 76; max-width: 100%; height: auto; max-height: 100%; border: heavy $primary; padding: 0 1; }
    #question SelectionList { height: auto; max-height: 8; }
    #question OptionList { height: auto; max-height: 8; }
    #about { padding: 1 0; }
    #buttons { height: auto; align-horizontal: right; }
    #buttons Button { margin-left: 2; }
    """

    def __init__(self, airlock: Airlock, person: Person) -> None:
        super().__init__()
        self._airlock = airlock
        self._person = person

    async def on_mount(self) -> None:
        """Open the list."""
        await self.push_screen(ListScreen(self._airlock, self._person))
