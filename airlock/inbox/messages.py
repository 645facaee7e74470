"""The line at the foot of a screen: answers and problems, which are never drawn over what a person reads."""

from rich.text import Text
from textual.widgets import Static

from airlock.base.incoming import Verdict
from airlock.base.visible import visible
from airlock.inbox.texts import lines
from airlock.program import as_started

_MOST = 600


class MessageLine(Static):
    """The latest answer or problem; hidden while there is none."""

    said = ""
    """The text of it, for programs that drive the screen."""

    def tell(self, text: str, style: str = "bold") -> None:
        """Show a text that Airlock wrote; an empty one hides the line."""
        shown = lines("\n".join(visible(each) for each in as_started(text).split("\n")))
        shown.truncate(_MOST, overflow="ellipsis")
        shown.stylize(style)
        self.said = shown.plain
        self.update(shown)
        self.display = bool(text)

    def problem(self, error: Exception | str) -> None:
        """Show a problem."""
        self.tell(str(error), "bold red")

    def verdict(self, decision: str, verdict: Verdict) -> None:
        """Show the answer to a decision, with what has changed since the preview that it named."""
        said = "accepted" if verdict.accepted else "refused"
        changed = f"\nchanged since that preview: {', '.join(verdict.changed)}" if verdict.changed else ""
        self.tell(f"{decision} {said}: {verdict.reason}{changed}", "bold green" if verdict.accepted else "bold red")


def nothing() -> MessageLine:
    """Return a line without a message."""
    line = MessageLine(Text(""), id="message", markup=False)
    line.display = False
    return line
