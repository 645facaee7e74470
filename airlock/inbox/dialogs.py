"""The questions before a decision. Each says what exactly is decided; Escape leaves it, and nothing is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, OptionList, SelectionList, Static
from textual.widgets.option_list import Option
from textual.widgets.selection_list import Selection

from airlock.inbox.texts import line

_ESCAPE: list[BindingType] = [("escape", "leave", "Leave")]


@dataclass(frozen=True)
class Answer:
    """The confirmed answer of a person to a question."""

    reason: str
    steps: tuple[str, ...] | None = None
    """The steps that were chosen; None for the whole plan."""
    choice: str = ""
    detail: str = ""
    """The text of the field that only some decisions have."""


class Question(ModalScreen[Answer | None]):
    """A question about one decision: what it is about, a reason, and a button that decides.

    Args:
        title: The decision and its plan.
        about: What is decided, such as the digest.
        button: The text of the button.
        required: True if it needs a reason.
        steps: The steps to choose from, all chosen at first; empty if the decision has none.
        choices: The answers to choose from, each with its meaning; empty if there is but one.
        detail: The label of a field that only this decision has; empty if it has none.
    """

    BINDINGS = _ESCAPE

    def __init__(
        self, title: str, about: Text, button: str, *, required: bool = True, steps: Sequence[tuple[str, Text]] = (),
        choices: Sequence[tuple[str, str]] = (), detail: str = "",
    ) -> None:  # fmt: skip
        super().__init__()
        self._title = title
        self._about = about
        self._button = button
        self._required = required
        self._steps = steps
        self._choices = choices
        self._detail = detail

    def compose(self) -> ComposeResult:
        """Yield the parts of the question, from top to bottom."""
        with VerticalScroll(id="question"):
            yield Static(line(self._title, "bold"), markup=False)
            yield Static(self._about, id="about", markup=False)
            if self._steps:
                yield Label(Text("Steps (Space takes one out):"), markup=False)
                yield SelectionList[str](*(Selection(shown, step, True) for step, shown in self._steps), id="steps")
                yield Static("", id="chosen", markup=False)
            if self._choices:
                yield OptionList(*(Option(Text(f"{name}: {says}"), id=name) for name, says in self._choices), id="choices")
            if self._detail:
                yield Input(placeholder=self._detail, id="detail")
            yield Input(placeholder="Reason" if self._required else "Reason (optional)", id="reason", max_length=2_000)
            yield Static("", id="problem", markup=False)
            with Horizontal(id="buttons"):
                yield Button("Leave (Esc)", id="leave")
                yield Button(self._button, id="decide", variant="error")

    def on_mount(self) -> None:
        """Put the cursor where the person has to write; never on the button that decides."""
        (self.query_one("#choices") if self._choices else self.query_one("#reason")).focus()
        if self._steps:
            self._name_chosen()

    def on_selection_list_selected_changed(self) -> None:
        """Say which steps are chosen now."""
        self._name_chosen()

    def _name_chosen(self) -> None:
        """Say in words which steps are chosen: colours alone do not show it to all people, nor on all terminals."""
        chosen = self._chosen()
        names = "the whole plan" if len(chosen) == len(self._steps) else ", ".join(chosen) or "nothing"
        self.query_one("#chosen", Static).update(line(f"Approves: {names}", "bold"))

    def on_input_submitted(self) -> None:
        """Go to the next field on Enter; only the button decides."""
        self.focus_next()

    def on_option_list_option_selected(self) -> None:
        """Go to the next field once an answer is chosen."""
        self.focus_next()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Leave, or confirm if everything is there."""
        if event.button.id == "leave":
            self.action_leave()
            return
        reason = self.query_one("#reason", Input).value.strip()
        chosen = self._chosen()
        choice = self._choice()
        if self._required and not reason:
            self._say("A reason is needed: it is recorded.")
        elif self._steps and not chosen:
            self._say("No step is chosen: choose one, or leave.")
        elif self._choices and not choice:
            self._say("Choose what happened.")
        else:
            detail = self.query_one("#detail", Input).value.strip() if self._detail else ""
            _ = self.dismiss(Answer(reason, None if len(chosen) == len(self._steps) else chosen, choice, detail))

    def action_leave(self) -> None:
        """Leave the question without a decision."""
        _ = self.dismiss(None)  # to wait for it here would wait for this handler

    def _chosen(self) -> tuple[str, ...]:
        """Return the chosen steps in the order of the plan."""
        selected = self.query_one("#steps", SelectionList).selected if self._steps else ()
        return tuple(step for step, _ in self._steps if step in selected)

    def _choice(self) -> str:
        if not self._choices:
            return ""
        at = self.query_one("#choices", OptionList).highlighted
        return "" if at is None else self._choices[at][0]

    def _say(self, problem: str) -> None:
        self.query_one("#problem", Static).update(Text(problem, style="bold red"))


class Choice(ModalScreen[str | None]):
    """A choice of one among several names.

    Args:
        title: What is chosen.
        names: The names.
    """

    BINDINGS: ClassVar[list[BindingType]] = _ESCAPE

    def __init__(self, title: str, names: Sequence[str]) -> None:
        super().__init__()
        self._title = title
        self._names = names

    def compose(self) -> ComposeResult:
        """Yield the title and the list."""
        with VerticalScroll(id="question"):
            yield Static(line(self._title, "bold"), markup=False)
            yield OptionList(*(Option(line(name), id=str(at)) for at, name in enumerate(self._names)), id="choices")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Return the chosen name."""
        _ = self.dismiss(self._names[event.option_index])

    def action_leave(self) -> None:
        """Leave without a choice."""
        _ = self.dismiss(None)  # to wait for it here would wait for this handler
