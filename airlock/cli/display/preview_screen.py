"""The preview on a terminal: what changed since the last seal is coloured like any other difference."""

from rich.text import Text

from airlock.cli.output import say_styled
from airlock.run.presentation.seal_difference import LineKind, text_of_difference
from airlock.run.presentation.views import PreviewView

_STYLES = {LineKind.ADDED: "green", LineKind.REMOVED: "red", LineKind.ABOUT: "bold"}


def say_preview(preview: PreviewView) -> None:
    """Print a preview; with colours only where the terminal has them."""
    changed = text_of_difference(preview.changes)
    start = preview.text.rfind(changed) if changed else -1
    if start < 0:
        say_styled(Text(preview.text))
        return
    text = Text(preview.text[:start])
    for number, line in enumerate(preview.changes):
        text.append("\n" if number else "").append(text_of_difference((line,)), style=_STYLES[line.kind])
    say_styled(text.append(preview.text[start + len(changed) :]))
